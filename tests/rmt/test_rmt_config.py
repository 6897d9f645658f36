"""Settings that make no sense are refused where they are made, with what to do."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from rmt_models import IDENTITY, base_model, settings, wrapped

from rmtbench.errors import UserError
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.encoder import RecurrentEncoder
from rmtbench.rmt.storage import wrap

NEEDS_SPECIAL = "an encoder needs the ids of its [CLS] and [SEP], and a decoder takes none"
GIVE_SPECIAL = "give the tokenizer's cls_token_id and sep_token_id to an encoder alone"


@pytest.mark.parametrize(
    ("changes", "where", "what", "remedy"),
    [
        (
            {"segment_tokens": 0},
            "segment_tokens",
            "a segment of 0 tokens leaves no room for text",
            "set segment_tokens to at least memory_tokens (3)",
        ),
        (
            {"memory_tokens": 13},
            "memory_tokens",
            "a memory of 13 tokens is larger than a segment of 12",
            "set memory_tokens to at most 12, or lengthen the segment",
        ),
        ({"memory_tokens": 0}, "memory_tokens", "memory_tokens is 0", "set memory_tokens to at least 1"),
        (
            {"backprop_segments": 0},
            "backprop_segments",
            "backprop_segments is 0",
            "set backprop_segments to at least 1",
        ),
        ({"lora_rank": 0}, "lora_rank", "lora_rank is 0", "set lora_rank to at least 1"),
        ({"lora_alpha": -1}, "lora_alpha", "lora_alpha is -1", "set lora_alpha to at least 1"),
        ({"trained": "head"}, "trained", "no trained 'head'", "Known: all, layers, lora, memory"),
        (
            {"update": "gate"},
            "update",
            "no update 'gate'",
            "did you mean 'gated'? Known: associative, gated, latched, overwrite, per-layer",
        ),
        ({"kind": "encode"}, "kind", "no kind 'encode'", "did you mean 'encoder'? Known: decoder, encoder"),
        ({"kind": "encoder"}, "special_ids", NEEDS_SPECIAL, GIVE_SPECIAL),
        ({"special_ids": (1, 2)}, "special_ids", NEEDS_SPECIAL, GIVE_SPECIAL),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(changes: dict, where: str, what: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        settings("llama", **changes)
    assert (caught.value.where, caught.value.what, caught.value.remedy) == (where, what, remedy)


def test_memory_as_large_as_segment_is_allowed() -> None:
    assert RmtConfig("decoder", segment_tokens=1, memory_tokens=1).around == 2
    assert settings("bert", memory_tokens=12).around == 15
    with pytest.raises(FrozenInstanceError):
        settings("llama").memory_tokens = 4


@pytest.mark.parametrize(
    ("name", "most", "kind"),
    [("gpt2", 58, RecurrentDecoder), ("llama", 58, RecurrentDecoder), ("bert", 58, RecurrentEncoder)],
)
def test_full_segment_may_fill_models_positions_and_no_more(name: str, most: int, kind: type) -> None:
    model = wrapped(name, segment_tokens=most)
    assert isinstance(model, kind)
    assert model.read_segment(model.initial_memory(1), [[1] * most]).memory.isfinite().all()
    with pytest.raises(UserError) as caught:
        wrapped(name, segment_tokens=most + 1)
    assert caught.value.what == "a segment of 59 tokens and the 6 around it exceed the model's 64 positions"
    assert caught.value.remedy == "set segment_tokens to at most 58"


def test_a_memory_that_fills_the_models_positions_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        wrapped("gpt2", segment_tokens=40, memory_tokens=30)
    assert caught.value.where == "memory_tokens"
    assert caught.value.what == "a memory of 30 tokens leaves no room for text in the model's 64 positions"
    assert caught.value.remedy == "make the memory smaller, or choose a base model with more positions"


@pytest.mark.parametrize(
    ("name", "changes", "kind", "what"),
    [
        ("granite", {"logits_scaling": 4.0}, "llama", "GraniteForCausalLM changes its logits after the head"),
        (
            "mistral",
            {"sliding_window": 17, "num_key_value_heads": 2},
            "llama",
            "the model's sliding window of 17 tokens hides the memory from the end of a segment",
        ),
        ("llama", {}, "bert", "LlamaForCausalLM is no encoder"),
    ],
)
def test_a_base_model_that_cannot_be_read_through_is_refused(name: str, changes: dict, kind: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        wrap(base_model(name, **changes), settings(kind), IDENTITY)
    assert caught.value.what == what
    assert caught.value.remedy


def test_sliding_window_that_covers_memory_is_allowed() -> None:
    wrap(base_model("mistral", sliding_window=18, num_key_value_heads=2), settings("llama"), IDENTITY)


def test_window_of_gpt_neo_has_to_cover_memory_too() -> None:
    local = {"attention": "eager", "num_heads": 4, "num_layers": 2, "attention_types": [[["global", "local"], 1]]}
    wrap(base_model("gpt_neo", window_size=18, **local), settings("llama"), IDENTITY)
    with pytest.raises(UserError, match="the model's sliding window of 17 tokens hides the memory"):
        wrap(base_model("gpt_neo", window_size=17, **local), settings("llama"), IDENTITY)


def test_a_base_model_whose_weights_have_no_hash_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        BaseIdentity("some/model", "not recorded")
    assert caught.value.what == "the weights of base model 'some/model' have no hash (not recorded)"


def test_a_model_that_counts_hidden_places_is_refused() -> None:
    mpt = base_model("mpt", attention="eager", d_model=32, n_heads=4, n_layers=2)
    with pytest.raises(UserError, match="MptForCausalLM ignores the positions that it is given"):
        wrap(mpt, settings("llama"), IDENTITY)
    wrap(base_model("bloom", attention="eager", hidden_size=32, n_layer=2, n_head=4), settings("llama"), IDENTITY)
