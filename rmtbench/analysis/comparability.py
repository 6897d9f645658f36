"""Whether runs of one section may be compared row by row, in what they differ, and which tier of evidence they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from rmtbench.analysis.published.figures import MODEL
from rmtbench.analysis.recorded import flat_provenance
from rmtbench.analysis.run_figures import RunFigures

Tier = Literal["miniature", "small and real", "real", "paper", "random weights", "no score counts"]
SMALL_PARAMETERS = 3_000_000_000
"""A local model with fewer is a small one."""


def tier_of(run: RunFigures) -> Tier:
    """Return the tier of evidence that a run belongs to; tiers never share a table.

    Returns:
        `miniature`: generated data, which show what methods trade. `small and real`: real text and a small model.
        `real`: real text and a larger or served model. `paper`: the model of "Don't Do RAG". `random weights`: only
        times count. `no score counts`: a model of the miniature's English that was given other texts.
    """
    if run.random_weights:
        return "random weights"
    if run.reads_other_english:
        return "no score counts"
    if run.source_kind == "miniature":
        return "miniature"
    parameters = run.model.get("parameters")
    if MODEL in (run.spec.model, run.model.get("id")):
        return "paper"
    return "small and real" if isinstance(parameters, int) and parameters < SMALL_PARAMETERS else "real"


def apart(runs: Sequence[RunFigures]) -> tuple[str, ...]:
    """Return in what runs of one data set and size differ that could move their figures; empty where in nothing.

    Args:
        runs: Runs of one section.
    """
    return tuple(name for name, told in _TOLD.items() if len({told(run) for run in runs} - {None}) > 1)


def _embedder(run: RunFigures) -> str | None:
    return None if run.spec.embedder is None else f"{run.spec.embedder} {flat_provenance(run)['embedder_sha256']}"


_TOLD: dict[str, Callable[[RunFigures], object]] = {
    "questions": lambda run: run.asked if run.complete else None,
    "answers so far": lambda run: run.complete,
    "scorers": lambda run: tuple(sorted(run.scorers.items())) if run.scorers else None,
    "embedder": _embedder,
    "who computes decode steps": lambda run: run.model.get("decode_steps"),
    "library versions": lambda run: flat_provenance(run)["versions"],
    "code": lambda run: flat_provenance(run)["code"],
}
