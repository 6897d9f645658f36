"""Batches of prompts, and one answer a prompt from them: a prompt that fails fails no neighbour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rmtbench.errors import AnswerError
from rmtbench.measure import Timed
from rmtbench.models.base import Generation

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield consecutive groups of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def generate_apart(generate: Callable[[Sequence[T]], list[Generation]], prompts: Sequence[T]) -> list[Generation]:
    """Answer a batch; if it fails as a whole, answer each prompt by itself.

    Args:
        generate: Calls the model for a whole batch.
        prompts: The batch, at least one.

    Returns:
        One result a prompt, in order; `error` says why there is no answer.
    """
    try:
        return generate(prompts)
    except AnswerError as error:
        if len(prompts) == 1:
            return [failed(error)]
    return [generation for prompt in prompts for generation in generate_apart(generate, [prompt])]


def in_batches(
    generate: Callable[[Sequence[T]], list[Generation]], prompts: Sequence[T], size: int
) -> Iterator[Timed[Generation]]:
    """Answer prompts batch by batch; each result has an equal share of its batch's wall seconds."""
    for batch in batches(prompts, size):
        started = time.perf_counter()
        generations = generate_apart(generate, batch)
        share = (time.perf_counter() - started) / len(batch)
        yield from (Timed(generation, {"total": share}) for generation in generations)


def failed(error: AnswerError) -> Generation:
    """Return the result of a prompt that has no answer."""
    return Generation("", "", "error", (), 0, 0, 0.0, 0.0, str(error))
