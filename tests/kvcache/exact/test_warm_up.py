"""The warm-up reads two chunks and a prompt of its own, few tokens on the CPU, and leaves the model as it was."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch

from rmtbench.kvcache.exact.warm_up import CPU_TOKENS, chunk_tokens, warm_up
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.local import LocalModel

PROMPT = Prompt((Passage("Arden", "Arden lies on the river Oss."),), "Who is the mayor?")


def test_it_reads_a_prompt_two_chunks_and_a_question(tiny_model: LocalModel) -> None:
    read: list[tuple[int, int]] = []

    def note(_module: torch.nn.Module, given: tuple[Any, ...], words: dict[str, Any]) -> None:
        ids = words["input_ids"] if "input_ids" in words else given[0]
        read.append((ids.shape[1], int(words["position_ids"].max())))

    net = copy.deepcopy(tiny_model.model)
    net.base_model.register_forward_pre_hook(note, with_kwargs=True)
    assert warm_up(replace(tiny_model, model=net))
    chunk = CPU_TOKENS
    prompt, chunks = [(chunk, chunk - 1), (1, chunk)], [(chunk, chunk - 1), (chunk, 2 * chunk - 1)]
    assert read == [*prompt, *chunks, (4, 2 * chunk + 3), (1, 2 * chunk + 4)]


def test_it_changes_no_answer(tiny_model: LocalModel) -> None:
    before = tiny_model.generate([PROMPT])[0].output_ids
    assert warm_up(tiny_model)
    assert tiny_model.generate([PROMPT])[0].output_ids == before


def test_a_short_context_is_not_exceeded(tiny_model: LocalModel) -> None:
    assert chunk_tokens(replace(tiny_model, context_limit=12)) == 3
    assert warm_up(replace(tiny_model, context_limit=12))


def test_a_model_that_fails_is_left_to_the_run_that_reads_it(tiny_model: LocalModel) -> None:
    def broken(*_given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    net = copy.deepcopy(tiny_model.model)
    net.base_model.register_forward_pre_hook(broken)
    assert not warm_up(replace(tiny_model, model=net))
