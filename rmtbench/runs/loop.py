"""The run loop: for each draw and run, load, prepare, answer, append. No branch on a system's name.

Reports events to a callback and prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from rmtbench.core import Answer, Corpus, Draw, Prepared, Question, RunSpec, SystemTraits
from rmtbench.corpora.base import TokenCounter
from rmtbench.errors import UserError, out_of_memory
from rmtbench.journal.record import Key
from rmtbench.journal.writer import RunWriter
from rmtbench.kvcache.watching import ReadProgress, Watch
from rmtbench.measure import peak_device_bytes, peak_resident_bytes, reset_peak_memory
from rmtbench.options import flag
from rmtbench.runs.at_once import answer_in_order
from rmtbench.runs.fit import check_fit
from rmtbench.runs.plugin import Guarded, PrepareError, kernels_of
from rmtbench.systems.base import System, SystemKind
from rmtbench.systems.registry import find_system, is_plugin
from rmtbench.systems.resources import Resources, SharedWork

EventKind = Literal["begin", "reading", "notice", "prepared", "answer", "end"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in a run.

    Attributes:
        kind: ``begin`` (a run's draw starts), ``reading`` and ``notice`` (during preparation), ``prepared``,
            ``answer``, or ``end`` (the draw is done).
        run_id: The run.
        draw: The draw.
        done: Questions of this run answered so far, with those of earlier sessions.
        total: Questions of this run over all draws that are to be done, with those that have an answer.
        answer: The answer, for ``answer``.
        prepare_seconds: Seconds of the preparation, for ``prepared``.
        reading: How far the corpus is read, for ``reading``.
        text: One line for the user, for ``notice``.
    """

    kind: EventKind
    run_id: str
    draw: int
    done: int
    total: int
    answer: Answer | None = None
    prepare_seconds: float = 0.0
    reading: ReadProgress | None = None
    text: str = ""


OnEvent = Callable[[Event], None]
"""Gets every event of the runs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended: the answers on disk, and how many answers of this call failed."""

    run_id: str
    folder: Path
    answered: int
    failed: int


def execute(
    specs: Sequence[RunSpec],
    draws: Sequence[Draw],
    resources: Resources,
    results: Path,
    report: OnEvent,
    *,
    fresh: bool = False,
) -> list[Outcome]:
    """Run every spec over every draw, and resume unfinished runs.

    Args:
        specs: The runs; they share dataset, model and draws.
        draws: The draws, in order.
        resources: What was loaded for all runs.
        results: Folder of all runs.
        report: Gets every event.
        fresh: Whether to start again instead of resuming.

    Returns:
        One outcome for each run, in order.

    Raises:
        UserError: A corpus does not fit, another process writes a run, a run does not match, or the disk is full.
    """
    kinds = [find_system(spec.system) for spec in specs]
    model = resources.model
    counts = getattr(model, "counts_tokens", True)  # a served model may have no tokenizer
    tokens = [corpus_tokens(draw, model.count_tokens) if counts else None for draw in draws]
    check_fit(specs, kinds, draws, model)
    with ExitStack() as stack:
        writers = [stack.enter_context(RunWriter(results, spec, fresh=fresh)) for spec in specs]
        runs = [RunInProgress(*each, resources, report) for each in zip(specs, kinds, writers, strict=True)]
        for run in runs:
            run.begin(draws)
        for draw, count in zip(draws, tokens, strict=True):
            with SharedWork() as shared:
                for run, writer in zip(runs, writers, strict=True):
                    writer.add_draw(draw, count)
                    run.do(draw, shared)
        ended = zip(runs, writers, strict=True)
        return [Outcome(made.run_id, made.folder.path, len(made.done), run.failed) for run, made in ended]


class Journal(Protocol):
    """Where a run's answers go: a `RunWriter`, or a way to the process that has one.

    Attributes:
        run_id: The run's name.
        done: Keys of the answers that it has.
    """

    run_id: str
    done: set[Key]

    def remaining(self, corpus: Corpus) -> Sequence[Question]:
        """Return the questions of a draw that have no answer yet, in their order."""
        ...

    def begin(self, provenance: Mapping[str, Any], system: SystemTraits | None = None) -> object:
        """Note that this process answers from here on, and with what."""
        ...

    def prepared(self, prepared: Prepared, draw: int) -> None:
        """Note what preparing a draw cost."""
        ...

    def answer(self, answer: Answer, draw: int) -> None:
        """Keep an answer."""
        ...

    def usage(self, draw: int, resident: int, device: int | None) -> None:
        """Note the most memory, in bytes, that a draw took."""
        ...


