"""A model is held against its own forward in each way of reading, and what differs is not served."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.core import RunSpec
from rmtbench.errors import UserError
from rmtbench.kvcache.exact import trial, verdict
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.exact.trial import EMBEDDED, OWN, OWN_BATCH, PLAIN, PLAIN_BATCH, SHARED, SHARED_BATCH, try_ways
from rmtbench.kvcache.exact.uncached import prefix_for
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import OwnPrompts, SharedPrefix
from rmtbench.models.slots import SlotLayer
from rmtbench.options.identity import RunOptions
from rmtbench.runs.served import check_served

ALL = (OWN, OWN_BATCH, PLAIN, PLAIN_BATCH, SHARED, SHARED_BATCH, EMBEDDED)
SMALL = {"vocab_size": 30522, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.15}  # fmt: skip


def made(like: LocalModel, kind: str, **sizes: object) -> LocalModel:
    """A model of an architecture with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = AutoConfig.for_model(kind, **{**SMALL, **sizes})
        return replace(like, model=AutoModelForCausalLM.from_config(config).eval())


def inexact(model: LocalModel) -> set[str]:
    return {way for way, why in try_ways(model, ALL).items() if why}


def spec(system: str, batch: int = 1, **settings: str) -> RunSpec:
    return RunSpec(system, "towns", "all", "x", "x", batch=batch, options=RunOptions.read(settings))


def test_a_plain_llama_is_exact_in_every_way(tiny_model: LocalModel) -> None:
    assert try_ways(tiny_model, ALL) == dict.fromkeys(ALL, "")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_in_half_precision_is_no_difference(tiny_model: LocalModel, dtype: torch.dtype) -> None:
    half = replace(tiny_model, model=copy.deepcopy(tiny_model.model).to(dtype))
    assert inexact(half) == set()


def test_layers_that_share_keys_are_read_by_the_plain_prefix(tiny_model: LocalModel) -> None:
    model = made(tiny_model, "gemma3n_text", head_dim=16, num_hidden_layers=4, num_kv_shared_layers=2, sliding_window=8,
                 layer_types=["sliding_attention", "full_attention"] * 2, vocab_size_per_layer_input=30522,
                 hidden_size_per_layer_input=8)  # fmt: skip
    assert try_ways(model, [OWN, PLAIN]) == {OWN: "", PLAIN: ""}
    assert len(prefill(model.model, range(100, 120), chunk_tokens=8).keys) == 2


