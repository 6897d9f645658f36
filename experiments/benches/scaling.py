"""How a study of many draws scales to many workers: simulated, with the times of draws that were really done."""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run

Order = Literal["arrival", "longest first"]
ORDERS: tuple[Order, ...] = ("arrival", "longest first")


@dataclass(frozen=True, slots=True)
class Study:
    """How long a study takes on some workers.

    Attributes:
        seconds: From the start of the workers to the end of the last draw.
        at_least: What no order of draws can undercut: loading, and then an equal share of all draws or the longest one.
        speedup: Beside one worker, which loads too.
        bound: What decides `at_least`: ``work`` (the share), or ``one draw``.
    """

    seconds: float
    at_least: float
    speedup: float
    bound: Literal["work", "one draw"]


def simulate(draws: Sequence[float], workers: int, load_seconds: float, order: Order = "arrival") -> Study:
    """Hand out draws to workers, each to the first one that is free.

    Args:
        draws: Seconds of each draw, in the order of the study.
        workers: Workers that start at the same time.
        load_seconds: What each one needs before its first draw.
        order: In which the draws are handed out.
    """
    free = [load_seconds] * workers
    for seconds in draws if order == "arrival" else sorted(draws, reverse=True):
        heapq.heapreplace(free, free[0] + seconds)
    share, longest = sum(draws) / workers, max(draws)
    return Study(
        seconds=max(free),
        at_least=load_seconds + max(share, longest),
        speedup=(load_seconds + sum(draws)) / max(free),
        bound="work" if share >= longest else "one draw",
    )


def recorded_draws(results: Path) -> list[float]:
    """Return the seconds of every draw of finished runs: preparing and answering, over all systems that shared it.

    Args:
        results: Folder of runs.

    Raises:
        UserError: There is no run, or a damaged one.
    """
    seconds: defaultdict[tuple[str, str, str, int], float] = defaultdict(float)
    for folder in find_runs(results):
        run = read_run(folder)
        of_run = (run.spec.dataset, run.spec.size, run.spec.model_name)
        for (draw, _), answer in run.answers.items():
            seconds[*of_run, draw] += answer.timings.total
        for draw, prepared in run.first_prepared.items():
            seconds[*of_run, draw] += 0.0 if prepared.shared else prepared.total_seconds
    return [seconds[draw] for draw in sorted(seconds)]


def run(results: Path, *, draws: int, workers: Sequence[int], load_seconds: float, seeds: int = 100) -> dict[str, Any]:
    """Simulate a study whose draws are drawn from recorded ones; means over seeds.

    Args:
        results: Folder of runs.
        draws: Draws of the study.
        workers: Numbers of workers.
        load_seconds: What a worker needs before its first draw.
        seeds: Studies that are simulated.

    Returns:
        The times of the recorded draws, and a row for each number of workers and order.

    Raises:
        UserError: As `recorded_draws`.
    """
    known = recorded_draws(results)
    studies = [random.Random(seed).choices(known, k=draws) for seed in range(seeds)]  # noqa: S311 - no secret
    rows = []
    for count in workers:
        for order in ORDERS:
            made = [simulate(study, count, load_seconds, order) for study in studies]
            rows.append(
                {
                    "workers": count,
                    "order": order,
                    "seconds": fmean(study.seconds for study in made),
                    "at_least_seconds": fmean(study.at_least for study in made),
                    "speedup": fmean(study.speedup for study in made),
                    "used": fmean(study.speedup for study in made) / count,
                    "bound_by_one_draw": fmean(study.bound == "one draw" for study in made),
                }
            )
    return {
        "recorded_draws": len(known),
        "draw_seconds": {"least": min(known), "mean": fmean(known), "most": max(known)},
        "draws": draws,
        "load_seconds": load_seconds,
        "seeds": seeds,
        "studies": rows,
    }
