"""What passes between the process that keeps the journals and the workers that answer: frozen values that pickle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rmtbench.core import Answer, Draw, Prepared, RunSpec
from rmtbench.errors import UserError
from rmtbench.options.request import Request
from rmtbench.runs.fit import Misfit
from rmtbench.runs.loop import Event


@dataclass(frozen=True)
class Job:
    """The runs of one request.

    Attributes:
        number: Its place in the command.
        request: What was asked.
        specs: The runs; they share dataset, model and draws.
        device: Where the model answers.
    """

    number: int
    request: Request
    specs: tuple[RunSpec, ...]
    device: str


@dataclass(frozen=True)
class Check:
    """Ask a worker to load what a job needs, and to say which of its runs do not fit the model's context."""

    job: Job
    draws: tuple[Draw, ...]


@dataclass(frozen=True)
class DrawTask:
    """Ask a worker to answer the questions of one draw.

    Attributes:
        job: The runs.
        draw: The draw.
        answered: Questions that have an answer already, by the name of the run. Only the runs named here are done.
    """

    job: Job
    draw: Draw
    answered: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Checked:
    """A worker's reply to a `Check`.

    Attributes:
        model: What results record about the model.
        memories: What results record about the trained memories, by run.
        misfits: The runs that do not fit.
    """

    model: Mapping[str, Any]
    memories: Mapping[RunSpec, Mapping[str, Any]]
    misfits: Sequence[Misfit]


@dataclass(frozen=True)
class Begun:
    """A worker begins a draw.

    Attributes:
        tokens: Tokens of the draw's documents; None where the model counts none.
        provenance: What produces the answers, by the name of the run.
    """

    tokens: int | None
    provenance: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Usage:
    """The most memory that a worker took for a draw, in bytes; `device` is None without an accelerator."""

    resident: int
    device: int | None


@dataclass(frozen=True)
class Row:
    """What a run's journal gets about a draw."""

    run_id: str
    draw: int
    value: Prepared | Answer | Usage


@dataclass(frozen=True)
class Ended:
    """A draw is done."""


@dataclass(frozen=True)
class Failed:
    """A task cannot be done: the user's error, or the traceback of another."""

    error: UserError | str


Message = Checked | Begun | Row | Event | Ended | Failed
"""What a worker says. `Checked`, `Ended` and `Failed` are the last words on a task."""

Send = Callable[[Message], None]


@dataclass(frozen=True)
class Ready:
    """A worker has started and waits for a task."""


@dataclass(frozen=True)
class Lost:
    """A worker is gone with its task; another starts in its place, by another number. `why` is one line."""

    why: str


class Pool(Protocol):
    """Workers by their number. Each has one task at a time."""

    def begin(self, worker: int, task: Check | DrawTask) -> None:
        """Give a task to a worker that has none."""
        ...

    def wait(self) -> Sequence[tuple[int, Message | Ready | Lost]]:
        """Wait until workers say something, and return it in order, with their numbers.

        Raises:
            UserError: No worker can be started.
        """
        ...
