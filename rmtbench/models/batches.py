"""Batches of prompts, and one answer a prompt from them: a prompt that fails fails no neighbour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rmtbench.errors import AnswerError, out_of_memory
from rmtbench.measure import Timed, free_memory
from rmtbench.models.base import Generation
from rmtbench.plural import many

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield consecutive groups of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def generate_apart(generate: Callable[[Sequence[T]], list[Generation]], prompts: Sequence[T]) -> list[Generation]:
    """Answer a batch; if it fails as a whole, answer each prompt by itself, or each half if memory was missing.

    Args:
        generate: Calls the model for a whole batch.
        prompts: The batch, at least one.

    Returns:
        One result a prompt, in order; `error` says why there is no answer.
    """
    lacking, size = "", 1
    try:
        return generate(prompts)
    except AnswerError as error:
        if len(prompts) == 1:
            return [failed(error)]
    except (RuntimeError, MemoryError) as error:
        lacking = out_of_memory(error)
        if not lacking:
            raise
    if lacking:  # only here are the failed forward's tensors let go of
        free_memory()
        size = -(-len(prompts) // 2)
    if len(prompts) == 1:
        return [failed(AnswerError(no_room(1, lacking)))]
    return [generation for part in batches(prompts, size) for generation in generate_apart(generate, part)]


def in_batches(
    generate: Callable[[Sequence[T]], list[Generation]], prompts: Sequence[T], size: int
) -> Iterator[Timed[Generation]]:
    """Answer prompts batch by batch; each result has an equal share of its batch's wall seconds."""
    for batch in batches(prompts, size):
        started = time.perf_counter()
        generations = generate_apart(generate, batch)
        share = (time.perf_counter() - started) / len(batch)
        yield from (Timed(generation, {"total": share}) for generation in generations)


def no_room(at_once: int, told: str) -> str:
    """Return why there is no answer: so many questions at once did not fit, with the numbers that torch gives."""
    return f"out of memory with {many(at_once, 'question')} at once ({told})"


def failed(error: AnswerError) -> Generation:
    """Return the result of a prompt that has no answer."""
    return Generation("", "", "error", (), 0, 0, 0.0, 0.0, str(error))
