"""Share draws among workers and keep the journals: a lost worker's draw goes to another, and rows end up in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rmtbench.core import Draw, RunSpec
from rmtbench.errors import UserError
from rmtbench.journal.layout import run_id
from rmtbench.options import flag
from rmtbench.runs.engines.base import (
    Begun,
    Check,
    Checked,
    DrawTask,
    Ended,
    Failed,
    Lost,
    Message,
    Pool,
    Ready,
    Row,
)
from rmtbench.runs.engines.open_job import JobFailure, OpenJob, Work, keep_row
from rmtbench.runs.loop import Event, OnEvent

TRIES = 3
"""Workers that may be lost with one task before it is given up."""

Choose = Callable[[Work, Checked], Sequence[RunSpec]]
"""Gets what a worker found out about a job, and returns the runs to do."""


def share(
    work: Iterator[Work], pool: Pool, results: Path, choose: Choose, report: OnEvent, *, fresh: bool = False
) -> list[JobFailure]:
    """Do all jobs. Their draws are handed out in order, and answers are kept in the order in which they come.

    Args:
        work: The jobs. The next one is asked for as soon as a worker would else wait.
        pool: The workers.
        results: Folder of all runs.
        choose: Decides which runs of a job are done, once a worker has loaded what it needs.
        report: Gets every event.
        fresh: Whether to start again instead of resuming.

    Returns:
        The jobs that could not be done. What was answered of them is kept, and they stop no other.

    Raises:
        UserError: No worker can be started.
        KeyboardInterrupt: Interrupted; every answer so far is kept.
    """
    with ExitStack() as stack:
        sharing = _Sharing(work, pool, results, choose, report, fresh=fresh)
        stack.callback(sharing.close)
        return sharing.do()


@dataclass(eq=False)
class _Task:
    """One draw of a job, or its check, and how often it was lost.

    `ahead` marks the check of a worker that loads what the job needs while another one checks it.
    """

    owner: OpenJob
    draw: Draw | None
    lost: int = 0
    ahead: bool = False

    @property
    def place(self) -> tuple[int, int]:
        """Jobs in order, in each the check and then the draws in order."""
        return (self.owner.work.job.number, -1 if self.draw is None else self.draw.corpus.draw)


class _Sharing:
    """The state of `share`."""

    def __init__(
        self, work: Iterator[Work], pool: Pool, results: Path, choose: Choose, report: OnEvent, *, fresh: bool
    ) -> None:
        self._work, self._pool, self._results, self._fresh = work, pool, results, fresh
        self._choose, self._report = choose, report
        self._idle: list[int] = []
        self._waiting: list[_Task] = []
        self._running: dict[int, _Task] = {}
        self._open: list[OpenJob] = []
        self._loaded: dict[int, int] = {}
        self._exhausted = False
        self._failures: list[JobFailure] = []

    def do(self) -> list[JobFailure]:
        """Hand out and take in until everything is done."""
        self._hand_out()
        while self._open:
            for worker, message in self._pool.wait():
                self._take(worker, message)
            self._hand_out()
        return self._failures

    def close(self) -> None:
        """Close all journals."""
        for job in self._open:
            job.stack.close()

    def _hand_out(self) -> None:
        while self._idle or not self._open:
            task = self._next()
            if task is None:
                return
            if not self._idle:  # nothing has started yet: the first job is known, and that will do
                self._waiting.append(task)
                return
            self._give(self._idle.pop(0), task)

    def _next(self) -> _Task | None:
        """Return the first task that waits, of the job that the worker has loaded if there is one.

        If none waits, the next job is opened.
        """
        if self._waiting:
            loaded = self._loaded.get(self._idle[0]) if self._idle else None
            task = min(self._waiting, key=lambda each: (each.place[0] != loaded, each.place))
            self._waiting.remove(task)
            return task
        work = None if self._exhausted else next(self._work, None)
        if work is None:
            self._exhausted = True
            return self._ahead()
        self._open.append(OpenJob(work))
        return _Task(self._open[-1], None)

    def _ahead(self) -> _Task | None:
        """Return a check for a worker that else would wait and then load: its answer is not needed."""
        unchecked = [job for job in self._open if not job.checked]
        if not self._idle or not unchecked or self._loaded.get(self._idle[0]) == unchecked[0].work.job.number:
            return None
        return _Task(unchecked[0], None, ahead=True)

    def _give(self, worker: int, task: _Task) -> None:
        job = task.owner.work.job
        if task.draw is None:
            self._pool.begin(worker, Check(job, () if task.ahead else task.owner.work.draws))
        else:
            self._pool.begin(worker, DrawTask(job, task.draw, task.owner.remaining(task.draw)))
        self._running[worker] = task
        self._loaded[worker] = job.number

    def _take(self, worker: int, message: Message | Ready | Lost) -> None:
        if isinstance(message, Ready):
            self._idle.append(worker)
            return
        task = self._running.get(worker)
        if isinstance(message, Lost):
            if task is not None:
                del self._running[worker]
                self._again(task, message)
        elif task is None or task.owner not in self._open:
            raise RuntimeError(f"worker {worker} has no task and said {type(message).__name__}")
        elif isinstance(message, Checked | Ended | Failed):
            del self._running[worker]
            self._idle.append(worker)
            self._end(task, message)
        else:
            try:
                self._keep(task, worker, message)
            except UserError as error:
                self._fail(task.owner, error)

    def _end(self, task: _Task, message: Checked | Ended | Failed) -> None:
        """Take the last words on a task."""
        owner = task.owner
        try:
            if isinstance(message, Failed):
                self._fail(owner, message.error)
            elif isinstance(message, Checked) and not task.ahead:
                owner.checked = True
                owner.open(self._choose(owner.work, message), self._results, fresh=self._fresh)
                self._waiting += [_Task(owner, draw) for draw in owner.work.draws if owner.remaining(draw)]
        except UserError as error:
            self._fail(owner, error)
        self._close_if_done(owner)

    def _again(self, task: _Task, lost: Lost) -> None:
        """Let another worker do a task."""
        owner, tries = task.owner, task.lost + 1
        job = owner.work.job
        if self._has_failed(owner):
            self._close_if_done(owner)
            return
        what = "the model" if task.draw is None else f"draw {task.draw.corpus.draw}"
        if tries < TRIES:
            self._waiting.append(_Task(owner, task.draw, tries, task.ahead))
            text = f"a worker was lost ({lost.why}); another one takes {what} of {job.request.dataset}"
            self._report(Event("notice", run_id(job.specs[0]), 0, 0, owner.questions, text=text))
            return
        self._fail(
            owner,
            UserError(
                f"{tries} workers in a row were lost with {what} ({lost.why})",
                where=f"{job.request.dataset} {job.request.size}, {job.request.model_name}",
                remedy="every answer so far is kept and the same command resumes; if memory ran out, give each worker "
                f"more of the machine (fewer {flag.workers})",
            ),
        )
        self._close_if_done(owner)

    def _fail(self, owner: OpenJob, error: UserError | str) -> None:
        """Give a job up: nothing more of it is handed out, and what runs may end."""
        owner.checked = True
        if not self._has_failed(owner):
            self._failures.append(JobFailure(owner.work.job, error))
        self._waiting = [task for task in self._waiting if task.owner is not owner]

    def _has_failed(self, owner: OpenJob) -> bool:
        return any(failure.job is owner.work.job for failure in self._failures)

    def _close_if_done(self, owner: OpenJob) -> None:
        if not any(task.owner is owner for task in (*self._waiting, *self._running.values())):
            self._open.remove(owner)
            owner.stack.close()

    def _keep(self, task: _Task, worker: int, message: Begun | Row | Event) -> None:
        """Write what a worker says to the journals, and report it.

        Raises:
            UserError: The worker has another model than the run was begun with, or the disk is full.
        """
        owner, draw = task.owner, task.draw
        assert draw is not None  # noqa: S101 - a check sends only its last message
        if isinstance(message, Begun):
            owner.begin(worker, draw, message)
            return
        session = owner.sessions.get((worker, message.run_id))
        if session is None:
            return  # its journal refused this worker, and the job has failed
        writer = owner.runs[message.run_id].writer
        event = message if isinstance(message, Event) else keep_row(writer, message, session)
        if event is not None:
            self._report(replace(event, done=len(writer.done), total=owner.questions))
