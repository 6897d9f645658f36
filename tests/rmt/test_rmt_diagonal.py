"""Diagonal batching: the memory of one segment after the other, and the reason where layers cannot be run apart."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from rmt_models import DECODERS, GEOMETRIES, IDENTITY, MEMORY, SEGMENT, base_model, rows_of, settings, words, wrapped

from rmtbench.errors import UserError
from rmtbench.models.decode import greedy
from rmtbench.options.memory import MemoryForm
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.diagonal import read_diagonally
from rmtbench.rmt.storage import wrap
from rmtbench.rmt.streaming import read_streams

FULL = SEGMENT
ROWS = {
    "one segment": ((FULL,),),
    "as many segments as layers": ((FULL, FULL, FULL),),
    "more segments than layers": ((FULL,) * 7,),
    "a short last segment": ((FULL, FULL, FULL, 5),),
    "short segments everywhere": ((7, 3, FULL, 1, 9),),
    "rows side by side": ((FULL,) * 5, (FULL,) * 5, (FULL,) * 5),
    "rows that end apart": ((FULL, 7, 3, FULL, FULL, 2), (4,), (FULL, FULL)),
    "a row without segments": ((FULL, FULL), ()),
}


def model_of(name: str, layers: int, **changes: Any) -> RecurrentDecoder:
    """A per-layer memory with something to say around a model of so many layers, in float64.

    In float32 a memory of random weights makes so much of the last digit that two orders of adding up part visibly.
    """
    count = {"n_layer": layers} if name == "gpt2" else {"num_hidden_layers": layers}
    made = wrap(base_model(name, **count), settings(name, update="per-layer", **changes), IDENTITY).eval()
    assert isinstance(made, RecurrentDecoder)
    assert made.associations is not None
    chance = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for layer in made.associations.layers:
            layer.value.weight.copy_(torch.randn(layer.value.weight.shape, generator=chance) * 0.3)
            layer.strength.weight.copy_(torch.randn(layer.strength.weight.shape, generator=chance) * 0.3)
    return made.double()


def assert_same(given: torch.Tensor, expected: torch.Tensor, share: float = 1e-9) -> None:
    """Equal to a share of the largest number: a batched product adds up in another order."""
    assert given.shape == expected.shape
    difference, largest = float((given - expected).abs().max()), float(expected.abs().max())
    assert difference <= share * largest, f"{difference} of {largest}"


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("name", "layers"), [("gpt2", 1), ("llama", 2), ("gpt2", 3), ("llama", 5)])
def test_the_memory_is_that_of_one_segment_after_the_other(name: str, layers: int, rows: str) -> None:
    model, texts = model_of(name, layers), rows_of(*ROWS[rows])
    expected = read_streams(model, texts)
    assert_same(read_diagonally(model, texts), expected)
    assert (expected - model.initial_memory(len(texts))).abs().max() > 0.1, "something was written"


@pytest.mark.parametrize("name", DECODERS)
def test_a_text_goes_on_from_a_memory(name: str) -> None:
    model, texts = wrapped(name, update="per-layer").double(), rows_of((FULL, FULL), (FULL, FULL))
    later = [[words(FULL, 900), words(4, 901)], [words(6, 902)]]
    memory = read_streams(model, texts)
    kept = memory.clone()
    assert_same(read_diagonally(model, later, memory), read_streams(model, later, memory))
    assert torch.equal(memory, kept), "the memory that was passed in is not changed"


def test_answers_from_both_memories_are_the_same_tokens() -> None:
    model, texts = model_of("llama", 3).float(), rows_of((FULL, FULL, 8, FULL), (FULL, 3))
    questions = [words(5, 800), words(7, 801)]
    answers = []
    for read in (read_streams, read_diagonally):
        prompts = model.prompts(read(model, texts), questions, 12)
        answers.append([row.ids for row in greedy(prompts, 2, lambda _: None, 12)])
    assert answers[0] == answers[1]
    assert len(set(itertools.chain(*answers[0]))) > 3, "not one token over and over"


def test_segments_are_drawn_one_at_a_time_and_counted() -> None:
    drawn, told = [], list[int]()

    def text():
        for number in range(6):
            drawn.append(number)
            yield words(FULL, number)

    read_diagonally(model_of("llama", 2), [text()], watch=lambda tokens: told.append(len(drawn) * FULL - tokens))
    assert told == [0] * 6, "told before the next segment is made"


def test_eager_attention_and_narrow_keys_give_the_same() -> None:
    model = model_of("llama", 3, form=MemoryForm(associative_keys=2))
    model.base.set_attn_implementation("eager")
    texts = rows_of((FULL, 4, FULL), (FULL,))
    assert_same(read_diagonally(model, texts), read_streams(model, texts), 1e-5)  # its softmax is in float32
    rows = 3 * (2 * 3 * 2 + 1)  # layers, each with 12 features and one row of amounts
    assert read_streams(model, texts).shape == (2, MEMORY + rows, 32)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_weights_in_bfloat16_are_read_diagonally_too(name: str) -> None:
    model = model_of(name, 3).float()
    model.base.bfloat16()
    texts = rows_of((FULL, 4))
    assert_same(read_diagonally(model, texts), read_streams(model, texts), 0.05)


def test_layers_that_differ_are_refused_in_bfloat16_too() -> None:
    turned = wrapped_as("gpt2", scale_attn_by_inverse_layer_idx=True)
    turned.base.bfloat16()
    with pytest.raises(UserError, match="layer 1 of GPT2LMHeadModel computes otherwise than the first"):
        read_diagonally(turned, rows_of((FULL,)))


@pytest.mark.parametrize("update", ["associative", "latched", "overwrite"])
def test_memory_tokens_that_pass_on_are_refused(update: str) -> None:
    with pytest.raises(UserError, match="from the last layer of a segment to the first layer of the next"):
        read_diagonally(wrapped("llama", update=update), rows_of((FULL,)))


def test_layers_that_differ_are_refused() -> None:
    turned = wrapped_as("gpt2", scale_attn_by_inverse_layer_idx=True)
    with pytest.raises(UserError, match="layer 1 of GPT2LMHeadModel computes otherwise than the first"):
        read_diagonally(turned, rows_of((FULL,)))
    wider = model_of("llama", 2)
    wider.base.base_model.layers[1].mlp.down_proj.bias = torch.nn.Parameter(torch.zeros(32))
    with pytest.raises(UserError, match="layer 1 of LlamaForCausalLM is built otherwise than the first"):
        read_diagonally(wider, rows_of((FULL,)))


def wrapped_as(name: str, **changes: Any) -> RecurrentDecoder:
    """A per-layer memory around a model with other settings."""
    made = wrap(base_model(name, **{**GEOMETRIES[name], **changes}), settings(name, update="per-layer"), IDENTITY)
    assert isinstance(made, RecurrentDecoder)
    return made.eval()


def test_a_layer_with_another_input_is_refused() -> None:
    model = model_of("llama", 2)
    model.base.base_model.layers[1].register_forward_pre_hook(lambda _, args: (args[0] + 1, *args[1:]))
    with pytest.raises(UserError, match="layer 1 of LlamaForCausalLM reads more than the layer before it gives"):
        read_diagonally(model, rows_of((FULL,)))


def test_an_attention_without_masks_is_refused() -> None:
    model = model_of("llama", 2)
    model.base.config._attn_implementation = "flash_attention_2"
    with pytest.raises(UserError, match="attention by flash_attention_2 takes no mask") as caught:
        read_diagonally(model, rows_of((FULL,)))
    assert caught.value.where == "--set rmt-schedule=diagonal"
    assert caught.value.remedy == "leave it out: segments are then read one after the other"


@pytest.mark.parametrize("lengths", [(FULL, 0), (FULL + 1,)])
def test_a_segment_that_is_empty_or_too_long_is_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="segment"):
        read_diagonally(model_of("llama", 2), rows_of(lengths))
