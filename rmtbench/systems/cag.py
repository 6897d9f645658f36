"""Cache-augmented generation: the corpus is read once, and every question continues from its key-value cache."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rmtbench.core import Answer, Corpus, Prepared, Question
from rmtbench.errors import AnswerError, UserError
from rmtbench.systems.base import Equipment, SystemKind, answer_batch, batches, generate_apart
from rmtbench.systems.in_prompt import whole_corpus

if TYPE_CHECKING:
    from rmtbench.kvcache.base import Prefix


class CacheAugmented:
    """A `System` over one prefix cache."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._prefix: Prefix | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._prefix is not None:
            self._prefix.__exit__(kind, error, trace)
            self._prefix = None

    def prepare(self, corpus: Corpus) -> Prepared:
        """Read the corpus into the cache.

        Raises:
            UserError: The corpus does not fit the model's context, or the model keeps no cache of its own.
        """
        from rmtbench.kvcache.plain import read_prefix
        from rmtbench.models.local import LocalModel

        model, batch = self._equipment.model, self._equipment.spec.batch
        if not isinstance(model, LocalModel):
            raise UserError("this model keeps no cache here", where="--system cag", remedy="use a local model")
        questions = [question.text for question in corpus.questions]
        try:
            self._prefix = read_prefix(model, whole_corpus(corpus), questions, batch)
        except AnswerError as error:
            raise UserError(str(error), where=f"corpus {corpus.id}", remedy="choose a smaller --size") from error
        return Prepared(self._prefix.seconds, self._prefix.bytes, self._prefix.tokens)

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Answer each question from the cache, which is left as it was.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if self._prefix is None:
            raise RuntimeError("answer before prepare")
        prefix = self._prefix
        for batch in batches(questions, self._equipment.spec.batch):
            started = time.perf_counter()
            texts = [question.text for question in batch]
            yield from answer_batch(batch, partial(generate_apart, prefix.generate, texts), started)


CAG = SystemKind(
    "cag", "the corpus's KV cache, made once and read for every question", CacheAugmented, reads_corpus=True
)
