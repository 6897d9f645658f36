"""Prompts composed from the caches of their chunks, so that the model reads only the question.

Not exact: no chunk has attended to the chunks before it. The same caches serve all runs of a command.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rmtbench.errors import UserError
from rmtbench.measure import Timed, synchroniser, timed
from rmtbench.models.base import Generation, LanguageModel, Passage, Prompt
from rmtbench.options import flag
from rmtbench.systems.resources import local_model

if TYPE_CHECKING:
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.models.local import LocalModel


class ChunkCaches:
    """Caches of chunks in memory, and answers from them. `make_chunk_caches` makes one."""

    def __init__(self, model: LocalModel, limit: int) -> None:
        from rmtbench.kvcache.approximate.compose import check_composable
        from rmtbench.kvcache.approximate.parts import PartCaches

        self._model = model
        self._frequencies = check_composable(model.model)
        self._limit, self._caches = limit, PartCaches(model, limit)
        self.filled_tokens = 0

    @property
    def bytes(self) -> int:
        """Memory of the caches, in bytes."""
        return self._caches.bytes

    def fill(self, passages: Sequence[Passage]) -> None:
        """Read chunks in order until the limit is reached. The others are read when a prompt first shows them.

        `filled_tokens` counts the tokens that were read.
        """
        head, *parts = self._model.contract.context_parts(passages)
        for part in parts:
            before = self.bytes
            ids = [*head, *part]
            self.filled_tokens += len(ids) - self._caches.get(ids).reused_tokens
            if self.bytes + (self.bytes - before) > self._limit:  # another one of this size would evict the first one
                break

    def generate(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """Answer prompts one after the other, because each has its own context.

        Args:
            prompts: Any number.

        Returns:
            One result for each prompt, in order. Prefill includes composing, and reading chunks that had no cache.
            Their tokens do not count as cached.

        Raises:
            AnswerError: A prompt with its answer is longer than the model's context.
        """
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> Generation:
        from rmtbench.kvcache.approximate.compose import compose
        from rmtbench.kvcache.exact.shared import FOR_FEW, SharedPrefixCache

        model, read = self._model, 0
        start = time.perf_counter()
        parts = model.contract.context_parts(prompt.passages)
        tail = len(model.question_ids(prompt.question))
        model.check_length(sum(map(len, parts)) + tail)

        def get(ids: Sequence[int]) -> PrefixKV:
            nonlocal read
            found = self._caches.get(ids)
            read += len(ids) - found.reused_tokens
            return found.tensors

        context = compose(parts, get, self._frequencies)
        synchroniser(model.device)()
        # `shared_prefix` would check the model again, within the question's time.
        with SharedPrefixCache(model, context, longest=tail, batch=1, no_graphs=FOR_FEW) as prefix:
            before = time.perf_counter() - start
            [answer] = prefix.generate([prompt.question])
        cached = max(0, context.tokens - read)
        return replace(answer.after(before), cached_tokens=cached)


def make_chunk_caches(model: LanguageModel, passages: Sequence[Passage], limit: str) -> Timed[ChunkCaches]:
    """Read the caches of chunks ahead, as many as the limit allows.

    Args:
        model: The model that will answer.
        passages: The chunks as prompts show them.
        limit: Most memory of all caches together, such as ``2GB``.

    Returns:
        The caches. Reading them is timed as ``prefill``.

    Raises:
        UserError: The model is behind a server or its caches cannot be composed, or the limit is not a size.
    """
    from rmtbench.measure import parse_bytes

    if (local := local_model(model)) is None:
        raise UserError("this model keeps no caches here", where=flag.chunk_cache, remedy="use a local model")
    caches = ChunkCaches(local, parse_bytes(limit, flag.chunk_cache_limit))
    filled = timed("prefill", lambda: caches.fill(passages), synchroniser(local.device))
    return Timed(caches, filled.seconds)
