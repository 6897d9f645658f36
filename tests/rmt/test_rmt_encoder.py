"""A wrapped encoder computes what its base model computes over ``[CLS] memory [SEP] text [SEP]``."""

from __future__ import annotations

import pytest
import torch
from rmt_models import CLS, IDENTITY, MEMORY, SEGMENT, SEP, base_model, close, rows_of, settings, words, wrapped
from transformers import AutoModel

from rmtbench.errors import UserError
from rmtbench.models.embed_files import MINILM, model_folder
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.encoder import RecurrentEncoder
from rmtbench.rmt.walk import read_rows, walk

REMEMBERED = [[5, 6, 7], [60, 61, 62]]


def plain(model: RecurrentEncoder, remembered: list[list[int]], segments: list[list[int]]) -> torch.Tensor:
    cls, sep = model.config.special_ids
    ids = [[cls, *old, sep, *text, sep] for old, text in zip(remembered, segments, strict=True)]
    return model.base(input_ids=torch.tensor(ids)).last_hidden_state


@pytest.mark.parametrize("length", [SEGMENT, 4])
def test_a_segment_is_one_plain_forward_of_the_base_model(length: int) -> None:
    model = wrapped("bert")
    segments = [words(length, 1), words(length, 2)]
    read = model.read_segment(model.embed(torch.tensor(REMEMBERED)), segments)
    states = plain(model, REMEMBERED, segments)
    close(read.cue, states[:, 0])
    close(read.memory, states[:, 1 : 1 + MEMORY])
    close(read.text, states[:, 2 + MEMORY : -1])


@pytest.mark.parametrize("update", ["overwrite", "gated"])
def test_rows_of_unequal_length_give_what_each_gives_alone(update: str) -> None:
    model = wrapped("bert", update=update)
    rows = rows_of((SEGMENT, 5), (7,), (SEGMENT, SEGMENT, 1), (SEGMENT,))
    *_, last = walk(model, rows)
    together = read_rows(model, rows)
    for row, segments in enumerate(rows):
        *_, alone = walk(model, [segments])
        place, length = last.rows.index(row), len(segments[-1])
        close(together[row], alone.read.memory[0])
        close(last.read.cue[place], alone.read.cue[0])
        close(last.read.text[place, :length], alone.read.text[0])


def test_minilm_reads_through_memory_to_512_positions() -> None:
    config = RmtConfig("encoder", segment_tokens=499, memory_tokens=10, special_ids=(101, 102), trained="memory")
    model = RecurrentEncoder(AutoModel.from_pretrained(model_folder(MINILM)), config, IDENTITY).eval()
    remembered, text = [list(range(2000, 2010))], [list(range(3000, 3499))]
    with torch.no_grad():
        read = model.read_segment(model.embed(torch.tensor(remembered)), text)
        states = plain(model, remembered, text)
    close(read.memory, states[:, 1:11])
    close(read.text, states[:, 12:-1])


def test_positions_that_roberta_keeps_for_padding_hold_no_text() -> None:
    base = base_model("roberta", max_position_embeddings=20, pad_token_id=1)
    fits = settings("bert", segment_tokens=12)
    model = RecurrentEncoder(base, fits, IDENTITY).eval()
    assert model.read_segment(model.initial_memory(1), [words(12)]).memory.isfinite().all()
    with pytest.raises(UserError, match="a segment of 13 tokens and the 6 around it exceed the model's 18 positions"):
        RecurrentEncoder(base, settings("bert", segment_tokens=13), IDENTITY)


def test_special_ids_stand_where_they_belong() -> None:
    model, swapped = wrapped("bert"), wrapped("bert", special_ids=(SEP, CLS))
    memory = model.initial_memory(1)
    cues = [each.read_segment(memory, [words(4)]).cue for each in (model, swapped)]
    assert (cues[0] - cues[1]).abs().max() > 1e-3
