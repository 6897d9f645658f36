"""A verdict in words: for the terminal and for files. The page says the same in `page/decide.js`."""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.analysis.decision import MOST_UNITS, Contest, Terms, TippingPoint, Verdict, difference
from rmtbench.analysis.metrics import LABELS
from rmtbench.report import numbers
from rmtbench.report.tables import Table

OUT_OF = {"seconds": "too slow", "memory": "too much memory"}
MOST_NAMES = 4


def verdict_lines(contest: Contest, terms: Terms, verdict: Verdict) -> tuple[str, ...]:
    """What to use, how sure that is, and what would change it; the first line is the verdict.

    Args:
        contest: What was measured.
        terms: What was asked for.
        verdict: What the rules made of it.
    """
    return (
        _headline(contest, terms, verdict),
        *_certainty(contest, verdict, terms),
        *(f"would change it: {_change(contest, change)}" for change in verdict.changes),
    )


def terms_text(terms: Terms) -> str:
    """What was asked for, on one line."""
    parts = [
        f"{_many(terms.questions, 'question')} a corpus",
        f"at most {numbers.seconds(terms.max_seconds)} to the answer" if terms.max_seconds else "no limit of time",
        f"at most {numbers.size(terms.max_memory)}" if terms.max_memory else "no limit of memory",
    ]
    prices = (
        (terms.price_per_hour, "an hour"),
        (terms.price_input, "a million tokens read"),
        (terms.price_cached, "a million cached tokens"),
        (terms.price_output, "a million tokens written"),
    )
    parts += [f"{price:g} {unit}" for price, unit in prices if price]
    if not terms.priced:
        parts.append("cost in seconds of the machine")
    return f"{', '.join(parts)}; differences below {terms.margin:g} do not matter"


def candidates_table(contest: Contest, terms: Terms, verdict: Verdict) -> Table:
    """All candidates, those that fit by score, and why the others are out."""
    out = dict(verdict.out)
    order = sorted(
        range(len(contest.candidates)),
        key=lambda place: (place in out, -(contest.candidates[place].score or 0.0), verdict.costs[place] or 0.0, place),
    )
    rows = []
    for place in order:
        candidate = contest.candidates[place]
        score = numbers.MISSING if candidate.score is None else numbers.score(candidate.score, candidate.error)
        rows.append(
            (
                candidate.name,
                _standing(contest, verdict, place),
                score,
                cost_text(verdict.costs[place], terms),
                numbers.seconds(candidate.preparation) + (" §" if candidate.spared else ""),
                numbers.seconds(candidate.seconds),
                numbers.seconds(candidate.slow),
                numbers.size(candidate.memory),
            )
        )
    heading = _metric(contest)
    cost = "total cost" if terms.priced else "total time"
    spared = any(candidate.spared for candidate in contest.candidates)
    too_little = " §: without what an earlier run had done, so too little." if spared else ""
    return Table(
        title=f"Candidates, {contest.dataset} {contest.size}",
        caption=f"Cost of {_many(terms.questions, 'question')} over one corpus, preparation included. Wait: nine of "
        f"ten answers come sooner. Memory: the most taken while preparing and answering.{too_little}",
        columns=("system", "verdict", heading, cost, "preparation", "a question", "wait", "memory"),
        rows=tuple(rows),
        labels=2,
    )


def cost_text(cost: float | None, terms: Terms) -> str:
    """A cost as money, or as seconds where there are no prices."""
    if cost is None:
        return numbers.MISSING
    return numbers.three_digits(cost) if terms.priced and cost else "0" if terms.priced else numbers.seconds(cost)


