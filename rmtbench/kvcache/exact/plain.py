"""The plain prefix: the context's keys and values in one preallocated buffer, questions written behind them in place.

Going back to the context is setting one number. It stays the reference for every faster way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rmtbench.errors import AnswerError
from rmtbench.kvcache.exact.prefill import fill
from rmtbench.measure import Stopwatch, synchroniser
from rmtbench.models.architecture import check_batch
from rmtbench.models.base import Generation, Passage
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import SharedPrefix, forward
from rmtbench.models.slots import SlotCache

if TYPE_CHECKING:
    from rmtbench.kvcache.disk.obtain import ReadContext


class PlainPrefix:
    """A `PrefixCache` over one `SlotCache`; made by `read_prefix`."""

    def __init__(self, model: LocalModel, cache: SlotCache, tokens: int, seconds: Mapping[str, float]) -> None:
        self._model = model
        self._cache: SlotCache | None = cache
        self._room = cache.layers[0].get_max_length() - tokens
        self._tokens = tokens
        self._seconds = seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cache = None

    @property
    def tokens(self) -> int:
        """Tokens held."""
        return self._tokens

    @property
    def bytes(self) -> int:
        """Bytes held, the room for questions and answers included."""
        return self._cache.nbytes if self._cache is not None else 0

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds of tokenize and prefill."""
        return self._seconds

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


def read_prefix(
    model: LocalModel,
    passages: Sequence[Passage],
    questions: Sequence[str],
    batch: int,
    read: ReadContext | None = None,
) -> PlainPrefix:
    """Read a context once and keep its keys and values.

    Args:
        model: The model that reads it.
        passages: The context.
        questions: Those that will be asked: room for the longest, `batch` times over, is kept behind the context.
        batch: Most questions asked at once.
        read: Reads the context, or has it already; None for one forward straight into the buffer, the reference.

    Returns:
        The prefix, its cost by part (tokenize, prefill) inside.

    Raises:
        UserError: The model has sliding-window layers and `batch` is above one.
        AnswerError: The context leaves no room for an answer.
    """
    check_batch(model.model, batch)
    watch = Stopwatch(synchroniser(model.device))
    with watch.part("tokenize"):
        ids = model.context_ids(passages)
        longest = max((len(model.question_ids(question)) for question in questions), default=0)
    model.check_length(len(ids) + longest)
    room = batch * (longest + model.max_new_tokens)
    cache = SlotCache(model.model.config.num_hidden_layers, rows=1, capacity=len(ids) + room)
    if read is None:
        with watch.part("prefill"):
            forward(model.model, cache, ids, start=0)
    else:
        tensors = read(model, ids, watch.seconds)
        with watch.part("place"):
            fill(cache, tensors, model.model.device)
    return PlainPrefix(model, cache, len(ids), watch.seconds)
