"""A context read for one question alone: its answer is the model's own, its cost is told whole, nothing is kept."""

from __future__ import annotations

import time

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.core import Draw, RunSpec
from rmtbench.errors import AnswerError
from rmtbench.kvcache.exact.uncached import kernels_of, uncached_reader
from rmtbench.kvcache.watching import Watch
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.local import LocalModel
from rmtbench.systems.base import Resources
from rmtbench.systems.in_prompt import whole_corpus
from rmtbench.systems.registry import find_system

FULL_CONTEXT = find_system("full-context")
CONTEXT = (Passage("Arden", "Arden lies on the river Oss. " * 10), Passage("Belmo", "Its market is on Fridays. " * 8))
PROMPTS = [Prompt(CONTEXT[: 1 + number % 2], f"Who is {name} and why?") for number, name in enumerate("ABCD")]
SPEC = RunSpec("full-context", "towns", "all", "tiny", "own:towns@0", max_answer_tokens=8)


@pytest.fixture
def windowed(tiny_model: LocalModel) -> LocalModel:
    """A model whose layers see 24 tokens, which the shared prefix does not compute."""
    widths = {"vocab_size": 30522, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 1024}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model("mistral", **widths, **heads, sliding_window=24, initializer_range=0.15)
        made = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    return LocalModel(made, tiny_model.contract, frozenset(), 1024, 8, {})


@pytest.mark.parametrize("kind", ["tiny_model", "windowed"])
def test_answers_equal_models_attention_over_prompts(kind: str, request: pytest.FixtureRequest) -> None:
    model: LocalModel = request.getfixturevalue(kind)
    answer, why = uncached_reader(model)
    assert ("sliding-window layers" in why) == (kind == "windowed")
    found, expected = answer(PROMPTS), [model.generate([prompt])[0] for prompt in PROMPTS]
    assert [row.output_ids for row in found] == [row.output_ids for row in expected]
    assert len({row.output_ids for row in found}) > 2
    assert [row.prompt_tokens for row in found] == [row.prompt_tokens for row in expected]
    assert {row.cached_tokens for row in found} == {0}


def test_reading_the_context_is_part_of_the_time_to_first_token(tiny_model: LocalModel) -> None:
    answer, _ = uncached_reader(tiny_model)
    answer(PROMPTS[:1])
    start = time.perf_counter()
    [row] = answer(PROMPTS[1:2])
    wall = time.perf_counter() - start
    assert 0.8 * wall < row.prefill_seconds + row.decode_seconds <= wall


def test_prompt_beyond_context_is_refused_with_both_numbers(tiny_model: LocalModel) -> None:
    answer, _ = uncached_reader(tiny_model)
    with pytest.raises(AnswerError, match="exceed the model's context of"):
        answer([Prompt((Passage("Long", "word " * 140_000),), "Why?")])


def test_kernels_are_named_and_plain_prefix_is_models_own(tiny_model: LocalModel, windowed: LocalModel) -> None:
    assert kernels_of(tiny_model, "shared") == {
        "context": "rmtbench_chunks",
        "questions": "rmtbench_shared_prefix",
        "chunk_tokens": 1024,
    }
    assert kernels_of(tiny_model, "plain")["questions"] == "sdpa"
    assert kernels_of(windowed, "plain")["context"] == "sdpa"


def test_full_context_names_another_way_of_reading(tiny_model: LocalModel, windowed: LocalModel, towns: Draw) -> None:
    told: list[str] = []
    for model in (tiny_model, windowed):
        resources = Resources(SPEC, model, watch=Watch(notice=told.append))
        with FULL_CONTEXT.make(resources) as system:
            system.prepare(towns.corpus)
            [row] = system.answer(towns.corpus.questions[:1])
        prompt = Prompt(whole_corpus(towns.corpus), towns.corpus.questions[0].text)
        assert row.output_ids == model.generate([prompt])[0].output_ids
    reason = "MistralForCausalLM has sliding-window layers, which the shared prefix cannot serve"
    assert told == [f"full-context: {reason}; it reads as cag --cache-layout plain does"]
    assert FULL_CONTEXT.kernels is not None
    kernels = [FULL_CONTEXT.kernels(model, SPEC)["questions"] for model in (tiny_model, windowed)]
    assert kernels == ["rmtbench_shared_prefix", "sdpa"]
