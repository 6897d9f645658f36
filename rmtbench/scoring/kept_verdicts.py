"""What judges said of a run that is scored anew without one: it stays, since it was paid for and no answer changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rmtbench.core import MetricValue
from rmtbench.journal.checks import read_json
from rmtbench.journal.record import Key, RunRecord
from rmtbench.scoring.kinds import find_metric, judged_names


@dataclass(frozen=True, slots=True)
class KeptVerdicts:
    """A run's values by judges, as an earlier scoring left them; all of it empty where there are none.

    Attributes:
        names: The metrics.
        judges: What the run's summary says of each judge under ``asked``.
        values: What the metrics' values are.
        scorers: What produced each value.
        accounts: What making them took, by metric.
        scores: The values by name, of each question.
        new: Answers without scores, such as those that came after the judge: because of them nothing is kept.
    """

    names: tuple[str, ...] = ()
    judges: tuple[Any, ...] = ()
    values: tuple[MetricValue, ...] = ()
    scorers: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scores: Mapping[Key, Mapping[str, float | None]] = field(default_factory=dict)
    new: int = 0

    def joined(self, asked: str) -> str:
        """Return what all scores are made of, these included.

        Args:
            asked: What the others are made of, as a run's summary states it.
        """
        names, scorer_model, *judges = json.loads(asked)
        return json.dumps([sorted((*names, *self.names)), scorer_model, *judges, *self.judges])


def kept_verdicts(run: RunRecord) -> KeptVerdicts:
    """Return what judges said of a run's answers.

    Args:
        run: The run, with its earlier scores.
    """
    asked = read_json(run.folder.summary).get("asked") if run.folder.summary.exists() else None
    if not isinstance(asked, str):
        return KeptVerdicts()
    names, _, *judges = json.loads(asked)
    kinds = [find_metric(name) for name in judged_names() if name in names]
    new = len(run.answers.keys() - run.scores.keys())
    if not kinds or new:
        return KeptVerdicts(new=new if kinds else 0)
    values = tuple(value for kind in kinds for value in kind.values)
    return KeptVerdicts(
        names=tuple(kind.name for kind in kinds),
        judges=tuple(judges),
        values=values,
        scorers={value.name: run.scorers[value.name] for value in values if value.name in run.scorers},
        accounts={kind.name: run.accounts[kind.name] for kind in kinds if kind.name in run.accounts},
        scores={key: {value.name: row.get(value.name) for value in values} for key, row in run.scores.items()},
    )
