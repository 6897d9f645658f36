"""Read a context for one question only, with the kernels that read a cached one.

So a comparison with and without a cache compares the cache, and not two ways of computing attention.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from rmtbench.errors import UserError
from rmtbench.kvcache.exact import chunk_attention, shared_attention
from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.kvcache.exact.prefill import CHUNK_TOKENS
from rmtbench.kvcache.exact.reading import read_in_chunks
from rmtbench.kvcache.exact.shared import FOR_FEW, read_shared
from rmtbench.kvcache.exact.static_places import choose_step
from rmtbench.kvcache.exact.static_step import find_attention
from rmtbench.kvcache.exact.trial import SHARED
from rmtbench.measure import synchroniser
from rmtbench.models.architecture import check_shared_prefix, plain_causal
from rmtbench.models.base import Generation, Prompt
from rmtbench.models.local import LocalModel

AnswerUncached = Callable[[Sequence[Prompt]], list[Generation]]
"""Answers prompts one after the other, each over its own reading of its context."""


def uncached_reader(model: LocalModel) -> tuple[AnswerUncached, str]:
    """Return what answers prompts without a cache, and why it does not use the shared prefix's attention.

    Args:
        model: The model that answers.

    Returns:
        A function, which raises `AnswerError` if a prompt with its answer is longer than the model's context; and a
        reason, which is empty if it uses that attention.
    """
    prefix, why = prefix_for(model)
    read = read_shared if prefix == "shared" else read_prefix

    def answer(prompt: Prompt) -> Generation:
        start = time.perf_counter()
        with read(model, prompt.passages, [prompt.question], 1, read_in_chunks).value as context:
            synchroniser(model.device)()
            before = time.perf_counter() - start
            [found] = context.generate([prompt.question])
        return replace(found.after(before), cached_tokens=0)

    return lambda prompts: [answer(prompt) for prompt in prompts], why


def prefix_for(model: LocalModel) -> tuple[str, str]:
    """Return which prefix reads an uncached context, and why it is not the shared one; the reason is empty if it is."""
    try:
        check_shared_prefix(model.model, where="full-context")
    except UserError as error:
        return "plain", error.what
    found = model.inexact.get(SHARED, "")
    return ("plain", f"{type(model.model).__name__} differs over the {SHARED} ({found})") if found else ("shared", "")


def kernels_of(model: LocalModel, prefix: str, *, plain: bool = True, no_graphs: str = FOR_FEW) -> dict[str, object]:
    """By which attention a context and the questions behind it are read, for a run's provenance.

    Args:
        model: The model.
        prefix: How its keys and values are kept: see `rmtbench.options.cache.Layout`.
        plain: Whether they stay on the device, in the model's own numbers.
        no_graphs: Why no CUDA graphs are wanted; empty where they are.

    Returns:
        `context` and `questions`, names among transformers' attention implementations, and `chunk_tokens`, the tokens
        of the context that are read at once. On a CUDA device also `step`, how decode steps over a shared prefix are
        computed, with the reason where that is not by CUDA graphs, and `suffixes`, who computes the attention to the
        rows' own tokens there.
    """
    own = str(model.model.config._attn_implementation)  # noqa: SLF001 - the only place that tells
    return {
        "context": chunk_attention.NAME if plain_causal(model.model) else own,
        "questions": own if prefix == "plain" else shared_attention.NAME,
        "chunk_tokens": CHUNK_TOKENS,
        **(_step_of(model, plain=plain, no_graphs=no_graphs) if prefix != "plain" else {}),
    }


def _step_of(model: LocalModel, *, plain: bool, no_graphs: str) -> dict[str, object]:
    device = model.model.device
    if device.type != "cuda":
        return {}
    how, why = choose_step(model, plain=plain, no_graphs=no_graphs)
    return {"step": how, "step_reason": why, "suffixes": "torch" if how == "forward" else find_attention(device)[1]}
