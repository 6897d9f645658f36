"""A verdict in words: for the terminal and for files. The page says the same in `page/decide.js`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rmtbench.analysis.changes import TippingPoint
from rmtbench.analysis.contest import Contest, Terms
from rmtbench.analysis.decision import MOST_UNITS, Verdict, fewest_units
from rmtbench.analysis.metrics import LABELS
from rmtbench.analysis.standings import Standing
from rmtbench.plural import many
from rmtbench.report import numbers
from rmtbench.report.tables import Table

OUT_OF = {"seconds": "too slow", "memory": "too much memory"}
WORDS = {"worse": "worse", "alike": "as good", "unknown": "unproven"}
"""How a candidate stands to the leader, in tables."""
MOST_NAMES = 4


def verdict_lines(contest: Contest, terms: Terms, verdict: Verdict) -> tuple[str, ...]:
    """What to use, how sure that is, what would settle it, what costs less, and what would change it.

    Args:
        contest: What was measured.
        terms: What was asked for.
        verdict: What the rules made of it.
    """
    return (
        *sentences(contest, terms, verdict),
        *_details(contest, terms, verdict),
        *(_change(contest, change) for change in verdict.changes),
    )


def sentences(contest: Contest, terms: Terms, verdict: Verdict) -> tuple[str, ...]:
    """The verdict in two plain sentences: what to use, and how sure that is; one where there is nothing to use."""
    if verdict.choice is None or verdict.leader is None:
        if any(why != "unfit" for _, why in verdict.out):
            return ("Nothing fits the limits.",)
        reasons = {each.unfit for each in contest.candidates}
        return ("Nothing to choose from" + (f": {reasons.pop()}." if len(reasons) == 1 else "."),)
    name = contest.candidates[verdict.choice].name
    return (f"Use {name}{' for now' if verdict.kind == 'more data' else ''}.", _why(contest, terms, verdict))


def settling(contest: Contest, verdict: Verdict) -> str:
    """How much more data would settle the verdict, with what that assumes; empty where it is settled."""
    if verdict.kind != "more data":
        return ""
    unit = contest.unit
    if verdict.units_needed is None:
        return f"More than {MOST_UNITS:,} {unit}s would be needed to tell: choose by cost."
    more = f"{many(verdict.units_needed, f'more {unit}')} ({contest.units} so far)"
    if verdict.at_least:
        fewest = fewest_units(contest)
        why = (
            f"fewer than {fewest} {unit}s cannot prove anything"
            if contest.units < 2
            else "some differences have not varied yet"
        )
        return f"At least {more}: {why}."
    return f"About {more}, if the differences and their spread stay as they are."


def terms_text(terms: Terms) -> str:
    """What was asked for, on one line."""
    parts = [
        f"{many(terms.questions, 'question')} a corpus",
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


def without_common(contest: Contest) -> tuple[Contest, str]:
    """Return the contest with names that leave out what all systems that retrieve share, and a note that says it."""
    told = [each.name.rpartition(" top-")[0].split(", ")[1:] for each in contest.candidates if " top-" in each.name]
    common = [part for part in (told[0] if told else []) if all(part in parts for parts in told)]
    if not common:
        return contest, ""

    def short(name: str) -> str:
        label, _, top = name.rpartition(" top-")
        kept = [part for place, part in enumerate(label.split(", ")) if not place or part not in common]
        return f"{', '.join(kept)} top-{top}" if label else name

    renamed = tuple(replace(each, name=short(each.name)) for each in contest.candidates)
    return replace(contest, candidates=renamed), f"all rag: {', '.join(common)}"


def candidates_table(contest: Contest, terms: Terms, verdict: Verdict) -> Table:
    """All candidates, those that fit by score, and why the others are out."""
    rows = []
    for place in ranked(contest, verdict):
        candidate = contest.candidates[place]
        rows.append(
            (
                candidate.name,
                standing_word(contest, verdict, place),
                score_text(contest, place),
                cost_text(verdict.costs[place], terms),
                numbers.seconds(candidate.preparation) + (" §" if candidate.spared else ""),
                numbers.seconds(candidate.seconds),
                numbers.seconds(candidate.slow),
                numbers.size(candidate.memory),
            )
        )
    cost = "total cost" if terms.priced else "total time"
    spared = any(candidate.spared for candidate in contest.candidates)
    too_little = " §: without what an earlier run had done, so too little." if spared else ""
    one = (contest.unit, contest.units) == ("draw", 1)
    of_these = " (95 %): over the questions of one draw, so of these documents only." if one else ""
    return Table(
        title=f"Candidates, {contest.dataset} {contest.size}",
        caption=f"Cost of {many(terms.questions, 'question')} over one corpus, preparation included. Wait: nine of "
        f"ten answers come sooner. Memory: the most taken while preparing and answering.{of_these}{too_little}",
        columns=(
            "system",
            "verdict",
            f"{metric_label(contest)} (95 %)",
            cost,
            "preparation",
            "a question",
            "wait",
            "memory",
        ),
        rows=tuple(rows),
        labels=2,
    )


def ranked(contest: Contest, verdict: Verdict) -> list[int]:
    """The candidates in the order of tables: those that fit by score, then those that are out."""
    out = dict(verdict.out)
    return sorted(
        range(len(contest.candidates)),
        key=lambda place: (place in out, -(contest.candidates[place].score or 0.0), verdict.costs[place] or 0.0, place),
    )


def standing_word(contest: Contest, verdict: Verdict, place: int) -> str:
    """What the verdict makes of a candidate: use, worse, as good or unproven; or why it is out."""
    why = dict(verdict.out).get(place)
    if why is not None:
        return OUT_OF.get(why, contest.candidates[place].unfit)
    if place == verdict.choice:
        return "use"
    standing = verdict.standing(place)
    return WORDS["alike" if standing is None else standing.state]


def score_text(contest: Contest, place: int) -> str:
    """A candidate's score with its interval; a dash where it has none."""
    candidate = contest.candidates[place]
    if candidate.score is None:
        return numbers.MISSING
    return numbers.score_within(candidate.score, candidate.low, candidate.high)


