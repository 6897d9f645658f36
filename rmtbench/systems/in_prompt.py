"""Systems whose prompts hold passages that need no search: none, the gold evidence, or the whole corpus.

They prepare nothing, and the model reads each prompt in full. It reads the whole corpus with the kernels of `cag`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from rmtbench.core import Answer, Corpus, Document, Gold, Prepared, Question, RunSpec, Span
from rmtbench.errors import ContextTooLongError, UserError
from rmtbench.models.base import Generation, LanguageModel, Passage, Prompt
from rmtbench.options import flag
from rmtbench.systems.base import Closing, Resources, SystemKind, answer_batch, batches, generate_apart
from rmtbench.systems.resources import local_model

Choose = Callable[[Corpus], Callable[[Question], tuple[Passage, ...]]]
"""Given the corpus, returns a function from a question to the passages of its prompt."""

Generate = Callable[[Sequence[Prompt]], list[Generation]]
"""Answers a batch of prompts."""


class InPrompt(Closing):
    """A `System` without preparation. Its only setting is what it puts into the prompt."""

    def __init__(self, resources: Resources, choose: Choose, generate: Generate | None = None) -> None:
        self._generate = generate or resources.model.generate
        self._resources = resources
        self._choose = choose
        self._passages: Callable[[Question], tuple[Passage, ...]] | None = None

    def close(self) -> None:
        """Let go of what was prepared."""
        self._passages = None

    def prepare(self, corpus: Corpus) -> Prepared:
        """Choose passages of the corpus. Takes no time and keeps no data."""
        self._passages = self._choose(corpus)
        return Prepared()

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Read the whole prompt of each question and answer it.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if self._passages is None:
            raise RuntimeError("answer before prepare")
        for batch in batches(questions, self._resources.spec.batch):
            started = time.perf_counter()
            prompts = [Prompt(self._passages(question), question.text) for question in batch]
            generate = partial(generate_apart, self._generate, prompts)
            yield from answer_batch(batch, generate, started)


def _read_anew(resources: Resources) -> Generate:
    """Return what reads the whole corpus for each question. A local model answers one question at a time."""
    if (model := resources.local) is None:
        return partial(_whole_or_none, resources)
    from rmtbench.kvcache.exact.uncached import uncached_reader

    answer, why_not_shared = uncached_reader(model)
    if why_not_shared:
        resources.watch.notice(f"full-context: {why_not_shared}; it reads as cag {flag.cache_layout} plain does")
    return answer


def _kernels(model: LanguageModel, _spec: RunSpec) -> Mapping[str, object]:
    if (local := local_model(model)) is None:
        return {}
    from rmtbench.kvcache.exact.uncached import kernels_of, prefix_for

    return kernels_of(local, prefix_for(local)[0])


def _whole_or_none(resources: Resources, prompts: Sequence[Prompt]) -> list[Generation]:
    """Answer prompts on a server that does not state its context: a corpus too long for one question fails for all."""
    try:
        return resources.model.generate(prompts)
    except ContextTooLongError as error:
        where = f"{flag.systems} {resources.spec.system}"
        raise UserError(
            str(error), where=where, remedy=f"choose a smaller {flag.size}, or leave this system out"
        ) from None


def whole_corpus(corpus: Corpus) -> tuple[Passage, ...]:
    """Return all documents as passages, in the corpus's order."""
    return tuple(Passage(document.title, document.text) for document in corpus.documents)


def evidence_passages(gold: Gold, documents: Mapping[str, Document]) -> tuple[Passage, ...]:
    """Return the paragraphs that state a question's supporting facts, each once, in the order of the facts.

    Args:
        gold: The question's gold. The first span of each fact is used.
        documents: The corpus's documents by id.
    """
    spans = dict.fromkeys(_paragraph(documents[fact[0].document_id], fact[0]) for fact in gold.evidence)
    return tuple(Passage(documents[s.document_id].title, documents[s.document_id].text[s.start : s.end]) for s in spans)


def _paragraph(document: Document, span: Span) -> Span:
    """Return the paragraphs that the span overlaps. Blank lines separate paragraphs."""
    before = document.text.rfind("\n\n", 0, span.start)
    after = document.text.find("\n\n", span.end)
    start = 0 if before < 0 else before + 2
    return Span(document.id, start, len(document.text) if after < 0 else after)


def _closed_book(resources: Resources) -> InPrompt:
    return InPrompt(resources, lambda _corpus: lambda _question: ())


def _full_context(resources: Resources) -> InPrompt:
    def choose(corpus: Corpus) -> Callable[[Question], tuple[Passage, ...]]:
        passages = whole_corpus(corpus)
        return lambda _question: passages

    return InPrompt(resources, choose, _read_anew(resources))


def _oracle(resources: Resources) -> InPrompt:
    def choose(corpus: Corpus) -> Callable[[Question], tuple[Passage, ...]]:
        documents = {document.id: document for document in corpus.documents}
        return lambda question: evidence_passages(resources.gold[question.id], documents)

    return InPrompt(resources, choose)


KIND = (
    SystemKind(
        "closed-book",
        "the question alone: the floor",
        _closed_book,
        order=10,
        family="reference",
        colour="grey",
        marker="x",
    ),
    SystemKind(
        "oracle",
        "the gold evidence alone: the ceiling",
        _oracle,
        needs={"gold", "evidence"},
        order=20,
        family="reference",
        marker="*",
    ),
    SystemKind(
        "full-context",
        "the whole corpus read again for every question (w/o CAG)",
        _full_context,
        needs={"whole-corpus"},
        kernels=_kernels,
        order=30,
        family="whole corpus",
        colour="blue",
        marker="s",
        twin="cag",
    ),
)