def hide_first_slot(update: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> Callable[..., object]:
    def wrong(self: SlotLayer, *given: torch.Tensor, **more: object) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = update(self, *given, **more)
        return keys, torch.cat([values[:, :, :1] * 0, values[:, :, 1:]], dim=2)

    return wrong


def test_a_cache_that_loses_one_token_is_found(tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlotLayer, "update", hide_first_slot(SlotLayer.update))
    assert inexact(tiny_model) == set(ALL) - {EMBEDDED}


def test_a_row_that_sees_its_neighbour_is_found(tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_visible(self: SharedPrefix, own: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(torch.ones_like(own).tril(), (self._prefix, 0), value=True)[None, None]

    monkeypatch.setattr(SharedPrefix, "_mask", all_visible)
    assert inexact(tiny_model) == {PLAIN_BATCH}


def test_a_position_that_is_off_by_one_is_found(tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    step = OwnPrompts.step

    def late(self: OwnPrompts, rows: Sequence[int], tokens: torch.Tensor) -> torch.Tensor:
        self._steps += 1
        return step(self, rows, tokens)

    monkeypatch.setattr(OwnPrompts, "step", late)
    assert inexact(tiny_model) == {OWN, OWN_BATCH}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_lost_token_is_more_than_rounding(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(SlotLayer, "update", hide_first_slot(SlotLayer.update))
    half = replace(tiny_model, model=copy.deepcopy(tiny_model.model).to(dtype))
    assert OWN in inexact(half)


def test_attention_called_twice_a_layer_is_not_shared(tiny_model: LocalModel) -> None:
    found = try_ways(made(tiny_model, "diffllama"), ALL)
    assert {way for way, why in found.items() if why} == {SHARED, SHARED_BATCH}
    assert "standard deviations, the next token at" in found[SHARED]


def test_bidirectional_model_is_found_by_any_name(tiny_model: LocalModel) -> None:
    found = try_ways(made(tiny_model, "bert", max_position_embeddings=128, pad_token_id=0), [OWN])
    assert found == {OWN: "what it computes for a token changes with the tokens behind it"}


def test_the_sliding_window_is_shorter_than_text_and_is_put_back(tiny_model: LocalModel) -> None:
    windowed = made(tiny_model, "mistral", sliding_window=4096)
    assert inexact(windowed) >= {OWN_BATCH, PLAIN_BATCH, SHARED}
    assert not inexact(windowed) & {OWN, PLAIN}
    assert windowed.model.config.sliding_window == 4096


def test_a_forward_that_fails_is_a_reason(tiny_model: LocalModel) -> None:
    model = copy.deepcopy(tiny_model.model)
    model.register_forward_pre_hook(lambda *_given: (_ for _ in ()).throw(TypeError("no such thing\nat all")))
    [why] = try_ways(replace(tiny_model, model=model), [OWN]).values()
    assert why == "the model's own forward fails (TypeError: no such thing)"


def test_what_is_not_finite_by_itself_is_not_compared(tiny_model: LocalModel) -> None:
    model = copy.deepcopy(tiny_model.model)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    assert inexact(replace(tiny_model, model=model)) == set()


def test_a_verdict_is_kept_for_the_models_identity(
    tiny_model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[str]] = []

    def counted(_model: LocalModel, ways: Sequence[str]) -> dict[str, str]:
        asked.append(ways)
        return dict.fromkeys(ways, "")

    monkeypatch.setattr(verdict, "try_ways", counted)
    other = replace(tiny_model, provenance={**tiny_model.provenance, "weights_sha256": "0" * 64})
    unknown = replace(tiny_model, provenance={**tiny_model.provenance, "weights_sha256": "unknown"})
    for model in (tiny_model, tiny_model, other, unknown, unknown):
        assert verdict.verdicts(model, [OWN], tmp_path) == {OWN: ""}
    assert asked == [[OWN]] * 4, "the second time it was known; what has no hash is never kept"
    verdict.verdicts(tiny_model, [OWN, PLAIN], tmp_path)
    assert asked[4:] == [[PLAIN]]
    for path in tmp_path.glob("*.json"):
        path.write_text("{torn")
    verdict.verdicts(tiny_model, [OWN], tmp_path)
    assert asked[5:] == [[OWN]]
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    verdict.verdicts(tiny_model, [OWN], tmp_path)
    assert asked[6:] == [[OWN]], "another processor takes other kernels"


def test_the_remedy_is_a_way_that_was_tried(tiny_model: LocalModel, tmp_path: Path) -> None:
    model = made(tiny_model, "diffllama")
    with pytest.raises(UserError, match=r"DiffLlamaForCausalLM is not read exactly \(shared prefix: logits") as caught:
        check_served(model, [spec("cag")], tmp_path)
    assert (caught.value.where, caught.value.remedy) == ("--system cag", "use --cache-layout plain with this model")
    check_served(model, [spec("cag", prefix="plain"), spec("closed-book", batch=4)], tmp_path)


def test_a_system_with_a_choice_takes_the_exact_way_and_says_why(tiny_model: LocalModel, tmp_path: Path) -> None:
    model = made(tiny_model, "diffllama")
    assert prefix_for(model) == ("shared", "")
    prefix, why = prefix_for(check_served(model, [spec("full-context")], tmp_path))
    assert prefix == "plain"
    assert "shared prefix" in why
    assert prefix_for(check_served(tiny_model, [spec("full-context")], tmp_path)) == ("shared", "")


def test_differing_batch_is_refused_single_questions_are_not(tiny_model: LocalModel, tmp_path: Path) -> None:
    model = made(tiny_model, "bloom", n_head=2)
    check_served(model, [spec("closed-book"), spec("cag", prefix="plain")], tmp_path)
    for asked in (spec("closed-book", 2), spec("cag", 2, prefix="plain")):
        with pytest.raises(UserError, match="in a batch: ") as caught:
            check_served(model, [asked], tmp_path)
        assert caught.value.remedy == "use --batch 1 with this model"


def test_the_text_is_same_each_time_and_holds_no_special_token(tiny_model: LocalModel) -> None:
    text = trial.make_text(tiny_model)
    assert text == trial.make_text(tiny_model)
    ids = {*text.whole(0), *text.whole(1)}
    assert len(ids) > 25
    assert not ids & {*tiny_model.contract.tokenizer.all_special_ids}
