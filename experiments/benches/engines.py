"""A study in one process, in several and on Ray: the same answers, how long each takes, and what a draw costs more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from typing import Any

from rmtbench.errors import UserError
from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run
from rmtbench.options.engine import Engine
from rmtbench.runs.engines.base import Job
from rmtbench.runs.engines.open_job import Work
from rmtbench.runs.engines.ray_pool import check_ray, ray_pool
from rmtbench.runs.engines.share import share
from rmtbench.runs.loading import load_resources
from rmtbench.runs.loop import Event, execute
from rmtbench.runs.session import make_draws, open_session
from rmtbench.spec import make_request

STUDY: Mapping[str, Any] = {
    "system": ["closed-book", "cag", "rag-sparse"],
    "dataset": ["squad", "hotpotqa", "triviaqa"],
    "model": "mini",
    "top_k": 1,
    "draws": 8,
}
OF_A_PROCESS = ("timings", "session", "warmup")


def run(
    *, size: str, questions: int, workers: int, rounds: int, tiny_draws: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """Do a study of 24 draws by each engine in turn, and measure what Ray adds to a draw.

    Args:
        size: Of the corpora.
        questions: At most so many a draw.
        workers: Workers of either engine.
        rounds: Times that each engine does the study. One round more comes first and is not counted: its first
            command reads files and fills caches for all that follow.
        tiny_draws: Draws of next to no work, for the cost of a draw.
        report: Gets one line a step.

    Returns:
        Median wall seconds of each command from its start to its end, seconds that its processes prepared and
        answered, whether all answers are the same bytes, and the seconds that Ray adds to a draw.

    Raises:
        UserError: Ray is not installed, or a command failed.
    """
    check_ray()
    engines = {
        "one process": (),
        f"--workers {workers}": ("--workers", str(workers)),
        f"--engine ray --workers {workers}": ("--engine", "ray", "--workers", str(workers)),
    }
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study.yaml"
        study.write_text(json.dumps({"name": "engines", "runs": [{**STUDY, "size": size, "questions": questions}]}))
        wall: dict[str, list[float]] = {name: [] for name in engines}
        computed: dict[str, list[float]] = {name: [] for name in engines}
        answers = []
        for number, (name, words) in product(range(rounds + 1), engines.items()):
            results = Path(folder) / f"{number} {name}"
            seconds = _timed([str(study), "--results", str(results), *words])
            answers.append(_answers(results))
            if number:
                wall[name].append(seconds)
                computed[name].append(_computed(results))
            report(f"round {number}, {name}: {seconds:.1f} s")
    return {
        "draws": 24,
        "size": size,
        "questions": questions,
        "answers": sum(map(len, answers[0].values())),
        "same_answers": all(other == answers[0] for other in answers),
        "rounds": rounds,
        "wall_seconds": {name: median(each) for name, each in wall.items()},
        "computed_seconds": {name: median(each) for name, each in computed.items()},
        **overhead(tiny_draws),
        "cores": os.cpu_count(),
        "load_average": {"before": load_before, "after": os.getloadavg()[0]},
    }


def _timed(words: Sequence[str]) -> float:
    """Return the wall seconds of a sweep, from the start of its process to its end."""
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "rmtbench", "sweep", *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UserError(f"exit code {done.returncode}", where=f"sweep {' '.join(words)}", remedy=done.stderr[-500:])
    return time.perf_counter() - began


def _computed(results: Path) -> float:
    """Return the seconds that all processes together prepared and answered."""
    runs = [read_run(folder) for folder in find_runs(results)]
    prepared = sum(made.total_seconds for run in runs for made in run.first_prepared.values() if not made.shared)
    return prepared + sum(answer.timings.total for run in runs for answer in run.answers.values())


def _answers(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Return all answers by run, without what differs from process to process."""
    return {
        path.parent.name: [
            {name: value for name, value in json.loads(line).items() if name not in OF_A_PROCESS}
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        for path in sorted(results.glob("*/answers.jsonl"))
    }


def overhead(draws: int) -> dict[str, float]:
    """Return the seconds of a draw of next to no work, in this process and by one Ray worker, and their difference.

    Medians, and one thread each: a busy machine disturbs many threads more than one.

    Args:
        draws: How many are done by each; the first one, which waits for the model, is not counted.

    Raises:
        UserError: Ray is not installed.
    """
    import torch

    given = {"systems": ("closed-book",), "dataset": "squad", "size": "smoke", "model": "random:tiny"}
    request = make_request("mini", {**given, "draws": draws, "questions": 1, "max_answer_tokens": 1})
    session = open_session(request, os.environ)
    with tempfile.TemporaryDirectory() as folder:
        resources = load_resources(session.specs, session.device, Path(folder) / "cache")
        torch.set_num_threads(1)
        made = make_draws(session, resources.model.count_tokens)
        here = _Clock()
        execute(session.specs, made, resources, Path(folder) / "here", here)
        work = Work(Job(0, request, tuple(session.specs), session.device), tuple(made))
        there = _Clock()
        with ray_pool(Engine(engine="ray", workers=1, cpus=1.0), session.device, _ignore) as pool:
            share(iter([work]), pool, Path(folder) / "there", lambda made, _: made.job.specs, there)
    return {
        "tiny_draw_seconds_here": here.seconds_a_draw,
        "tiny_draw_seconds_ray": there.seconds_a_draw,
        "overhead_seconds_a_draw": there.seconds_a_draw - here.seconds_a_draw,
    }


class _Clock:
    """Notes when draws end."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def __call__(self, event: Event) -> None:
        if event.kind == "end":
            self._ends.append(time.perf_counter())

    @property
    def seconds_a_draw(self) -> float:
        """Median time from the end of a draw to that of the next one."""
        return median(after - before for before, after in pairwise(self._ends))


def _ignore(_text: str) -> None:
    pass
