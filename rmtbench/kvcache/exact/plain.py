"""The plain prefix: the context's keys and values in one preallocated buffer, questions written behind them in place.

Going back to the context is setting one number. It stays the reference for every faster way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Self

from rmtbench.errors import AnswerError
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.prefill import fill
from rmtbench.kvcache.exact.reading import ReadContext, tokenise
from rmtbench.measure import Timed, add_seconds, synchroniser, timed
from rmtbench.models.architecture import check_batch
from rmtbench.models.base import Generation, Passage
from rmtbench.models.batches import in_batches
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import SharedPrefix, forward
from rmtbench.models.slots import SlotCache


class PlainPrefix:
    """A `PrefixCache` over one `SlotCache`; made by `plain_prefix` or `read_prefix`."""

    def __init__(self, model: LocalModel, cache: SlotCache, tokens: int) -> None:
        self._model = model
        self._cache: SlotCache | None = cache
        self._room = cache.layers[0].get_max_length() - tokens
        self._tokens = tokens

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._cache = None

    @property
    def tokens(self) -> int:
        """Tokens held."""
        return self._tokens

    @property
    def bytes(self) -> int:
        """Bytes held, the room for questions and answers included."""
        return self._cache.nbytes if self._cache is not None else 0

    def generate(self, questions: Sequence[str]) -> list[Generation]:
        """Answer questions that continue the context; several make one batch.

        Args:
            questions: At least one.

        Raises:
            AnswerError: A question is longer than the room kept for it, or than the model's context.
            RuntimeError: The prefix was closed.
        """
        if self._cache is None:
            raise RuntimeError("the prefix is closed")
        start = time.perf_counter()
        model = self._model
        tails = [model.question_ids(question) for question in questions]
        needed = sum(len(tail) + model.max_new_tokens for tail in tails)
        if needed > self._room:
            raise AnswerError(f"questions and answers of {needed} tokens exceed the {self._room} kept for them")
        lengths = [self._tokens + len(tail) for tail in tails]
        model.check_length(max(lengths))
        reader = SharedPrefix(model.model, self._cache, self._tokens, tails)
        found = model.decode(reader, lengths, [self._tokens] * len(tails), time.perf_counter() - start)
        if len(tails) > 1 and any(row.error is not None for row in found):
            # The rows lie in one line: masked or not, a value that is not finite spoils what the others read.
            return [row for question in questions for row in self.generate([question])]
        return found

    def answers(self, questions: Sequence[str], batch: int) -> Iterator[Timed[Generation]]:
        """Answer questions in order, batch by batch: see `PrefixCache`."""
        return in_batches(self.generate, questions, batch)


def plain_prefix(model: LocalModel, context: PrefixKV, *, longest: int, batch: int) -> PlainPrefix:
    """Copy a context's keys and values into one buffer with room for questions behind them.

    Args:
        model: The model that read it.
        context: What it read.
        longest: Tokens of the longest question: room for it and its answer is kept `batch` times over.
        batch: Most questions at once.
    """
    cache = _buffer(model, context.tokens, longest, batch)
    fill(cache, context, model.model.device)
    return PlainPrefix(model, cache, context.tokens)


def read_prefix(
    model: LocalModel,
    passages: Sequence[Passage],
    questions: Sequence[str],
    batch: int,
    read: ReadContext | None = None,
) -> Timed[PlainPrefix]:
    """Read a context once and keep its keys and values.

    Args:
        model: The model that reads it.
        passages: The context.
        questions: Those that will be asked: room for the longest, `batch` times over, is kept behind the context.
        batch: Most questions asked at once.
        read: Reads the context; None for one forward straight into the buffer, the reference.

    Returns:
        The prefix with its seconds: ``tokenize`` and ``prefill``; with `read`, its parts and ``place``.

    Raises:
        UserError: The model has sliding-window layers and `batch` is above one.
        ContextTooLongError: The context leaves no room for an answer.
    """
    check_batch(model.model, batch)
    tokens = tokenise(model, passages, questions)
    ids, longest = tokens.value.ids, tokens.value.longest
    if read is None:
        cache = _buffer(model, len(ids), longest, batch)
        done = timed("prefill", lambda: forward(model.model, cache, ids, start=0), synchroniser(model.device))
        return Timed(PlainPrefix(model, cache, len(ids)), add_seconds(tokens.seconds, done.seconds))
    context = read(model, ids)
    place = partial(plain_prefix, model, context.value, longest=longest, batch=batch)
    held = timed("place", place, synchroniser(model.device))
    return Timed(held.value, add_seconds(tokens.seconds, context.seconds, held.seconds))


def _buffer(model: LocalModel, tokens: int, longest: int, batch: int) -> SlotCache:
    room = batch * (longest + model.max_new_tokens)
    return SlotCache(model.model.config.num_hidden_layers, rows=1, capacity=tokens + room)