class RunInProgress:
    """The state of one run in one process: its system, its journal, and its counts over the draws.

    Attributes:
        spec: What the run asks.
        kind: Its system.
        writer: Its journal.
        failed: Answers of this process that failed.
    """

    def __init__(self, spec: RunSpec, kind: SystemKind, writer: Journal, resources: Resources, report: OnEvent) -> None:
        self.spec, self.kind, self.writer = spec, kind, writer
        self.failed = self._total = 0
        self._resources, self._report = resources, report
        # The first batch of each run and process still sets up kernels and caches: it is marked, and not timed.
        self._warmups = spec.at_once

    def begin(self, draws: Sequence[Draw]) -> None:
        """Record what produces the answers, if any are missing."""
        asked = {(draw.corpus.draw, question.id) for draw in draws for question in draw.corpus.questions}
        self._total = len(asked | self.writer.done)
        if any(self.writer.remaining(draw.corpus) for draw in draws):
            self.writer.begin(self.provenance(), self.kind.traits)

    def provenance(self) -> dict[str, Any]:
        """Return what results record about the run: of all that was loaded, only the parts that it uses."""
        provenance = dict(self._resources.provenance)
        if "embedder" not in self.kind.needs:
            provenance.pop("embedder", None)
        if not self.spec.retrieves:
            provenance.pop("reranker", None)
        if (memory := self._resources.memory_of(self.spec)) is not None:
            provenance["memory"] = dict(memory.provenance)
        if kernels := kernels_of(self.kind, self._resources.model, self.spec, plugin=is_plugin(self.spec.system)):
            provenance["kernels"] = kernels
        return provenance

    def do(self, draw: Draw, shared: SharedWork) -> None:
        """Answer the unanswered questions of one draw."""
        corpus, writer = draw.corpus, self.writer
        questions = writer.remaining(corpus)
        if not questions:
            return
        total = max(self._total, len(writer.done) + len(questions))
        self._report(self._event("begin", draw, total))
        reset_peak_memory(self.spec.device)
        gold = {gold.question_id: gold for gold in draw.gold}
        resources = self._resources.for_run(
            self.spec, self.kind.needs, gold=gold, shared=shared, watch=self._watch(draw)
        )
        with ExitStack() as stack, self._memory(draw):
            try:
                system = self._system(stack, resources)
                prepared = system.prepare(corpus)
            except PrepareError as error:
                text = f"draw {corpus.draw} is left out, for {self.spec.system} cannot prepare it ({error})"
                self._report(replace(self._event("notice", draw, total), text=text))
                return
            writer.prepared(prepared, corpus.draw)
            self._report(replace(self._event("prepared", draw, total), prepare_seconds=prepared.total_seconds))
            for answer in self._answers(system, questions):
                counted = replace(answer, warmup=self._warmups > 0)
                self._warmups -= 1
                writer.answer(counted, corpus.draw)
                self.failed += counted.error is not None
                self._report(replace(self._event("answer", draw, total), answer=counted))
        self._warmups = 0  # the first batch ends with its draw, even if it is not full
        writer.usage(corpus.draw, peak_resident_bytes(), peak_device_bytes(self.spec.device))
        self._report(self._event("end", draw, total))

    @contextmanager
    def _memory(self, draw: Draw) -> Iterator[None]:
        """Turn missing memory into a user's error: what was answered is on disk, and the command can resume."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            told = out_of_memory(error)
            if not told:
                raise
            raise UserError(
                f"out of memory ({told})",
                where=f"{flag.systems} {self.spec.system}, corpus {draw.corpus.id}",
                remedy=f"every answer so far is kept; choose a smaller {flag.batch} or {flag.size}, "
                f"or for cag a smaller cache ({flag.kv_place}=host, {flag.kv_bits}=8)",
            ) from None

    def _answers(self, system: System | Guarded, questions: Sequence[Question]) -> Iterator[Answer]:
        """Ask all questions in one call, or several at once if the spec says so."""
        at_once = self.spec.concurrency
        return system.answer(questions) if at_once == 1 else answer_in_order(system, questions, at_once)

    def _system(self, stack: ExitStack, resources: Resources) -> System | Guarded:
        """Make and enter the system. A system of another package is guarded.

        Raises:
            PrepareError: A system of another package cannot be made.
        """
        if not is_plugin(self.spec.system):
            return stack.enter_context(self.kind.make(resources))
        return stack.enter_context(Guarded(self.kind, resources, resources.watch.notice))

    def _event(self, kind: EventKind, draw: Draw, total: int) -> Event:
        return Event(kind, self.writer.run_id, draw.corpus.draw, len(self.writer.done), total)

    def _watch(self, draw: Draw) -> Watch:
        """Return callbacks that turn what a system reports during preparation into events of its run."""
        done = len(self.writer.done)
        event = partial(self._event, draw=draw, total=done)
        return Watch(
            reading=lambda reading: self._report(replace(event("reading"), reading=reading)),
            notice=lambda text: self._report(replace(event("notice"), text=text)),
        )


def corpus_tokens(draw: Draw, count_tokens: TokenCounter) -> int:
    """Return the tokens of a draw's documents, with their titles."""
    return sum(count_tokens([f"{document.title}\n{document.text}" for document in draw.corpus.documents]))
