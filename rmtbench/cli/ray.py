"""What `--engine ray` does: the draws of all requests go to the workers of a cluster, the results stay here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from rmtbench.cli.progress import note, show_runs
from rmtbench.cli.remarks import say_what_runs
from rmtbench.cli.running import FirstDraws, OpenRequest, close_request, open_request, split_by_evidence, split_by_fit
from rmtbench.core import RunSpec
from rmtbench.errors import UserError
from rmtbench.models.endpoint.address import is_endpoint
from rmtbench.options.engine import Engine
from rmtbench.options.request import Request
from rmtbench.runs.engines.base import Checked, Job
from rmtbench.runs.engines.open_job import Work
from rmtbench.runs.engines.ray_pool import check_ray, ray_pool
from rmtbench.runs.engines.share import share
from rmtbench.runs.sweep import in_words_of_the_file

End = int | UserError
"""How a request ended: its exit code, or why it could not be done."""

Begin = Callable[[int, int, Request], bool]
"""Told of a request before it is opened, with its number from 1 and how many there are; whether it is to be done."""


def do_on_ray(
    requests: Sequence[Request], asked: Engine, results: Path, *, fresh: bool, begin: Begin | None = None
) -> list[End]:
    """Do requests on a Ray cluster, and score them; starts no worker if all is done already.

    Args:
        requests: What was asked.
        asked: How many workers, and what each one has.
        results: Folder of all runs.
        fresh: Whether finished and unfinished runs are started again.
        begin: Told of each request; None for a command of one.

    Returns:
        How each request ended. One that cannot be done stops no other.

    Raises:
        UserError: Ray is not installed, the cluster cannot be reached, or has no room for the workers.
        KeyboardInterrupt: The user interrupted. Every answer so far is on disk.
    """
    check_ray()
    study = _Study(requests, results, begin, fresh=fresh)
    work = study.work()
    if (first := next(work, None)) is not None:
        with ray_pool(asked, first.job.device, note) as pool, show_runs() as report:
            for failure in share(chain([first], work), pool, results, study.choose, report, fresh=fresh):
                study.fail(failure.job.number, failure.error)
    return study.ends(alone=begin is None)


class _Study:
    """The requests of a command: opened one by one as workers become free, and scored in the end."""

    def __init__(self, requests: Sequence[Request], results: Path, begin: Begin | None, *, fresh: bool) -> None:
        self._requests, self._results, self._begin, self._fresh = requests, results, begin, fresh
        self._opened: dict[int, OpenRequest] = {}
        self._skipped: dict[int, list[RunSpec]] = {}
        self._ends: dict[int, End] = {}
        self._told: set[str] = set()

    def work(self) -> Iterator[Work]:
        """Yield what the workers are to do."""
        for number, request in enumerate(self._requests):
            if self._begin is not None and not self._begin(number + 1, len(self._requests), request):
                self._ends[number] = 0
                continue
            try:
                work = self._open(number, request)
            except UserError as error:
                self.fail(number, error)
                continue
            if work is not None:
                yield work

    def _open(self, number: int, request: Request) -> Work | None:
        """Open a request; None if all of it is done."""
        check_on_ray(request)
        opened = open_request(request, self._results, self._told, fresh=self._fresh)
        self._opened[number], self._skipped[number] = opened, []
        if not opened.todo:
            return None
        draws = FirstDraws(opened.session)
        todo, unfounded = split_by_evidence(opened.todo, request, draws)
        self._skipped[number] += unfounded
        return Work(Job(number, request, tuple(todo), opened.session.device), draws.all())

    def choose(self, work: Work, checked: Checked) -> Sequence[RunSpec]:
        """Print what a job will do; return its runs that fit.

        Raises:
            UserError: None fits.
        """
        job = work.job
        say_what_runs(job.request, job.specs, work.draws, checked.model, checked.memories)
        fitting, skipped = split_by_fit(job.specs, checked.misfits)
        self._skipped[job.number] += skipped
        return fitting

    def fail(self, number: int, error: UserError | str) -> None:
        """Note that a request cannot be done, or not to its end."""
        place = f"[{number + 1}/{len(self._requests)}] " if self._begin is not None else ""
        if isinstance(error, UserError):
            self._ends[number] = error
            if place:
                note(f"{place}cannot be done: {in_words_of_the_file(error, '')}")
        else:
            self._ends[number] = 1
            note(f"{place}failed in a worker:\n{error}")

    def ends(self, *, alone: bool) -> list[End]:
        """Score all requests that were done; return how each one ended."""
        for number, opened in self._opened.items():
            if number not in self._ends:
                skipped = self._skipped[number]
                self._ends[number] = close_request(opened, skipped, self._results, self._told, alone=alone)
        return [self._ends[number] for number in range(len(self._requests))]


def check_on_ray(request: Request) -> None:
    """Refuse what is not on the workers.

    Args:
        request: What is asked of them.

    Raises:
        UserError: A server answers or embeds, or one GPU is named.
    """
    for name, option in ((request.model, "--model"), (request.embedder, "--embedder")):
        if is_endpoint(name):
            raise UserError(
                "a server needs no workers, and they get no keys",
                where=f"{option} {name} with --engine ray",
                remedy="leave --engine ray out, and give --concurrency",
            )
    if ":" in request.device:
        raise UserError("Ray chooses the GPU", where=f"--device {request.device}", remedy="give --device cuda")
