"""The run loop: for each draw and run, load, prepare, answer, append. No branch on a system's name.

Reports what happens to a callback; holds no terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rmtbench.core import Answer, Draw, RunSpec
from rmtbench.corpora.base import TokenCounter
from rmtbench.journal.writer import RunWriter
from rmtbench.kvcache.watching import Reading, Watch
from rmtbench.measure import peak_device_bytes, peak_resident_bytes, reset_peak_memory
from rmtbench.models.base import Embedder, LanguageModel, Reranker
from rmtbench.runs.at_once import answer_in_order
from rmtbench.runs.fit import check_fit
from rmtbench.runs.memories import LoadedMemory
from rmtbench.systems.base import Equipment, SharedWork, SystemKind
from rmtbench.systems.registry import find_system

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from rmtbench.kvcache.disk.store import CacheStore


@dataclass(frozen=True, slots=True)
class Tools:
    """What all runs of a command are given: loaded once. `memories` are trained ones, by their names in the specs."""

    model: LanguageModel
    provenance: dict[str, Any]
    embedder: Embedder | None = None
    document_embedder: Embedder | None = None
    memories: Mapping[str, LoadedMemory] = field(default_factory=dict)
    writer: LanguageModel | None = None
    kv_store: CacheStore | None = None
    reranker: Reranker | None = None
    indexes: Path | None = None
    qdrant: QdrantClient | None = None

    def memory(self, spec: RunSpec) -> LoadedMemory | None:
        """The trained memory that a run names; None where it names none."""
        return self.memories.get(dict(spec.settings).get("memory", ""))


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in a run.

    Attributes:
        kind: ``begin`` (a run's draw starts), ``reading`` and ``notice`` (while it is prepared), ``prepared``,
            ``answer``, or ``end`` (the draw is done).
        run_id: The run.
        draw: The draw.
        done: Questions of this run answered so far, earlier sessions included.
        total: Questions of this run over the draws seen so far.
        answer: The answer, for ``answer``.
        prepare_seconds: What preparing took, for ``prepared``.
        reading: How far the corpus is read, for ``reading``.
        text: One line for the person, for ``notice``.
    """

    kind: Literal["begin", "reading", "notice", "prepared", "answer", "end"]
    run_id: str
    draw: int
    done: int
    total: int
    answer: Answer | None = None
    prepare_seconds: float = 0.0
    reading: Reading | None = None
    text: str = ""


