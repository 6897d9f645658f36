"""A job whose draws are being done: its journals, and what the workers say of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rmtbench.core import Answer, Draw, Prepared, RunSpec
from rmtbench.errors import UserError
from rmtbench.journal.order import order_by_draw
from rmtbench.journal.writer import RunWriter
from rmtbench.runs.engines.base import Begun, Job, Row
from rmtbench.runs.loop import Event
from rmtbench.systems.registry import find_system


@dataclass(frozen=True)
class Work:
    """A job and its draws, in order."""

    job: Job
    draws: tuple[Draw, ...]


@dataclass(frozen=True)
class JobFailure:
    """A job that could not be done to its end: the user's error, or the traceback of another."""

    job: Job
    error: UserError | str


@dataclass(frozen=True)
class OpenRun:
    """A run and its journal."""

    spec: RunSpec
    writer: RunWriter


@dataclass(eq=False)
class OpenJob:
    """A job whose draws are being done: its journals, and the number that each worker has in them."""

    work: Work
    stack: ExitStack = field(default_factory=ExitStack)
    runs: dict[str, OpenRun] = field(default_factory=dict)
    sessions: dict[tuple[int, str], int] = field(default_factory=dict)
    checked: bool = False

    @property
    def questions(self) -> int:
        """Questions of all its draws."""
        return sum(len(draw.corpus.questions) for draw in self.work.draws)

    def open(self, specs: Sequence[RunSpec], results: Path, *, fresh: bool) -> None:
        """Open the journals of the runs that are to be done.

        Raises:
            UserError: Another process writes one of them, or it is damaged.
        """
        for spec in specs:
            writer = self.stack.enter_context(RunWriter(results, spec, fresh=fresh))
            self.stack.callback(_in_order, writer)
            self.runs[writer.run_id] = OpenRun(spec, writer)

    def remaining(self, draw: Draw) -> dict[str, frozenset[str]]:
        """Return what is answered of a draw, by run; runs that have all of it are left out."""
        number = draw.corpus.draw
        return {
            name: frozenset(question for at, question in run.writer.done if at == number)
            for name, run in self.runs.items()
            if run.writer.remaining(draw.corpus)
        }

    def begin(self, worker: int, draw: Draw, begun: Begun) -> None:
        """Note that a worker begins a draw.

        Raises:
            UserError: It has another model than a run was begun with, or the draw was begun with other documents.
        """
        for name, provenance in begun.provenance.items():
            if (worker, name) not in self.sessions:
                run = self.runs[name]
                self.sessions[worker, name] = run.writer.begin(provenance, find_system(run.spec.system).traits)
        for run in self.runs.values():
            run.writer.add_draw(draw, begun.tokens)


def _in_order(writer: RunWriter) -> None:
    # What cannot be put in order is still complete, and an error here would hide that of the run.
    with suppress(UserError):
        order_by_draw(writer.folder)


def keep_row(writer: RunWriter, row: Row, session: int) -> Event | None:
    """Write a row; return what is told of it."""
    value, number = row.value, row.draw
    event = Event("prepared", writer.run_id, number, 0, 0)
    if isinstance(value, Prepared):
        writer.prepared(value, number, session)
        return replace(event, prepare_seconds=value.total_seconds)
    if isinstance(value, Answer):
        writer.answer(value, number, session)
        return replace(event, kind="answer", answer=value)
    writer.usage(number, value.resident, value.device, session)
    return None
