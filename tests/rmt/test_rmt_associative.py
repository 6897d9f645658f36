"""Associative memory: what is written under a key is what the key finds, replaced and not mixed when written again."""

from __future__ import annotations

import pytest
import torch
from rmt_models import IDENTITY, MEMORY, SEGMENT, base_model, close, rows_of, settings, words, wrapped

from rmtbench.errors import UserError
from rmtbench.rmt.associative import SHIFTS, Layer, features
from rmtbench.rmt.storage import wrap
from rmtbench.rmt.walk import read_rows

WIDTH, KEYS = 32, 5


@pytest.fixture
def layer() -> Layer:
    torch.manual_seed(0)
    made = Layer(WIDTH, KEYS)
    with torch.no_grad():
        made.value.weight.copy_(torch.eye(WIDTH))
        made.strength.bias.fill_(9.0)  # as strong as can be
    return made


def empty() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(1, 2 * SHIFTS * KEYS, WIDTH), torch.zeros(1, 2 * SHIFTS * KEYS)


def test_features_have_unit_length_and_are_never_negative() -> None:
    made = features(torch.randn(7, KEYS))
    assert made.shape == (7, 2 * SHIFTS * KEYS)
    assert made.min() >= 0
    close(made.norm(dim=-1), torch.ones(7))
    assert not features(torch.zeros(1, KEYS)).any()


def test_nothing_is_found_where_nothing_was_written(layer: Layer) -> None:
    assert not layer.read(torch.randn(1, 4, WIDTH), *empty()).any()


def test_a_key_finds_its_own_value(layer: Layer) -> None:
    state = torch.randn(1, 1, WIDTH)
    found = layer.read(state, *layer.write(state, *empty()))
    torch.testing.assert_close(found, layer.norm(state), rtol=1e-3, atol=1e-3)


def test_a_key_that_is_written_again_finds_the_new_value_alone(layer: Layer) -> None:
    first, second = torch.randn(2, 1, 1, WIDTH)
    held = layer.write(first, *empty())
    with torch.no_grad():
        kept, other = layer.value.weight.clone(), torch.randn(WIDTH, WIDTH)
        layer.value.weight.copy_(other)
        held = layer.write(first, *held)
        layer.value.weight.copy_(kept)
    torch.testing.assert_close(layer.read(first, *held), layer.norm(first) @ other.T, rtol=1e-2, atol=1e-2)
    assert (layer.read(second, *held) - layer.norm(second)).abs().max() > 0.1, "what was never written is not found"


def test_without_strength_nothing_is_written(layer: Layer) -> None:
    with torch.no_grad():
        layer.strength.bias.fill_(-9.0)
    held = layer.write(torch.randn(1, 3, WIDTH), *empty())
    assert not held[0].any()
    assert not held[1].any()


@pytest.mark.parametrize("name", ["gpt2", "llama", "mini"])
def test_what_was_read_changes_what_later_segments_are_read_as(name: str) -> None:
    model = wrapped(name, update="associative")
    rows = rows_of((SEGMENT, SEGMENT), (SEGMENT, SEGMENT))
    rows[1][1] = rows[0][1]
    memory = read_rows(model, rows)
    assert memory.shape == (2, MEMORY + model.associations.rows, memory.shape[2])
    with torch.no_grad():
        tokens = memory[:1, :MEMORY].expand(2, -1, -1)  # the same tokens, so that associations alone differ
        read = model.read_segment(torch.cat([tokens, memory[:, MEMORY:]], dim=1), [words(5), words(5)])
    assert (read.text[0] - read.text[1]).abs().max() > 1e-4


def test_another_use_of_the_base_model_reads_no_memory() -> None:
    model = wrapped("llama", update="associative")
    ids = torch.tensor([words(6)])
    before = model.base(input_ids=ids).logits
    read_rows(model, rows_of((SEGMENT, 4)))
    assert torch.equal(model.base(input_ids=ids).logits, before)
    assert torch.equal(base_model("llama")(input_ids=ids).logits, before)


def test_an_encoder_is_refused() -> None:
    with pytest.raises(UserError, match="an encoder has no associative memory"):
        wrap(base_model("bert"), settings("bert", update="associative"), IDENTITY)