def cost_text(cost: float | None, terms: Terms) -> str:
    """A cost as money, or as seconds where there are no prices."""
    if cost is None:
        return numbers.MISSING
    return numbers.three_digits(cost) if terms.priced and cost else "0" if terms.priced else numbers.seconds(cost)


def names(contest: Contest, places: Sequence[int]) -> str:
    """The names of candidates, the first few of many."""
    told = [contest.candidates[place].name for place in places]
    more = len(told) - MOST_NAMES
    return ", ".join(told[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def metric_label(contest: Contest) -> str:
    """The heading of what decides."""
    return contest.label or LABELS.get(contest.metric, contest.metric)


def _why(contest: Contest, terms: Terms, verdict: Verdict) -> str:
    """How sure the choice is."""
    metric = metric_label(contest)
    if verdict.rival is None:
        limited = any(why != "unfit" for _, why in verdict.out)
        return "No other system fits the limits." if limited else "There is no other system to choose from."
    rival, standing = contest.candidates[verdict.rival].name, verdict.standing(verdict.rival)
    if verdict.kind == "tie" or standing is None:
        others = names(contest, [place for place in verdict.alike if place != verdict.choice])
        return (
            f"It costs the least of those that are as good: no difference of {terms.margin:g} or more in {metric} from "
            f"{others} is likely."
        )
    if verdict.kind == "best":
        higher = f"{standing.difference:.3f} higher than that of"
        interval = f"95 % interval {_signed(standing.low or 0.0)} to {_signed(standing.high or 0.0)}"
        if len(verdict.standings) == 1:
            return f"Its {metric} is {higher} {rival} ({interval})."
        return f"Its {metric} is higher than that of each other: {higher} the next, {rival} ({interval})."
    count = len(verdict.alike) - 1
    if standing.low is None or standing.high is None:
        against = rival if count == 1 else f"the {count} others"
        return f"No other has a higher {metric}, but one {contest.unit} cannot prove it better than {against}."
    against = f"{rival}: {rival}" if count == 1 else f"{count} others: the closest, {rival},"
    return f"It is not proven better than {against} could be {_could(standing)}."


def _could(standing: Standing) -> str:
    """How much better or worse than the leader a system could be, by the interval of their difference."""
    better, worse = f"{max(0.0, -(standing.low or 0.0)):.3f}", f"{max(0.0, standing.high or 0.0):.3f}"
    if better == "0.000":
        return "as good" if worse == "0.000" else f"as good, or up to {worse} worse"
    return f"up to {better} better" + ("" if worse == "0.000" else f" or {worse} worse")


def _details(contest: Contest, terms: Terms, verdict: Verdict) -> list[str]:
    if verdict.choice is None or verdict.leader is None:
        return []
    cost = cost_text(verdict.costs[verdict.choice], terms)
    lines = [f"cost: {cost} for {many(terms.questions, 'question')}; measured on {_told(contest)}"]
    if verdict.kind == "more data":
        lines.insert(0, f"to settle it: {settling(contest, verdict)}")
    if verdict.kind in ("tie", "more data"):
        shown = "unknown" if verdict.detectable is None else f"{verdict.detectable:.3f}"
        if len(verdict.alike) > 2:
            others = [place for place in verdict.alike if place != verdict.choice]
            lines.append(f"not proven worse: {names(contest, others)}")
        lines.append(f"difference that this data would show: {shown}; difference that matters: {terms.margin:g}")
    return lines


def _change(contest: Contest, change: TippingPoint) -> str:
    name, other = contest.candidates[change.system].name, contest.candidates[change.other].name
    if change.kind == "questions":
        return f"cheaper: from {many(change.at, 'question')} on {name} costs less than {other}"
    if change.kind == "loss":
        metric = metric_label(contest)
        high = "" if change.high is None else f" (95 %: at most {max(change.high, 0.0):.3f})"
        times = "" if change.ratio is None else f", {numbers.three_digits(change.ratio)} times cheaper"
        return f"cheaper: if {change.at:.3f} {metric} less is acceptable{high}: {name}{times}"
    gain = "" if change.ratio is None else f" ({_signed(change.ratio)} {metric_label(contest)} against {other})"
    allowed = numbers.seconds(change.at) if change.kind == "seconds" else numbers.size(change.at)
    return f"would change it: with {allowed} allowed: {name}{gain}"


def _told(contest: Contest) -> str:
    if contest.unit == "draw":
        return f"{many(contest.questions, 'question')} in {many(contest.units, 'draw')}"
    return f"{many(contest.units, 'question')} about these documents"


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"
