"""The judge's tables: its agreement with exact match and F1, its failures and its cost."""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.analysis.judging import BESIDE, Agreement, JudgeAccount, JudgedRun
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Grid, row_of
from rmtbench.options import flag
from rmtbench.plural import many
from rmtbench.report import numbers
from rmtbench.report.anatomy import WHO, who
from rmtbench.report.notes import mark_notes
from rmtbench.report.numbers import MISSING
from rmtbench.report.tables import Table, score_text

UNDEFINED = "undefined"


def judge_tables(grid: Grid) -> tuple[Table, ...]:
    """Return the tables of agreement and of cost; none where no run was judged.

    Args:
        grid: The runs; those that no other table shows are listed too.
    """
    judged = [(run, run.judging) for _, run, _ in grid.all() if run.judging is not None]
    return (_agreement_table(grid, judged), _cost_table(grid, judged)) if judged else ()


Judged = Sequence[tuple[RunFigures, JudgedRun]]


def _agreement_table(grid: Grid, judged: Judged) -> Table:
    return Table(
        title=f"Judge: agreement with EM and F1, {grid.name}",
        caption="Judged correct: mean over the answers with a verdict. Then how often the judge and the metric say the "
        "same, Cohen's kappa, and answers right by both, by the judge only, by the metric only, and by neither. F1 "
        f"takes an answer for right from {BESIDE['f1']} on. Failed and empty answers are in the mean only.",
        columns=(
            *WHO, "judged correct", "not judged", "EM agrees", "EM kappa", "both/judge/EM/neither", "F1 agrees",
            "F1 kappa", "both/judge/F1/neither",
        ),
        rows=tuple(
            (
                *who(grid, run),
                score_text(run, "judged"),
                f"{found.not_judged:,} of {run.summary.answered:,}",
                *_agreed(found.agreement.get("em")),
                *_agreed(found.agreement.get("f1")),
            )
            for run, found in judged
        ),
        labels=3,
        notes=(*_judge_notes(judged), *_failure_notes(grid, judged), *mark_notes([run for run, _ in judged])),
    )  # fmt: skip


def _cost_table(grid: Grid, judged: Judged) -> Table:
    prices = dict.fromkeys(found.account.price[0] for _, found in judged if found.account.price is not None)
    known = all(found.account.cost is not None for _, found in judged)
    return Table(
        title=f"Judge: cost, {grid.name}",
        caption="What judging each run takes by itself, in all. Runs that gave the same answer share a verdict, which "
        "was paid for once; it counts in each of them. Seconds are those of the calls, which may overlap.",
        columns=(*WHO, "calls", "asked again", "tokens read", "tokens written", "seconds", "cost"),
        rows=tuple((*who(grid, run), *_spent(found.account)) for run, found in judged),
        labels=3,
        notes=(*prices, *([] if known else [f"{MISSING}: no price is known"])),
    )


def _spent(told: JudgeAccount) -> tuple[str, ...]:
    counts = (told.calls, told.asked_again, told.prompt_tokens, told.output_tokens)
    currency = told.price[1] if told.price is not None else ""
    return (*map(numbers.whole, counts), numbers.seconds(told.seconds), numbers.money(told.cost, currency))


def _agreed(found: Agreement | None) -> tuple[str, str, str]:
    if found is None:
        return (MISSING, MISSING, MISSING)
    kappa = UNDEFINED if found.kappa is None else f"{found.kappa:.2f}"
    rate = MISSING if found.rate is None else f"{found.rate:.3f}"
    return rate, kappa, f"{found.both}/{found.judge}/{found.metric}/{found.neither}"


def _judge_notes(judged: Judged) -> list[str]:
    """Name each judge, what answered under its name, and the prompt."""
    told = dict.fromkeys(f"judge: {_judge_of(found.account)} (docs/reference/judge.md)" for _, found in judged)
    changed = [run.hash for run, found in judged if len(found.account.served) > 1]
    notes = [*told, "kappa is undefined where one of the two says the same of all answers"]
    if changed:
        notes.append(f"the model behind the judge's name changed while runs {', '.join(changed)} were judged")
    return notes


def _judge_of(told: JudgeAccount) -> str:
    served = f", served as {', '.join(told.served)}" if told.served else ""
    return f"{told.name} {told.identity}{served}; prompt {told.prompt}"


def _failure_notes(grid: Grid, judged: Judged) -> list[str]:
    """Say of each run with failed judgements why they failed, and between which means the truth is."""
    notes = []
    for run, found in judged:
        if found.not_judged:
            reasons = "; ".join(f"{many(count, 'time')}: {why}" for why, count in found.account.reasons.items())
            lowest, highest = found.bounds
            who = f"{run.spec.size} {grid.label(row_of(run))} ({run.hash})"
            notes.append(
                f"{who}: {found.not_judged} not judged ({reasons}); counted as incorrect the mean is {lowest:.3f}, as "
                f"correct {highest:.3f}; rmtbench score with the same {flag.judge} asks again"
            )
    return notes
