"""Cache-augmented generation: the corpus is read once, and every question continues from its key-value cache.

A server does this by itself. A local model tokenises the corpus, loads or reads it, transforms it, and holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rmtbench.core import Answer, Corpus, Prepared, Question, RunSpec
from rmtbench.errors import AnswerError, ContextTooLongError, UserError
from rmtbench.measure import Timed, add_seconds, synchroniser, timed
from rmtbench.models.base import HeldPrefix, LanguageModel, Passage, PrefixCache
from rmtbench.options import flag
from rmtbench.options.identity import RunOptions
from rmtbench.systems.base import Closing, Resources, SystemKind, make_answer
from rmtbench.systems.in_prompt import whole_corpus
from rmtbench.systems.resources import local_model

if TYPE_CHECKING:
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.kvcache.disk.obtain import Obtained
    from rmtbench.kvcache.exact.reading import ContextTokens
    from rmtbench.models.local import LocalModel


class CacheAugmented(Closing):
    """A `System` over one prefix cache."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._options = resources.spec.options
        self._prefix: PrefixCache | None = None

    def close(self) -> None:
        """Let go of what was prepared."""
        if self._prefix is not None:
            self._prefix.__exit__(None, None, None)
            self._prefix = None

    def prepare(self, corpus: Corpus) -> Prepared:
        """Read the corpus into the cache.

        Raises:
            UserError: The corpus does not fit the model's context, the server gives no reply, or the model has no
                cache of the kind that was asked for.
        """
        passages = whole_corpus(corpus)
        try:
            if (local := self._resources.local) is not None:
                held = self._hold_here(local, passages, [question.text for question in corpus.questions])
            else:
                held = self._resources.caching.hold_context(passages)
        except ContextTooLongError as error:
            raise UserError(str(error), where=f"corpus {corpus.id}", remedy=f"choose a smaller {flag.size}") from error
        except AnswerError as error:
            raise UserError(
                f"the corpus could not be shown to the server: {error}",
                where=f"corpus {corpus.id}",
                remedy="every answer so far is kept; once the server is well, the same command resumes",
            ) from None
        self._prefix = prefix = held.value.cache
        return Prepared(held.seconds, prefix.bytes, prefix.tokens, counts=held.value.counts)

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Answer each question from the cache, which does not change.

        With the shared prefix, a question begins as soon as an earlier one has ended. Its answer waits for the answers
        to the questions before it.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if self._prefix is None:
            raise RuntimeError("answer before prepare")
        answers = self._prefix.answers([question.text for question in questions], self._resources.spec.batch)
        for question, answer in zip(questions, answers, strict=True):
            yield make_answer(question, answer.value, answer.total_seconds)

    def _hold_here(self, model: LocalModel, passages: Sequence[Passage], questions: Sequence[str]) -> Timed[HeldPrefix]:
        """Tokenise the corpus, load or read it, transform it, and hold it ready for questions."""
        from rmtbench.kvcache.exact.reading import tokenise

        self._check(model)
        tokens = tokenise(model, passages, questions, apart=self._options.cache_layout == "composed")
        read = self._load_or_read(model, tokens.value)
        counts, seconds = read.value.counts(self._resources.kv_store), add_seconds(tokens.seconds, read.seconds)
        kept = self._transform(model, read.value.tensors)
        del read  # frees what was transformed, before room for questions is taken
        held = self._hold(model, kept.value, tokens.value.longest)
        return Timed(HeldPrefix(held.value, counts), add_seconds(seconds, kept.seconds, held.seconds))

    def _check(self, model: LocalModel) -> None:
        """Refuse a model that the layout cannot serve, before the corpus is read."""
        from rmtbench.models.architecture import check_batch, check_shared_prefix

        if self._options.cache_layout == "plain":
            check_batch(model.model, self._resources.spec.batch)
        elif self._options.cache_layout == "shared":
            check_shared_prefix(model.model)

    def _load_or_read(self, model: LocalModel, tokens: ContextTokens) -> Timed[Obtained]:
        store, watch = self._resources.kv_store, self._resources.watch
        if self._options.cache_layout == "composed":
            from rmtbench.kvcache.approximate.composed import obtain_composed

            return obtain_composed(model, tokens.parts, store=store, share=self._options.recompute, watch=watch)
        from rmtbench.kvcache.disk.obtain import obtain

        return obtain(model, tokens.ids, store=store, watch=watch, host=self._options.kv_place == "host")

    def _transform(self, model: LocalModel, context: PrefixKV) -> Timed[PrefixKV]:
        """Bring the context into its final form: exact and on the device, unless the spec says otherwise."""
        wait = synchroniser(model.device)
        if self._options.kv_place == "host":
            from rmtbench.kvcache.exact.offloaded import offload

            return timed("offload", lambda: offload(context, model.model.device), wait)
        made = Timed(context, {})
        if self._options.prune is not None:
            from rmtbench.kvcache.approximate.pruned import prune

            made = timed("prune", partial(prune, model, context, self._options.keep or 1.0, self._options.prune), wait)
        if self._options.kv_bits is not None:
            from rmtbench.kvcache.approximate.quantised import quantise

            few = timed("quantise", partial(quantise, made.value, self._options.kv_bits), wait)
            made = Timed(few.value, add_seconds(made.seconds, few.seconds))
        return made

    def _hold(self, model: LocalModel, context: PrefixKV, longest: int) -> Timed[PrefixCache]:
        batch = self._resources.spec.batch
        if self._options.cache_layout == "plain":
            from rmtbench.kvcache.exact.plain import plain_prefix

            place: Callable[[], PrefixCache] = partial(plain_prefix, model, context, longest=longest, batch=batch)
            return timed("place", place, synchroniser(model.device))
        from rmtbench.kvcache.exact.shared import shared_prefix

        notice, no_graphs = self._resources.watch.notice, _no_graphs(self._options)
        make: Callable[[], PrefixCache] = partial(
            shared_prefix, model, context, longest=longest, batch=batch, notice=notice, no_graphs=no_graphs
        )
        # On the CPU that takes memory and nothing else; on a GPU it may record CUDA graphs.
        return timed("place", make, synchroniser(model.device)) if model.device != "cpu" else Timed(make(), {})


def _no_graphs(options: RunOptions) -> str:
    return "cuda-graphs is off" if options.cuda_graphs == "off" else ""


def _kernels(model: LanguageModel, spec: RunSpec) -> Mapping[str, object]:
    if (local := local_model(model)) is None:
        return {}
    from rmtbench.kvcache.exact.uncached import kernels_of

    options = spec.options
    plain = options.kv_bits is None and options.kv_place == "device"
    return kernels_of(local, options.cache_layout, plain=plain, no_graphs=_no_graphs(options))


KIND = SystemKind(
    "cag",
    "the corpus's KV cache, made once and read for every question",
    CacheAugmented,
    needs={"whole-corpus", "prefix-cache"},
    kernels=_kernels,
    order=40,
    family="whole corpus",
    colour="vermilion",
    marker="o",
    twin="full-context",
)
