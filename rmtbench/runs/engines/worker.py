"""What a worker does with its tasks, in whichever process it is: load once, answer many draws, keep nothing."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rmtbench.core import Answer, Corpus, Draw, Prepared, Question, SystemTraits
from rmtbench.errors import UserError
from rmtbench.files import cache_folder
from rmtbench.journal.layout import run_id
from rmtbench.journal.record import Key
from rmtbench.runs.engines.base import Begun, Check, Checked, DrawTask, Ended, Failed, Job, Row, Send, Usage
from rmtbench.runs.fit import find_misfits
from rmtbench.runs.loading import load_resources
from rmtbench.runs.loop import Event, RunInProgress, corpus_tokens
from rmtbench.runs.session import find_store
from rmtbench.systems.registry import find_system
from rmtbench.systems.resources import Resources, SharedWork


class Worker:
    """Does tasks one after the other, and keeps what it has loaded for the next one of the same job.

    Args:
        place: What results record about where and how it works.
    """

    def __init__(self, place: Mapping[str, Any]) -> None:
        self._place = dict(place)
        self._loaded: _Loaded | None = None

    def do(self, task: Check | DrawTask, send: Send) -> None:
        """Do a task, and send what comes of it as soon as it is there; raises nothing but an interruption."""
        try:
            loaded = self._load(task.job)
            if isinstance(task, Check):
                send(loaded.check(task.draws))
            else:
                loaded.answer(task, send)
        except UserError as error:
            send(Failed(error))
        except Exception:  # noqa: BLE001 - whatever it is, the process that asked must hear of it
            send(Failed(traceback.format_exc()))

    def _load(self, job: Job) -> _Loaded:
        if self._loaded is not None and self._loaded.job == job:
            return self._loaded
        before, self._loaded = self._loaded, None
        model = None if before is None or not _same_model(before.job, job) else before.resources.local
        del before  # another model takes its place: both need not fit
        request, cache = job.request, cache_folder()
        resources = load_resources(
            job.specs,
            job.device,
            cache,
            request.rmt,
            reranker=request.reranker,
            indexes=request.index,
            qdrant=request.qdrant,
            local=model,
        )
        provenance = {**resources.provenance, "engine": self._place}
        self._loaded = _Loaded(job, replace(resources, kv_store=find_store(request, cache), provenance=provenance))
        return self._loaded


def _same_model(one: Job, other: Job) -> bool:
    """Whether two jobs read with the very same weights, prompts and limits."""
    first, second = one.specs[0], other.specs[0]
    fields = ("model", "adapter", "tokenizer", "answer_style", "dtype", "seed", "max_answer_tokens")
    settings = ("weights", "system_prompt", "think_tokens")
    return (
        one.device == other.device
        and all(getattr(first, name) == getattr(second, name) for name in fields)
        and all(getattr(first.options, name) == getattr(second.options, name) for name in settings)
    )


class _Loaded:
    """What one job needs, and its runs in this process."""

    def __init__(self, job: Job, resources: Resources) -> None:
        self.job, self.resources = job, resources
        self._send: Send = _ignore
        self._runs: dict[str, RunInProgress] = {}
        for spec in job.specs:
            journal = _Sent(run_id(spec), self._tell)
            self._runs[journal.run_id] = RunInProgress(spec, find_system(spec.system), journal, resources, self._tell)

    def check(self, draws: Sequence[Draw]) -> Checked:
        """Say what was loaded, and which runs do not fit."""
        kinds = [find_system(spec.system) for spec in self.job.specs]
        memories = {spec: self.resources.memory_of(spec) for spec in self.job.specs}
        told = {spec: dict(memory.provenance) for spec, memory in memories.items() if memory is not None}
        misfits = find_misfits(self.job.specs, kinds, draws, self.resources.model)
        return Checked(dict(self.resources.provenance["model"]), told, misfits)

    def answer(self, task: DrawTask, send: Send) -> None:
        """Answer what a draw has unanswered."""
        model, draw = self.resources.model, task.draw
        counts = getattr(model, "counts_tokens", True)
        tokens = corpus_tokens(draw, model.count_tokens) if counts else None
        runs = [self._runs[name] for name in task.answered]
        send(Begun(tokens, {run.writer.run_id: run.provenance() for run in runs}))
        self._send = send
        with SharedWork() as shared:
            for run in runs:
                run.writer.done = {(draw.corpus.draw, question) for question in task.answered[run.writer.run_id]}
                run.do(draw, shared)
        self._send = _ignore
        send(Ended())

    def _tell(self, message: Row | Event) -> None:
        # Its rows say the same, and the process that keeps the journals counts over all workers.
        if isinstance(message, Row) or message.kind in ("begin", "reading", "notice", "end"):
            self._send(message)


def _ignore(_message: object) -> None:
    pass


class _Sent:
    """A run's journal that lies in another process: see `rmtbench.runs.loop.Journal`."""

    def __init__(self, name: str, tell: Callable[[Row], None]) -> None:
        self.run_id, self._tell = name, tell
        self.done: set[Key] = set()

    def remaining(self, corpus: Corpus) -> list[Question]:
        return [question for question in corpus.questions if (corpus.draw, question.id) not in self.done]

    def begin(self, provenance: Mapping[str, Any], system: SystemTraits | None = None) -> None:
        """`Begun` says it."""

    def prepared(self, prepared: Prepared, draw: int) -> None:
        self._tell(Row(self.run_id, draw, prepared))

    def answer(self, answer: Answer, draw: int) -> None:
        self.done.add((draw, answer.question_id))
        self._tell(Row(self.run_id, draw, answer))

    def usage(self, draw: int, resident: int, device: int | None) -> None:
        self._tell(Row(self.run_id, draw, Usage(resident, device)))
