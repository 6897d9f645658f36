"""A verdict as JSON values: what `rmtbench decide --json` and `rmtbench report --json` print."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rmtbench.analysis.contest import Contest, Terms
from rmtbench.analysis.decision import Verdict
from rmtbench.report.verdicts import verdict_lines


def verdict_record(contest: Contest, terms: Terms, verdict: Verdict) -> dict[str, Any]:
    """Return a verdict with all candidates, comparisons and changes, systems by their names.

    Args:
        contest: What was measured.
        terms: What was asked for.
        verdict: What the rules made of it.
    """

    def name(place: int | None) -> str | None:
        return None if place is None else contest.candidates[place].name

    why = dict(verdict.out)
    states = {each.place: each.state for each in verdict.standings}
    return {
        "section": contest.section, "dataset": contest.dataset, "size": contest.size, "model": contest.model,
        "metric": contest.metric, "unit": contest.unit, "units": contest.units,
        "questions": contest.questions, "kind": verdict.kind, "use": name(verdict.choice),
        "leader": name(verdict.leader), "rival": name(verdict.rival),
        "alike": [name(place) for place in verdict.alike], "units_needed": verdict.units_needed,
        "units_needed_is_a_lower_bound": verdict.at_least,
        "detectable": verdict.detectable,
        "comparisons": verdict.comparisons,
        "lines": verdict_lines(contest, terms, verdict),
        "candidates": [
            {
                **asdict(candidate), "cost": cost, "out": (candidate.unfit or why.get(place)) or None,
                "state": states.get(place),
            }
            for place, (candidate, cost) in enumerate(zip(contest.candidates, verdict.costs, strict=True))
        ],
        "against": [{**asdict(each), "place": name(each.place)} for each in verdict.standings],
        "changes": [
            {**asdict(change), "system": name(change.system), "other": name(change.other)} for change in verdict.changes
        ],
    }  # fmt: skip