def _headline(contest: Contest, terms: Terms, verdict: Verdict) -> str:
    if verdict.choice is None or verdict.leader is None:
        if any(why != "unfit" for _, why in verdict.out):
            return "nothing fits the limits"
        reasons = {each.unfit for each in contest.candidates}
        return "nothing to choose from" + (f": {reasons.pop()}" if len(reasons) == 1 else "")
    name, leader = contest.candidates[verdict.choice].name, contest.candidates[verdict.leader].name
    cost = f"{cost_text(verdict.costs[verdict.choice], terms)} for {_many(terms.questions, 'question')}"
    if verdict.kind == "best":
        return f"use {name}: best {_metric(contest)} of all that fit ({cost})"
    if verdict.kind == "only":
        return f"use {name}: no other fits ({cost})"
    if verdict.kind == "tie":
        others = _names(contest, [place for place in verdict.alike if place != verdict.choice])
        return f"use {name}: the cheapest ({cost}) of those that cannot be told apart: {others}"
    return f"not enough data: {_more(verdict, contest)}. {leader} is ahead so far ({cost})"


def _more(verdict: Verdict, contest: Contest) -> str:
    if verdict.units_needed is None:
        return f"more than {MOST_UNITS:,} {contest.unit}s would be needed"
    bound = "at least " if verdict.at_least else ""
    return f"{bound}{_many(verdict.units_needed, f'more {contest.unit}')} would do ({contest.units} so far)"


def _certainty(contest: Contest, verdict: Verdict, terms: Terms) -> list[str]:
    if verdict.choice is None or verdict.leader is None:
        return []
    lines = []
    if verdict.rival is not None:
        pair = difference(contest, verdict.choice, verdict.rival)
        interval = (
            f"no interval: one {contest.unit}"
            if pair.low is None or pair.high is None
            else f"95 % interval {_signed(pair.low)} to {_signed(pair.high)}"
        )
        lines.append(
            f"{_signed(pair.difference)} {_metric(contest)} against {contest.candidates[verdict.rival].name} "
            f"({interval}; {_told(contest)})"
        )
    if verdict.kind in ("tie", "more data"):
        names = _names(contest, verdict.alike[1:])
        found = "unknown" if verdict.detectable is None else f"{verdict.detectable:.3f}"
        lines.append(f"not told apart from {contest.candidates[verdict.leader].name}: {names}")
        lines.append(f"smallest difference that this data would show: {found}; that matters: {terms.margin:g}")
    return lines


def _change(contest: Contest, change: TippingPoint) -> str:
    name, other = contest.candidates[change.system].name, contest.candidates[change.other].name
    if change.kind == "questions":
        return f"from {_many(change.at, 'question')} on {name} costs less than {other}"
    if change.kind == "loss":
        high = "" if change.high is None else f" (95 %: at most {max(change.high, 0.0):.3f})"
        times = "" if change.ratio is None else f", {numbers.three_digits(change.ratio)} times cheaper"
        return f"if {change.at:.3f} {_metric(contest)} less is acceptable{high}: {name}{times}"
    gain = "" if change.ratio is None else f" ({_signed(change.ratio)} {_metric(contest)} against {other})"
    allowed = numbers.seconds(change.at) if change.kind == "seconds" else numbers.size(change.at)
    return f"with {allowed} allowed: {name}{gain}"


def _standing(contest: Contest, verdict: Verdict, place: int) -> str:
    why = dict(verdict.out).get(place)
    if why is not None:
        return OUT_OF.get(why, contest.candidates[place].unfit)
    if place == verdict.choice:
        return {"more data": "ahead", "tie": "use: cheapest"}.get(verdict.kind, "use")
    return "not told apart" if place in verdict.alike else "worse"


def _told(contest: Contest) -> str:
    if contest.unit == "draw":
        return f"{_many(contest.questions, 'question')} in {_many(contest.units, 'draw')}"
    return f"{_many(contest.units, 'question')} about these documents"


def _many(count: float, noun: str) -> str:
    return f"{count:,.0f} {noun}{'' if count == 1 else 's'}"


def _names(contest: Contest, places: Sequence[int]) -> str:
    names = [contest.candidates[place].name for place in places]
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _metric(contest: Contest) -> str:
    return contest.label or LABELS.get(contest.metric, contest.metric)


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"
