"""Answers by an approximation beside the exact ones, token for token: of a cache, or of int8 weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rmtbench.analysis.exactness import exact_settings, is_exact
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Grid, row_of
from rmtbench.options.identity import RunOptions


@dataclass(frozen=True, slots=True)
class Agreement:
    """One run against the exact one.

    Attributes:
        run: The run that is not exact, or has int8 weights.
        exact: The other, over the same questions.
        equal: Answers whose token ids are the same.
        compared: Questions that both have answered.
    """

    run: RunFigures
    exact: RunFigures
    equal: int
    compared: int

    @property
    def rate(self) -> float:
        """Share of equal answers."""
        return self.equal / self.compared

    def difference(self, metric: str) -> float | None:
        """The run's score less the exact one's; None unless both are scored and complete."""
        mine, theirs = (
            run.summary.means.get(metric) if run.scored and run.complete else None for run in (self.run, self.exact)
        )
        return None if mine is None or theirs is None else mine - theirs


def inexact(runs: Iterable[RunFigures]) -> list[RunFigures]:
    """The runs that are not exact."""
    return [run for run in runs if not is_exact(run.spec)]


def agreement(grid: Grid, run: RunFigures) -> Agreement | None:
    """Hold a run that is not exact against the exact run of the same grid.

    Args:
        grid: Holds the other run, if there is one.
        run: The run.

    Returns:
        None where no exact run has answered any of the same questions. Kept caches change no answer, so that an exact
        run without them serves too.
    """
    same = exact_settings(run.spec)
    without = tuple(pair for pair in same if pair[0] != "kv_cache")
    for settings in dict.fromkeys((same, without, tuple(sorted((*without, ("kv_cache", "on")))))):
        exact = grid.shown.get((run.spec.size, row_of(run, replace(run.spec, options=RunOptions.read(settings)))))
        if exact is not None and (found := _beside(run, exact)) is not None:
            return found
    return None


def quantised(runs: Iterable[RunFigures]) -> list[RunFigures]:
    """The runs whose weights are not held as they were loaded."""
    return [run for run in runs if run.spec.options.weights != "native"]


def native_agreement(grid: Grid, run: RunFigures) -> Agreement | None:
    """Hold a run with int8 weights against the one that differs in nothing but native weights.

    Args:
        grid: Of the run; it knows those with native weights.
        run: The run.

    Returns:
        None where no such run has answered the same questions.
    """
    row = row_of(run, replace(run.spec, options=replace(run.spec.options, weights="native")))
    native = grid.native.get((run.spec.size, row))
    return None if native is None else _beside(run, native)


def _beside(run: RunFigures, exact: RunFigures) -> Agreement | None:
    """Compare two runs; None where they were not asked the same, or have no answer in common."""
    if exact.asked != run.asked or len(exact.written) != len(run.written):
        return None
    pairs = [pair for pair in zip(run.written, exact.written, strict=True) if all(pair)]
    return Agreement(run, exact, sum(one == other for one, other in pairs), len(pairs)) if pairs else None
