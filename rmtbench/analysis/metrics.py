"""Which values the tables show of a set of runs, and by which of them systems are compared: as the runs' files say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rmtbench.analysis.run_figures import RunFigures
from rmtbench.core import MetricValue

_UNKNOWN = "are in characters that its vocabulary does not know"

USUAL = (
    MetricValue("em", "EM", 10),
    MetricValue("f1", "F1", 20),
    MetricValue("minilm_cosine", "MiniLM cosine", 50, missing=_UNKNOWN),
    MetricValue("bertscore_f1", "BERTScore F1", 60, missing=_UNKNOWN),
    MetricValue("recall", "recall", 90, "retrieval"),
    MetricValue("bertscore_precision", "BERTScore precision", missing=_UNKNOWN),
    MetricValue("bertscore_recall", "BERTScore recall", missing=_UNKNOWN),
    MetricValue("precision", "precision", of="retrieval"),
    MetricValue("reciprocal_rank", "reciprocal rank", of="retrieval"),
)
"""What every table has a column for, and how runs are read whose files do not say what their values are."""
LABELS = {value.name: value.label for value in USUAL}

PAPER_METRIC = "minilm_cosine"
FIRST = "em"
"""What decides where nobody says."""


def values_made(runs: Iterable[RunFigures]) -> dict[str, MetricValue]:
    """Every value that these runs may have, by name: the usual ones, and what their files name besides.

    Args:
        runs: Runs, scored or not; where two of them say different things of a value, the first one counts.
    """
    found = {value.name: value for run in runs for value in run.values}
    return {value.name: value for value in USUAL} | found


def shown_values(runs: Sequence[RunFigures]) -> tuple[MetricValue, ...]:
    """The values that tables of these runs have a column for, in the order of the columns.

    Args:
        runs: All that is shown together; a value that stands beside another needs one in which the two differ.
    """
    columns = [
        (value.order, value.name, value)
        for value in values_made(runs).values()
        if value.order is not None and (not value.beside or any(_differ(run, value) for run in runs))
    ]
    return tuple(value for *_, value in sorted(columns, key=lambda column: column[:2]))


def shown_answer_values(runs: Sequence[RunFigures]) -> tuple[MetricValue, ...]:
    """Those of `shown_values` that judge answers: by them systems are compared and chosen."""
    return tuple(value for value in shown_values(runs) if value.of == "answers")


def names_to_decide_by(runs: Iterable[RunFigures]) -> list[str]:
    """Names of the values that have a column, shown or not: of answers, and of what was retrieved for them."""
    made = [value for value in values_made(runs).values() if value.order is not None]
    return [value.name for value in sorted(made, key=lambda value: (value.order or 0, value.name))]


def _differ(run: RunFigures, value: MetricValue) -> bool:
    own = run.by_cluster.get(value.name)
    has_values = own is not None and any(count for _, count in own.values())
    return has_values and own != run.by_cluster.get(value.beside)
