"""Published scores at the nearest length beside measured ones: of models over retrieved contexts, and of memories.

What was published is of other models, data and scorers: it tells where a curve falls. Every table says what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.judging import JUDGED
from rmtbench.analysis.published.figures import (
    BABILONG_POINTS,
    LONG_CONTEXT_PAPER,
    LONG_CONTEXT_SETUP,
    MODELS,
    scores_at,
)
from rmtbench.analysis.published_comparison import (
    EXACT,
    contexts_at_lengths,
    memories_at_lengths,
    memory_accuracies,
    one_a_length,
)
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Grid, Section
from rmtbench.options import flag
from rmtbench.plural import many
from rmtbench.report import numbers
from rmtbench.report.notes import mark_notes, marks
from rmtbench.report.numbers import MISSING
from rmtbench.report.published_tables import published_record
from rmtbench.report.tables import Table, score_text

MOST_ROWS = 20
"""Of a table for people; the files hold all."""
ONE_MODEL = "llama-3.1-8b-instruct"
"""Told by its name, as the model of "Don't Do RAG"."""


@dataclass(frozen=True, slots=True)
class SetUp:
    """How published figures were made.

    Attributes:
        models: Which models answered.
        data: What was read and asked.
        scorer: What judged the answers.
        metric: What stands beside it here.
        besides: What else differs, as a sentence.
    """

    models: str
    data: str
    scorer: str
    metric: str
    besides: str


CONTEXTS = SetUp(
    models=f"{len(MODELS)} models",
    data=LONG_CONTEXT_SETUP,
    scorer="a language model's judgement of answers",
    metric=JUDGED,
    besides="context: published retrieved chunks alone; measured what the system reads: the whole corpus, or its "
    "chunks",
)
MEMORIES = SetUp(
    models="as the columns are headed",
    data="BABILong, one to three facts in running text of books",
    scorer="accuracy by BABILong's own rule",
    metric=EXACT,
    besides="length: published nominal (1k is 1,000), in tokens of that model; measured in tokens of the model under "
    "test",
)


def context_table(section: Section, grid: Grid) -> Table | None:
    """Measured scores by the tokens that a question reads, beside 20 models that read as much of retrieved chunks.

    Args:
        section: The grid's section.
        grid: The runs. Of each system one run a published length is shown: a complete one, on the longest corpus.

    Returns:
        The table; None where no run reads a length of which something was published.
    """
    found = contexts_at_lengths(grid)
    shown = one_a_length(found)[:MOST_ROWS]
    rows = []
    for each in shown:
        run, known = each.run, scores_at(each.tokens)
        extremes = (min(known.values()), median(known.values()), max(known.values()))
        rows.append(
            (
                run.spec.size,
                f"{grid.full_label(each.row)} {marks(run)}".rstrip(),
                numbers.whole(run.tokens.prompt),
                score_text(run, JUDGED),
                numbers.whole(each.tokens),
                numbers.score(known[ONE_MODEL]) if ONE_MODEL in known else MISSING,
                *map(numbers.score, extremes),
                str(len(known)),
            )
        )
    if not rows:
        return None
    return Table(
        title=f"Published by length of context, {grid.name}",
        caption=f"{LONG_CONTEXT_PAPER}: the nearest published length beside the mean tokens of a question. "
        "Measured and published: correctness as a language model judged it; the judges and their prompts differ. Runs "
        f"that were not judged are not shown (rmtbench score {flag.judge}).",
        columns=(
            "size", "system", "tokens read", "measured", "published at", ONE_MODEL, "lowest", "median", "highest",
            "models",
        ),
        rows=tuple(rows),
        labels=2,
        notes=(
            *set_up_differences(CONTEXTS, section, [each.run for each in found]),
            *_left_out(len(found) - len(rows)),
            *mark_notes([each.run for each in shown]),
        ),
    )  # fmt: skip


def memory_table(section: Section, grids: Sequence[Grid]) -> Table | None:
    """Measured scores of recurrent memories by length of the corpus, beside what was published of others.

    Args:
        section: The grids' section.
        grids: All its runs.

    Returns:
        The table; None without a recurrent memory that was read at a published length.
    """
    found = [(grid, each) for grid in grids for each in memories_at_lengths(grid)]
    if not found:
        return None
    systems = list(dict.fromkeys(point.system for point in BABILONG_POINTS))
    rows = []
    for grid, each in found[:MOST_ROWS]:
        run, known = each.run, memory_accuracies(each.tokens)
        rows.append(
            (
                grid.name,
                run.spec.size,
                f"{grid.full_label(each.row)} {marks(run)}".rstrip(),
                numbers.whole(run.summary.corpus_tokens),
                score_text(run, EXACT),
                numbers.whole(each.tokens),
                *(numbers.score(known[system]) if system in known else MISSING for system in systems),
            )
        )
    return Table(
        title="Published of recurrent memory beside measured",
        caption=f"{_memory_source()}: the nearest published length beside the mean tokens of a corpus. "
        f"Measured: {EXACT.upper()}. Published: accuracy. Other models, texts and questions: compare how curves run.",
        columns=("dataset", "size", "system", "corpus tokens", "measured", "published at", *systems),
        rows=tuple(rows),
        labels=3,
        notes=(
            *set_up_differences(MEMORIES, section, [each.run for _, each in found]),
            *_left_out(len(found) - len(rows)),
            *mark_notes([each.run for _, each in found[:MOST_ROWS]]),
        ),
    )


def set_up_differences(published: SetUp, section: Section, runs: Sequence[RunFigures]) -> tuple[str, ...]:
    """In what a published set-up differs from the measured one, a sentence each.

    Args:
        published: `CONTEXTS` or `MEMORIES`.
        section: Of the runs.
        runs: The runs that something published stands beside.
    """
    setting, metric = dict(section.setting), published.metric
    # Generated data have public names: say of which kind they are.
    named = f"{setting['data source']} data named {', '.join(sorted({run.dataset for run in runs}))}"
    made = "; ".join(sorted({run.scorers[metric] for run in runs if metric in run.scorers}))
    return (
        f"model: published {published.models}, measured {setting['model']}",
        f"data: published {published.data}; measured {named}",
        f"scorer: published {published.scorer}, measured {made if metric == JUDGED else f'{metric.upper()} ({made})'}",
        published.besides,
    )


def length_records(section: Section, grid: Grid) -> list[Record]:
    """Both tables' figures for scripts, of every run: one line a run, of memories one a run and published system."""
    records = []
    contexts, memories = contexts_at_lengths(grid), memories_at_lengths(grid)
    told = "; ".join(set_up_differences(CONTEXTS, section, [each.run for each in contexts]))
    for each in contexts:
        run, known = each.run, scores_at(each.tokens)
        records.append(
            published_record(
                grid,
                run,
                table="length of context",
                metric=JUDGED,
                measured_score=_mean(run, JUDGED),
                measured_tokens=_rounded(run.tokens.prompt),
                published_system=ONE_MODEL,
                published_tokens=each.tokens,
                published_score=known.get(ONE_MODEL),
                published_lowest=min(known.values()),
                published_median=round(median(known.values()), 4),
                published_highest=max(known.values()),
                differences=told,
                source=LONG_CONTEXT_PAPER,
            )
        )
    told = "; ".join(set_up_differences(MEMORIES, section, [each.run for each in memories]))
    for each in memories:
        run = each.run
        records += [
            published_record(
                grid,
                run,
                table="recurrent memory",
                metric=EXACT,
                measured_score=_mean(run, EXACT),
                measured_tokens=_rounded(run.summary.corpus_tokens),
                published_system=system,
                published_tokens=each.tokens,
                published_score=accuracy,
                differences=told,
                source=_memory_source(),
            )
            for system, accuracy in memory_accuracies(each.tokens).items()
        ]
    return records


def _memory_source() -> str:
    return "; ".join(dict.fromkeys(point.source for point in BABILONG_POINTS))


def _left_out(count: int) -> list[str]:
    return [f"{many(count, 'more run')} in published.csv"] if count else []


def _mean(run: RunFigures, metric: str) -> float | None:
    mean = run.summary.means.get(metric)
    return None if mean is None else round(mean, 4)


def _rounded(tokens: float | None) -> int | None:
    return None if tokens is None else round(tokens)