Report = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended: answers on disk, and how many of those made now have failed."""

    run_id: str
    folder: Path
    answered: int
    failed: int


def execute(
    specs: Sequence[RunSpec],
    draws: Sequence[Draw],
    tools: Tools,
    results: Path,
    report: Report,
    *,
    fresh: bool = False,
) -> list[Outcome]:
    """Run every spec over every draw, resuming what lies half done.

    Args:
        specs: The runs; they share dataset, model and draws.
        draws: The draws, in order.
        tools: Model and embedders.
        results: Folder of all runs.
        report: Told of everything that happens.
        fresh: Whether to begin anew instead of resuming.

    Returns:
        One outcome a run, in order.

    Raises:
        UserError: A corpus does not fit, a run is being written by another process or does not match, the disk is full.
    """
    kinds = [find_system(spec.system) for spec in specs]
    counts = getattr(tools.model, "counts_tokens", True)  # a served model may have no tokenizer
    tokens = [corpus_tokens(draw, tools.model.count_tokens) if counts else None for draw in draws]
    check_fit(specs, kinds, draws, tools.model)
    with ExitStack() as stack:
        writers = [stack.enter_context(RunWriter(results, spec, fresh=fresh)) for spec in specs]
        for writer, spec, kind in zip(writers, specs, kinds, strict=True):
            provenance = dict(tools.provenance)
            if not kind.needs_embedder:
                provenance.pop("embedder", None)
            if not spec.retrieves:
                provenance.pop("reranker", None)
            if (memory := tools.memory(spec)) is not None:
                provenance["memory"] = dict(memory.provenance)
            if kind.kernels is not None and (kernels := kind.kernels(tools.model, spec)):
                provenance["kernels"] = dict(kernels)
            if any(writer.remaining(draw.corpus) for draw in draws):
                writer.begin(provenance)
        failed = dict.fromkeys((writer.run_id for writer in writers), 0)
        # The first batch of each run and process still sets kernels and caches up: it is marked, and not timed.
        warmups = {writer.run_id: spec.at_once for writer, spec in zip(writers, specs, strict=True)}
        for draw, count in zip(draws, tokens, strict=True):
            with SharedWork() as shared:
                for writer, spec, kind in zip(writers, specs, kinds, strict=True):
                    writer.add_draw(draw, count)
                    memory = tools.memory(spec)
                    equipment = Equipment(
                        spec=spec,
                        model=tools.model,
                        embedder=tools.embedder,
                        document_embedder=tools.document_embedder,
                        gold={gold.question_id: gold for gold in draw.gold} if kind.sees_gold else {},
                        shared=shared,
                        recurrent=memory.decoder if memory is not None else None,
                        writer=tools.writer if kind.writes_notes else None,
                        kv_store=tools.kv_store if "kv_cache" in dict(spec.settings) else None,
                        watch=_watch(writer, draw, report),
                        reranker=tools.reranker if spec.retrieves else None,
                        indexes=tools.indexes if spec.retrieves else None,
                        qdrant=tools.qdrant if spec.retrieves else None,
                    )
                    failed[writer.run_id] += _run_draw(writer, kind, equipment, draw, warmups, report)
        return [
            Outcome(writer.run_id, writer.folder.path, len(writer.done), failed[writer.run_id]) for writer in writers
        ]


def _run_draw(
    writer: RunWriter, kind: SystemKind, equipment: Equipment, draw: Draw, warmups: dict[str, int], report: Report
) -> int:
    """Answer what one run still owes of one draw; returns how many answers failed."""
    corpus = draw.corpus
    questions = writer.remaining(corpus)
    if not questions:
        return 0
    total = len(writer.done) + len(questions)
    device = equipment.spec.device
    report(Event("begin", writer.run_id, corpus.draw, len(writer.done), total))
    reset_peak_memory(device)
    failed = 0
    with kind.make(equipment) as system:
        prepared = system.prepare(corpus)
        writer.prepared(prepared, corpus.draw)
        report(Event("prepared", writer.run_id, corpus.draw, len(writer.done), total, None, prepared.total_seconds))
        for answer in answer_in_order(system, questions, equipment.spec.concurrency):
            counted = replace(answer, warmup=warmups[writer.run_id] > 0)
            warmups[writer.run_id] -= 1
            writer.answer(counted, corpus.draw)
            failed += counted.error is not None
            report(Event("answer", writer.run_id, corpus.draw, len(writer.done), total, counted))
    warmups[writer.run_id] = 0  # the first batch ends with its draw, however few questions that still owed
    writer.usage(corpus.draw, peak_resident_bytes(), peak_device_bytes(device))
    report(Event("end", writer.run_id, corpus.draw, len(writer.done), total))
    return failed


def _watch(writer: RunWriter, draw: Draw, report: Report) -> Watch:
    """What a system tells while it prepares, as events of its run."""
    place = (writer.run_id, draw.corpus.draw, len(writer.done), len(writer.done))
    return Watch(
        reading=lambda reading: report(Event("reading", *place, reading=reading)),
        notice=lambda text: report(Event("notice", *place, text=text)),
    )


def corpus_tokens(draw: Draw, count_tokens: TokenCounter) -> int:
    """Tokens of a draw's documents, titles included."""
    return sum(count_tokens([f"{document.title}\n{document.text}" for document in draw.corpus.documents]))
