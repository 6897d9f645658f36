"""Draws shared among workers: the results of one process, whoever is lost, and no answer twice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from rmtbench.core import RunSpec
from rmtbench.errors import UserError
from rmtbench.journal.layout import run_id
from rmtbench.options.request import Request
from rmtbench.runs.engines.base import Check, Checked, DrawTask, Job, Lost, Message, Ready
from rmtbench.runs.engines.open_job import JobFailure, Work
from rmtbench.runs.engines.share import TRIES, share
from rmtbench.runs.engines.worker import Worker
from rmtbench.runs.loading import load_resources
from rmtbench.runs.loop import Event, execute
from rmtbench.runs.session import make_draws, open_session
from rmtbench.spec import make_request

OF_A_PROCESS = ("timings", "session", "warmup", "seconds", "peak_resident_bytes", "peak_device_bytes")
"""Fields of rows that differ from process to process."""


class PoolHere:
    """Workers within this process, one task after the other.

    Args:
        workers: How many.
        lost: How many messages are heard of a task before its worker is lost, by the task's number from 0.
    """

    def __init__(self, workers: int, lost: Mapping[int, int] | None = None) -> None:
        self.tasks: list[tuple[int, Check | DrawTask]] = []
        self._lost, self._started, self._heard = lost or {}, 0, -1
        self._said: list[tuple[int, Message | Ready | Lost]] = []
        self._workers: dict[int, Worker] = {}
        for _ in range(workers):
            self._start()

    def _start(self) -> None:
        self._workers[self._started] = Worker({"name": "here"})
        self._said.append((self._started, Ready()))
        self._started += 1

    def begin(self, worker: int, task: Check | DrawTask) -> None:
        said: list[Message] = []
        self._workers[worker].do(task, said.append)
        heard = self._lost.get(len(self.tasks))
        self.tasks.append((worker, task))
        self._said += [(worker, message) for message in said[:heard]]
        if heard is not None:
            self._said.append((worker, Lost("killed")))

    def wait(self) -> Sequence[tuple[int, Message | Ready | Lost]]:
        # Workers are heard in turn, as if they answered at the same time.
        self._said.sort(key=lambda each: each[0] == self._heard)
        self._heard, message = self._said.pop(0)
        if isinstance(message, Lost):
            self._start()
        return [(self._heard, message)]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder as on a fresh machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RMTBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def asked(dataset: str = "squad", **given: object) -> Request:
    usual = {"systems": ("closed-book", "rag-sparse"), "size": "smoke", "model": "random:tiny", "top_k": (1,),
             "questions": 2, "draws": 3, "max_answer_tokens": 3}  # fmt: skip
    return make_request("mini", {**usual, "dataset": dataset, **given}, {})


def work(request: Request, number: int = 0) -> Work:
    session = open_session(request, os.environ)
    draws = make_draws(session, lambda texts: [len(text.split()) for text in texts])
    return Work(Job(number, request, tuple(session.specs), session.device), tuple(draws))


def every_run(made: Work, _checked: Checked) -> Sequence[RunSpec]:
    return made.job.specs


def shared(results: Path, works: Sequence[Work], pool: PoolHere, events: list[Event] | None = None) -> list[JobFailure]:
    return share(iter(works), pool, results, every_run, (events if events is not None else []).append)


def rows(results: Path) -> dict[str, list[dict]]:
    """All rows of all runs but for sessions, without what differs from process to process."""
    return {
        f"{path.parent.name}/{path.name}": [
            {name: value for name, value in json.loads(line).items() if name not in OF_A_PROCESS}
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        for path in sorted(results.glob("*/*.jsonl"))
        if path.name not in ("sessions.jsonl", "prepared.jsonl", "usage.jsonl")
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    results = tmp_path_factory.mktemp("plain")
    made = work(asked())
    resources = load_resources(made.job.specs, "cpu", results / ".cache")
    execute(made.job.specs, made.draws, resources, results, lambda _event: None)
    return results


def test_workers_make_what_one_process_makes(plain: Path, tmp_path: Path) -> None:
    pool = PoolHere(2)
    assert shared(tmp_path, [work(asked())], pool) == []
    assert rows(tmp_path) == rows(plain)
    assert {worker for worker, _ in pool.tasks} == {0, 1}
    for spec in work(asked()).job.specs:
        sessions = (tmp_path / run_id(spec) / "sessions.jsonl").read_text().splitlines()
        assert [json.loads(line)["session"] for line in sessions] == [0, 1]
        assert json.loads(sessions[0])["provenance"]["engine"] == {"name": "here"}


def test_workers_load_while_another_one_checks(tmp_path: Path) -> None:
    pool = PoolHere(3)
    assert shared(tmp_path, [work(asked())], pool) == []
    checks = [(worker, len(task.draws)) for worker, task in pool.tasks if isinstance(task, Check)]
    assert checks == [(0, 3), (1, 0), (2, 0)]


@pytest.mark.parametrize("heard", [0, 1, 3, 6])
def test_a_lost_workers_draw_goes_to_another(plain: Path, tmp_path: Path, heard: int) -> None:
    events: list[Event] = []
    pool = PoolHere(2, {2: heard})
    assert shared(tmp_path, [work(asked())], pool, events) == []
    assert rows(tmp_path) == rows(plain)
    assert [event.text for event in events if "lost" in event.text] == [
        "a worker was lost (killed); another one takes draw 0 of squad"
    ]


def test_a_lost_check_is_done_by_another_worker(plain: Path, tmp_path: Path) -> None:
    assert shared(tmp_path, [work(asked())], PoolHere(1, {0: 0})) == []
    assert rows(tmp_path) == rows(plain)


def test_a_draw_that_kills_its_workers_is_given_up(plain: Path, tmp_path: Path) -> None:
    pool = PoolHere(1, dict.fromkeys(range(1, TRIES + 1), 3))
    [failure] = shared(tmp_path, [work(asked())], pool)
    assert isinstance(failure.error, UserError)
    assert "3 workers in a row were lost with draw 0" in str(failure.error)
    assert "resumes" in failure.error.remedy
    assert shared(tmp_path, [work(asked())], PoolHere(2)) == []
    assert rows(tmp_path) == rows(plain)


def test_what_is_answered_is_not_asked_again(plain: Path, tmp_path: Path) -> None:
    shared(tmp_path, [work(asked(shard="2/3"))], PoolHere(1))
    pool = PoolHere(2)
    shared(tmp_path, [work(asked())], pool)
    draws = [task.draw.corpus.draw for _, task in pool.tasks if isinstance(task, DrawTask)]
    assert draws == [0, 2]
    assert rows(tmp_path) == rows(plain)


def test_a_worker_stays_with_the_job_that_it_has_loaded(tmp_path: Path) -> None:
    pool = PoolHere(2)
    assert shared(tmp_path, [work(asked()), work(asked("hotpotqa"), 1)], pool) == []
    done = {(worker, task.job.number) for worker, task in pool.tasks if isinstance(task, DrawTask)}
    assert {(0, 0), (1, 1)} <= done
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 4


def test_a_job_that_cannot_be_done_stops_no_other(plain: Path, tmp_path: Path) -> None:
    broken = work(asked(), 1)
    specs = tuple(spec for spec in broken.job.specs if spec.system == "closed-book")
    wrong = Work(Job(1, broken.job.request, specs, "no-device"), broken.draws)
    [failure] = shared(tmp_path / "results", [wrong, work(asked())], PoolHere(1))
    assert failure.job.number == 1
    assert rows(tmp_path / "results") == rows(plain)
