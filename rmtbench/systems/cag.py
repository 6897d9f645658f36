"""Cache-augmented generation: the corpus is read once, and every question continues from its key-value cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeGuard

from rmtbench.core import Answer, Corpus, Prepared, Question, RunSpec
from rmtbench.errors import AnswerError, ContextTooLongError, UserError
from rmtbench.measure import Stopwatch, synchroniser
from rmtbench.systems.base import Equipment, SystemKind, answer_batch, batches, generate_apart, make_answer
from rmtbench.systems.in_prompt import whole_corpus

if TYPE_CHECKING:
    from rmtbench.kvcache.base import PrefixCache, PrefixKV
    from rmtbench.kvcache.disk.obtain import ReadContext
    from rmtbench.kvcache.exact.shared import SharedPrefixCache
    from rmtbench.models.base import LanguageModel, Passage
    from rmtbench.models.endpoint.model import EndpointModel
    from rmtbench.models.local import LocalModel


class CacheAugmented:
    """A `System` over one prefix cache."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._settings = dict(equipment.spec.settings)
        self._prefix: PrefixCache | None = None
        self._counts: dict[str, int] = {}

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
            UserError: The corpus does not fit the model's context, or the model keeps no cache of its own, or none of
                the kind that is asked for.
        """
        from rmtbench.models.endpoint.model import EndpointModel
        from rmtbench.models.local import LocalModel

        model, batch = self._equipment.model, self._equipment.spec.batch
        if isinstance(model, EndpointModel):
            return self._warm(model, corpus)
        if not isinstance(model, LocalModel):
            raise UserError("this model keeps no cache here", where="--system cag", remedy="use a local model")
        questions = [question.text for question in corpus.questions]
        try:
            self._prefix = self._reads()(model, whole_corpus(corpus), questions, batch, self._read)
        except AnswerError as error:
            raise UserError(str(error), where=f"corpus {corpus.id}", remedy="choose a smaller --size") from error
        return Prepared(self._prefix.seconds, self._prefix.bytes, self._prefix.tokens, counts=self._counts)

    def _warm(self, model: EndpointModel, corpus: Corpus) -> Prepared:
        """Let the server read the corpus once; its own prefix cache does the rest, and usage tells whether it did."""
        try:
            self._prefix = prefix = model.warm(whole_corpus(corpus))
        except ContextTooLongError as error:
            raise UserError(str(error), where=f"corpus {corpus.id}", remedy="choose a smaller --size") from None
        except AnswerError as error:
            raise UserError(
                f"the corpus could not be shown to the server: {error}",
                where=f"corpus {corpus.id}",
                remedy="every answer so far is kept; once the server is well, the same command resumes",
            ) from None
        return Prepared(prefix.seconds, prefix.bytes, prefix.tokens, counts=prefix.counts)

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Answer each question from the cache, which is left as it was.

        Over the shared prefix a question begins as soon as an earlier one has ended, and its answer waits for those of
        the questions before it.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if self._prefix is None:
            raise RuntimeError("answer before prepare")
        prefix, texts = self._prefix, [question.text for question in questions]
        if _streams(prefix, self._equipment.model):
            for question, generation in zip(questions, prefix.stream(texts), strict=True):
                yield make_answer(question, generation, generation.seconds)
            return
        for batch in batches(questions, self._equipment.spec.batch):
            started = time.perf_counter()
            texts = [question.text for question in batch]
            yield from answer_batch(batch, partial(generate_apart, prefix.generate, texts), started)

    def _read(self, model: LocalModel, ids: Sequence[int], seconds: dict[str, float]) -> PrefixKV:
        """Read the context, or load it where caches are kept."""
        from rmtbench.kvcache.disk.obtain import obtain

        store = self._equipment.kv_store
        found = obtain(model, ids, seconds, store=store, watch=self._equipment.watch)
        if store is not None:
            self._counts = {"reused_tokens": found.reused_tokens, "read_tokens": len(ids) - found.reused_tokens}
        return self._as_kept(model, found.tensors, seconds)

    def _read_composed(
        self, model: LocalModel, passages: Sequence[Passage], questions: Sequence[str], batch: int, _read: ReadContext
    ) -> PrefixCache:
        """Put the context together of its documents' caches."""
        from rmtbench.kvcache.approximate.composed import obtain_composed
        from rmtbench.kvcache.exact.shared import shared_prefix

        share = self._settings.get("recompute")
        watch = Stopwatch()
        with watch.part("tokenize"):
            parts = model.contract.context_parts(passages)
            longest = max((len(model.question_ids(question)) for question in questions), default=0)
        model.check_length(sum(map(len, parts)) + longest)
        context, self._counts = obtain_composed(
            model,
            parts,
            watch.seconds,
            store=self._equipment.kv_store,
            share=None if share is None else float(share),
            watch=self._equipment.watch,
        )
        context = self._as_kept(model, context, watch.seconds)
        return shared_prefix(model, context, longest=longest, batch=batch, seconds=watch.seconds)

    def _as_kept(self, model: LocalModel, tensors: PrefixKV, seconds: dict[str, float]) -> PrefixKV:
        """The context as it is kept: exact and on the device, unless the spec says otherwise."""
        if self._settings.get("kv_place") == "host":
            return self._offloaded(model, tensors, seconds)
        if "kv_bits" not in self._settings:
            return tensors
        from rmtbench.kvcache.approximate.quantised import quantise

        watch = Stopwatch(synchroniser(model.device))
        with watch.part("quantise"):
            few = quantise(tensors, int(self._settings["kv_bits"]))
        seconds |= watch.seconds
        return few

    @staticmethod
    def _offloaded(model: LocalModel, tensors: PrefixKV, seconds: dict[str, float]) -> PrefixKV:
        from rmtbench.kvcache.exact.offloaded import offload

        watch = Stopwatch(synchroniser(model.device))
        with watch.part("offload"):
            kept = offload(tensors, model.model.device)
        seconds |= watch.seconds
        return kept

    def _reads(self) -> Callable[[LocalModel, Sequence[Passage], Sequence[str], int, ReadContext], PrefixCache]:
        prefix = self._settings.get("prefix")
        if prefix == "composed":
            return self._read_composed
        if prefix == "plain":
            from rmtbench.kvcache.exact.plain import read_prefix

            return read_prefix
        from rmtbench.kvcache.exact.shared import read_shared

        return read_shared


def _streams(prefix: PrefixCache, model: LanguageModel) -> TypeGuard[SharedPrefixCache]:
    """Whether it gives answers one by one; of a server's it is known without importing torch."""
    from rmtbench.models.local import LocalModel

    if not isinstance(model, LocalModel):
        return False
    from rmtbench.kvcache.exact.shared import SharedPrefixCache

    return isinstance(prefix, SharedPrefixCache)


def _kernels(model: LanguageModel, spec: RunSpec) -> dict[str, object]:
    from rmtbench.models.local import LocalModel

    if not isinstance(model, LocalModel):
        return {}
    from rmtbench.kvcache.exact.uncached import kernels_of

    return kernels_of(model, dict(spec.settings).get("prefix", "shared"))


CAG = SystemKind(
    "cag",
    "the corpus's KV cache, made once and read for every question",
    CacheAugmented,
    reads_corpus=True,
    takes_prefix=True,
    kernels=_kernels,
)
