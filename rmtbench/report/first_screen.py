"""The first screen of a report: for each data set and size the verdict, what would settle it, and one table.

The terminal and `report.md` open with it. It prints what `rmtbench decide` decides under the usual terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rmtbench.analysis.agreement import inexact
from rmtbench.analysis.break_even import cost_line
from rmtbench.analysis.comparability import apart, tier_of
from rmtbench.analysis.contest import Contest, Terms
from rmtbench.analysis.decision import Decided, Verdict
from rmtbench.analysis.metrics import FIRST, LABELS
from rmtbench.analysis.run_figures import RunFigures, spared
from rmtbench.analysis.sections import Grid, Section
from rmtbench.options import flag
from rmtbench.plural import many
from rmtbench.report import numbers
from rmtbench.report.notes import INCOMPLETE, LOADED, RANDOM, cache_notes, marks, name_of
from rmtbench.report.settle import settling_command
from rmtbench.report.tables import Table, score_text
from rmtbench.report.verdicts import cost_text, metric_label, ranked, sentences, settling, standing_word, without_common

NO_VERDICT = f"No verdict: {flag.quick} compares nothing."
GRAVE = ("questions", "answers so far", "scorers", "embedder")
"""Differences between runs with which their rows must not be compared."""
LEAST = ("kept", "recall", "prepare", "verdict")
"""Columns that a narrow terminal drops, in this order."""


@dataclass(frozen=True, slots=True)
class Block:
    """One data set and size of one section.

    Attributes:
        section: The section's title.
        title: Data set, size and model; if several blocks have the same, also what sets their sections apart.
        about: Tier of evidence, source of the data, what was asked, machine.
        said: The verdict in two sentences; of runs whose answers mean nothing also the one by recall.
        table: All systems.
        comparable: Whether all its runs are comparable, and if not, in what they differ.
        legend: How its table is read; the same for many blocks.
        short: The verdict on one line.
        settle: How much more data would settle it; empty where it is settled.
        command: The command that adds it; empty where there is none.
        here: The same with paths of this machine, which no file holds.
        unscored: Runs with answers that are not scored: `rmtbench score` makes their scores.
    """

    section: str
    title: str
    about: str
    said: tuple[str, ...]
    table: Table
    comparable: str
    legend: tuple[str, ...]
    short: str
    settle: str = ""
    command: str = ""
    here: str = ""
    unscored: int = 0


def first_screen(
    sections: Sequence[Section], decided: Sequence[Decided], retrieval: Sequence[Decided] = ()
) -> tuple[Block, ...]:
    """Return a block for each data set and size, in the order of the tables.

    Args:
        sections: All sections.
        decided: All contests by the first metric, under the usual terms; none in a quick report.
        retrieval: Contests by recall, for runs whose answers mean nothing.
    """
    known, found = (
        {(one.section, one.dataset, one.size): (one, it) for one, it in each} for each in (decided, retrieval)
    )
    places = [(section, grid, size) for section in sections for grid in section.grids for size in grid.sizes]
    titles = [
        f"{grid.name} {size}, {dict(section.setting)['model'].removesuffix(' (random weights)')}"
        for section, grid, size in places
    ]
    return tuple(
        _block(
            section,
            grid,
            size,
            title if titles.count(title) == 1 else f"{grid.name} {size}, {section.title}",
            known.get(key := (section.title, grid.name, size)),
            found.get(key),
        )
        for (section, grid, size), title in zip(places, titles, strict=True)
    )


def _block(
    section: Section, grid: Grid, size: str, title: str, decided: Decided | None, retrieval: Decided | None
) -> Block:
    runs = [run for _, run in grid.at(size) if run is not None]
    said: tuple[str, ...] = (NO_VERDICT,)
    short, settle, command, here = NO_VERDICT, "", "", ""
    if decided is None:
        table, legend = _quick_table(grid, size)
    else:
        (contest, common), verdict, terms = without_common(decided[0]), decided[1], Terms()
        said, table = sentences(contest, terms, verdict), _table(contest, terms, verdict, runs, common)
        short, legend = f"{said[0]}{_sureness(verdict)}", _legend(contest, terms, verdict, runs)
        if verdict.choice is None and retrieval is not None and retrieval[1].choice is not None:
            said = (*said, f"By recall: {' '.join(sentences(without_common(retrieval[0])[0], terms, retrieval[1]))}")
        settle = settling(contest, verdict)
        command, here = (settling_command(contest, verdict, runs, paths=paths) for paths in (False, True))
        if command and contest.unit == "question":
            settle += " Add those that the folder does not have yet, then:"
    return Block(
        section=section.title,
        title=title,
        about=_about(section, runs),
        said=said,
        table=table,
        comparable=comparable(runs),
        legend=legend,
        short=f"{title} ({_tiers(runs)}): {short}",
        settle=settle,
        command=command,
        here=here,
        unscored=sum(not run.scored for run in runs if run.summary.answered),
    )


def legends(blocks: Sequence[Block]) -> tuple[str, ...]:
    """How the tables of several blocks are read, each sentence once."""
    return tuple(dict.fromkeys(line for block in blocks for line in block.legend))


def comparable(runs: Sequence[RunFigures]) -> str:
    """Say on one line whether all runs are comparable, and if not, in what they differ."""
    names = apart(runs)
    if len(runs) == 1:
        return "There is one run."
    if not names:
        those = "Both" if len(runs) == 2 else f"All {len(runs)}"
        return f"{those} runs are comparable: same questions, scorers, library versions and code."
    grave = [name for name in names if name in GRAVE]
    if grave:
        return f"Not all {len(runs)} runs are comparable: they differ in {', '.join(names)}."
    return f"The {len(runs)} runs have the same questions and scorers; they differ in {', '.join(names)}."


def _about(section: Section, runs: Sequence[RunFigures]) -> str:
    setting = dict(section.setting)
    asked = max((run.summary.expected, run.summary.draws) for run in runs)
    counts = f"{many(asked[0], 'question')} in {many(asked[1], 'draw')}"
    machine = f"{setting['device']} {setting['dtype']} {setting['mode'].partition(' (')[0]}"
    data = [] if _tiers(runs) == setting["data source"] else [f"{setting['data source']} data"]
    return f"{_tiers(runs)}: {', '.join([*data, counts, machine])}"


def _tiers(runs: Sequence[RunFigures]) -> str:
    return " and ".join(sorted({tier_of(run) for run in runs}))


def _sureness(verdict: Verdict) -> str:
    count = len(verdict.alike) - 1
    told = {
        "best": " Proven better than each other.",
        "only": " No other fits.",
        "tie": f" The cheapest of {count + 1} that are as good.",
        "more data": f" Not proven better than {many(count, 'other')}.",
        "none": "",
    }
    return told[verdict.kind]


def _table(contest: Contest, terms: Terms, verdict: Verdict, runs: Sequence[RunFigures], common: str) -> Table:
    known = {run.run_id: run for run in runs}
    rows: list[tuple[str, ...]] = []
    reasons: dict[str, list[str]] = {}
    for place in ranked(contest, verdict):
        candidate = contest.candidates[place]
        run, word = known[candidate.run_id], standing_word(contest, verdict, place)
        if candidate.unfit:
            reasons.setdefault(candidate.unfit, []).append(candidate.name)
            word = "out"
        score = numbers.MISSING
        if candidate.score is not None:
            score = numbers.score_within(candidate.score, candidate.low, candidate.high, marks(run))
        rows.append((candidate.name, word, score, *_figures(run, cost_text(verdict.costs[place], terms))))
    notes = [common] if common else []
    notes += [f"out: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    columns = ("system", "verdict", f"{metric_label(contest)} (95 %)", *_columns(terms))
    return _without_recall(
        Table("", "", columns, tuple(rows), labels=2, notes=(*notes, *_marked(runs)), less=LEAST), runs
    )


def _quick_table(grid: Grid, size: str) -> tuple[Table, tuple[str, ...]]:
    """The table without what needs comparisons: standard errors in place of intervals, and no verdicts."""
    terms = Terms()
    runs: list[RunFigures] = []
    rows: list[tuple[str, ...]] = []
    for row, run in grid.at(size):
        if run is not None:
            runs.append(run)
            line = cost_line("", run)
            cost = numbers.seconds(None if line is None else line.total(terms.questions))
            rows.append((grid.full_label(row), score_text(run, FIRST), *_figures(run, cost)))
    columns = ("system", LABELS[FIRST], *_columns(terms))
    table = Table("", "", columns, tuple(rows), labels=1, notes=_marked(runs), less=LEAST)
    return _without_recall(table, runs), (_columns_legend(terms, runs),)


def _columns(terms: Terms) -> tuple[str, ...]:
    return ("median/p90", "prepare", f"for {terms.questions:,}", "kept", "recall")


def _figures(run: RunFigures, cost: str) -> tuple[str, ...]:
    summary = run.summary
    recall = summary.means.get("recall") if run.scored else None
    return (
        numbers.seconds(summary.median_seconds["total"], summary.p90_seconds["total"]),
        numbers.seconds(run.preparation) + (f" {LOADED}" if spared(run) else ""),
        cost,
        numbers.size(summary.kept_bytes),
        "" if recall is None else f"{recall:.3f}",
    )


def _without_recall(table: Table, runs: Sequence[RunFigures]) -> Table:
    if any(run.scored and run.summary.means.get("recall") is not None for run in runs):
        return table
    return replace(table, columns=table.columns[:-1], rows=tuple(row[:-1] for row in table.rows))


def _marked(runs: Sequence[RunFigures]) -> tuple[str, ...]:
    told = (
        (
            any(run.random_weights for run in runs),
            f"{RANDOM} random weights: answers are meaningless, timings are real",
        ),
        (any(not run.complete for run in runs), f"{INCOMPLETE} incomplete: the same command again resumes it"),
        (any(spared(run) for run in runs), f"{LOADED} without what an earlier run had done, so too little"),
    )
    exactness = [
        f"not exact (docs/explanation/cag.md): {', '.join(map(name_of, some))}" for some in [inexact(runs)] if some
    ]
    return (*(note for holds, note in told if holds), *exactness, *cache_notes(runs))


def _columns_legend(terms: Terms, runs: Sequence[RunFigures]) -> str:
    answer = (
        "a question's share of its batch's time" if any(run.spec.batch > 1 for run in runs) else "time to an answer"
    )
    return (
        f"median/p90: {answer}. prepare: time to get one corpus ready. "
        f"for {terms.questions:,}: time of the machine for so many questions, preparation included."
    )


def _legend(contest: Contest, terms: Terms, verdict: Verdict, runs: Sequence[RunFigures]) -> tuple[str, ...]:
    states = {each.state for each in verdict.standings}
    told = []
    if "unknown" in states:
        told.append("unproven: not proven worse than the leader, nor as good as it.")
    if "alike" in states:
        told.append(f"as good: a difference of {terms.margin:g} or more is not likely.")
    if contest.units:
        one = (contest.unit, contest.units) == ("draw", 1)
        basis = "the questions of this one draw: other documents may move it further" if one else contest.unit
        told.append(f"(95 %): interval of the score, by {basis}.")
    return (_columns_legend(terms, runs), *told)
