"""A wrapped decoder computes what its base model computes over ``[memory | text | memory]``, whoever is beside it."""

from __future__ import annotations

import pytest
import torch
from rmt_models import DECODERS, IDENTITY, MEMORY, SEGMENT, base_model, close, rows_of, settings, words, wrapped

from rmtbench.errors import AnswerError
from rmtbench.rmt.storage import wrap
from rmtbench.rmt.walk import read_rows, walk

REMEMBERED = [[5, 6, 7], [60, 61, 62]]
UNEQUAL = [(SEGMENT, 5), (7,), (SEGMENT, SEGMENT, 1), (SEGMENT,)]


@pytest.fixture(scope="module", params=DECODERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def never(ids: object) -> None:
    return None


@pytest.mark.parametrize("length", [SEGMENT, 4, 1])
def test_a_segment_is_one_plain_forward_of_the_base_model(name: str, length: int) -> None:
    model = wrapped(name)
    memory, segments = model.embed(torch.tensor(REMEMBERED)), [words(length, 1), words(length, 2)]
    read = model.read_segment(memory, segments)
    ids = torch.tensor([[*old, *text, *old] for old, text in zip(REMEMBERED, segments, strict=True)])
    positions = [*range(MEMORY + length), *range(MEMORY + SEGMENT, 2 * MEMORY + SEGMENT)]
    whole = model.base(
        input_ids=ids,
        position_ids=torch.tensor([positions, positions]),
        attention_mask=torch.ones_like(ids),
        output_hidden_states=True,
    )
    states = whole.hidden_states[-1]
    close(read.text, states[:, MEMORY:-MEMORY])
    close(read.cue, states[:, -MEMORY - 1])
    close(read.memory, states[:, -MEMORY:])
    close(model.logits(read.text), whole.logits[:, MEMORY:-MEMORY])


@pytest.mark.parametrize("update", ["overwrite", "gated", "latched", "associative"])
def test_rows_of_unequal_length_give_what_each_gives_alone(name: str, update: str) -> None:
    model = wrapped(name, update=update)
    rows = rows_of(*UNEQUAL)
    *_, last = walk(model, rows)
    assert sorted(last.rows) == [0, 1, 2, 3]
    together = read_rows(model, rows)
    for row, segments in enumerate(rows):
        *_, alone = walk(model, [segments])
        place, length = last.rows.index(row), len(segments[-1])
        close(together[row], alone.read.memory[0])
        close(last.read.cue[place], alone.read.cue[0])
        close(last.read.text[place, :length], alone.read.text[0])


def test_what_was_read_first_is_still_in_the_memory(name: str) -> None:
    model, rows = wrapped(name), rows_of((SEGMENT,) * 3, (SEGMENT,) * 3)
    rows[1][1:] = rows[0][1:]
    memory = read_rows(model, rows)
    assert (memory[0] - memory[1]).abs().max() > 1e-3


def test_a_short_segment_moves_no_position() -> None:
    model = wrapped("gpt2")
    memory, segment = model.initial_memory(1), [words(5)]
    before = model.read_segment(memory, segment)
    places, other = model.base.transformer.wpe.weight, 10 * torch.randn(32)
    with torch.no_grad():
        places[MEMORY + 5 : MEMORY + SEGMENT] += other  # where a full segment's text would have gone on
        gap = model.read_segment(memory, segment)
        places[MEMORY + SEGMENT : MEMORY + SEGMENT + 1] += other  # where memory is always written
        written = model.read_segment(memory, segment)
        places[MEMORY : MEMORY + 1] += other  # where text always begins
        text = model.read_segment(memory, segment)
    assert torch.equal(gap.memory, before.memory)
    assert torch.equal(gap.text, before.text)
    assert (written.memory - before.memory).abs().amin(dim=-1).max() > 1e-4
    assert torch.equal(written.text, before.text)
    assert (text.text - before.text).abs().max() > 1e-2


def test_places_to_write_are_seen_by_no_text(name: str) -> None:
    model = wrapped(name, update="gated")
    memory, segments = model.initial_memory(2), [words(SEGMENT, 1), words(6, 2)]
    before = model.read_segment(memory, segments)
    with torch.no_grad():
        model.memory.places.weight += 5.0
    after = model.read_segment(memory, segments)
    assert torch.equal(after.text[0], before.text[0])
    assert torch.equal(after.cue, before.cue)
    assert not torch.allclose(after.memory, before.memory)


@pytest.mark.parametrize("update", ["overwrite", "gated", "associative"])
def test_an_answer_is_what_reading_it_again_from_start_predicts(name: str, update: str) -> None:
    model, rows = wrapped(name, update=update), rows_of((SEGMENT, SEGMENT, 4), (3,), (SEGMENT, 7))
    answers = model.generate(rows, never, 5)
    assert len({answer.ids for answer in answers}) == 3
    for row, answer in zip(rows, answers, strict=True):
        memory, written = read_rows(model, [row[:-1]]), []
        for _ in range(5):  # with places to write behind, and no cache: as a training would read it
            read = model.read_segment(memory, [[*row[-1], *written]])
            written.append(int(model.logits(read.cue).argmax()))
        assert answer.ids == tuple(written)
        assert model.generate([row], never, 5)[0].ids == answer.ids


def test_the_last_segment_is_read_once_and_then_single_tokens(name: str) -> None:
    model, fed = wrapped(name), []
    first_layer = next(
        each for each in model.base.modules() if type(each).__name__ in ("GPT2Block", "LlamaDecoderLayer")
    )
    first_layer.register_forward_pre_hook(lambda _module, args: fed.append(args[0].shape[1]))
    model.generate(rows_of((SEGMENT, SEGMENT, 4)), never, 3)
    assert fed == [SEGMENT + 2 * MEMORY, SEGMENT + 2 * MEMORY, MEMORY + 4, 1, 1]


def test_answering_leaves_the_memory_as_it_was(name: str) -> None:
    model = wrapped(name)
    memory = read_rows(model, rows_of((SEGMENT, SEGMENT))).detach()
    before = memory.clone()
    for _ in range(2):
        reader = model.prompts(memory, [words(4)], 2)
        first = reader.read()
        reader.step([0], first.argmax(dim=-1))
    assert torch.equal(memory, before)
    assert torch.equal(first, model.prompts(memory, [words(4)], 2).read())


def test_an_answer_ends_before_a_sliding_window_hides_the_memory() -> None:
    base = base_model("mistral", sliding_window=18, num_key_value_heads=2)
    model = wrap(base, settings("llama"), IDENTITY).eval()
    room = 18 - MEMORY - 4
    assert len(model.generate(rows_of((4,)), never, room)[0].ids) == room
    with pytest.raises(AnswerError, match="answer of 19 tokens exceed the model's 18 positions"):
        model.generate(rows_of((4,)), never, room + 1)


def test_an_answer_may_fill_the_models_positions_and_no_more() -> None:
    model = wrapped("gpt2")
    room = 64 - MEMORY - 4
    assert len(model.generate(rows_of((4,)), never, room)[0].ids) == room
    with pytest.raises(
        AnswerError, match=r"^memory, last segment and answer of 65 tokens exceed the model's 64 positions$"
    ):
        model.generate(rows_of((4,)), never, room + 1)


@pytest.mark.parametrize("lengths", [[SEGMENT + 1], [4, 0]])
def test_a_segment_that_is_empty_or_too_long_is_refused(lengths: list[int]) -> None:
    model = wrapped("llama")
    segments = [words(length) for length in lengths]
    with pytest.raises(ValueError, match="where 1 to 12 can be read"):
        model.read_segment(model.initial_memory(len(lengths)), segments)
    with pytest.raises(ValueError, match="where 1 to 12 can be read"):
        model.prompts(model.initial_memory(len(lengths)), segments, 1)


@pytest.mark.parametrize("name", ["gpt2", "opt", "bert"])
def test_nothing_drops_out_in_training(name: str) -> None:
    changes = {"ffn_dim": 48, "word_embed_proj_dim": 32} if name == "opt" else {}
    like = settings("bert" if name == "bert" else "llama")
    model = wrap(base_model(name, **changes), like, IDENTITY).train()
    reads = [read_rows(model, rows_of((SEGMENT, 5))) for _ in range(2)]
    assert torch.equal(*reads)
