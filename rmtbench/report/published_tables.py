"""Published figures beside measured ones, wherever a run's dataset, size and system correspond; and what differs.

Corresponding is not comparable: every table says in which model, data, draws and scorer the two differ.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.metrics import PAPER_METRIC
from rmtbench.analysis.published.figures import MODEL, PAPER, published_corpus
from rmtbench.analysis.published_comparison import Corresponding, corresponding
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Grid, Section
from rmtbench.plural import many
from rmtbench.report import numbers
from rmtbench.report.notes import mark_notes, name_of
from rmtbench.report.numbers import MISSING
from rmtbench.report.tables import Table, row_cells, score_text

WRONG = "§"
COLUMNS = (
    "table", "dataset", "size", "system", "top_k", "run_id", "measured_minilm_cosine", "published_minilm_cosine",
    "logged_minilm_cosine", "published_is_wrong", "measured_mean_seconds", "published_mean_seconds",
    "measured_preparation_seconds", "published_preparation_seconds", "metric", "measured_score", "measured_tokens",
    "published_system", "published_tokens", "published_score", "published_lowest", "published_median",
    "published_highest", "draws", "complete", "random_weights", "differences", "source",
)  # fmt: skip
"""Of ``published.csv``, which holds the records of every table that sets published figures beside measured ones."""


def paper_comparison_table(section: Section, grid: Grid) -> Table | None:
    """Measured and published score and time of every run that the paper has a cell for.

    Args:
        section: The grid's section.
        grid: The runs.

    Returns:
        The table; None where nothing corresponds.
    """
    found = corresponding(grid)
    if not found:
        return None
    prepared = any(each.published_preparation is not None for each in found)
    rows = []
    for each in found:
        row, run, score = each.row, each.run, each.score
        published = MISSING if score is None or score.published is None else f"{score.published:.4f}"
        rows.append(
            (
                each.size,
                *row_cells(grid, row, run),
                score_text(run, PAPER_METRIC),
                f"{published}{WRONG if score is not None and score.wrong else ''}",
                MISSING if score is None else f"{score.logged:.4f}",
                numbers.seconds(run.summary.mean_seconds["total"]),
                numbers.seconds(each.published_seconds),
                *(numbers.seconds(time) for time in (each.preparation, each.published_preparation) if prepared),
            )
        )
    runs = [each.run for each in found]
    caption = (
        f"{PAPER}, tables 2 and 3, beside the means of its authors' own logs. Score: the cosine of two MiniLM "
        "embeddings, which the paper calls BERT-Score. Time: mean of a question, preparation left out."
    )
    columns: tuple[str, ...] = ("size", "system", "top-k", "measured", "published", "logs", "time", "published time")
    if prepared:
        caption += " Preparation: of one cache; the published one is by those logs."
        columns += ("preparation", "published preparation")
    return Table(
        title=f"Published beside measured, {grid.name}",
        caption=caption,
        columns=columns,
        rows=tuple(rows),
        labels=2,
        notes=(
            *differences(section, grid),
            *_wrong_figures(found),
            *_loaded_caches(found),
            *mark_notes(runs),
        ),
    )


def differences(section: Section, grid: Grid) -> tuple[str, ...]:
    """In what the published set-up differs from the measured one, a sentence each.

    Args:
        section: The grid's section.
        grid: The runs.
    """
    setting = dict(section.setting)
    runs = [each.run for each in corresponding(grid)]
    told = []
    if setting["model"] != MODEL:
        told.append(f"model: published {MODEL}, measured {setting['model']}")
    if setting["data source"] not in ("official", "hub"):
        told.append(f"data: published the public data set, measured {setting['data source']} data of its name")
    for size in grid.sizes:
        corpus = published_corpus(grid.dataset, size)
        asked = sorted({(run.summary.expected, run.summary.draws) for run in runs if run.spec.size == size})
        if corpus is not None and asked and asked != [(corpus.questions, corpus.draws)]:
            ours = ", ".join(f"{questions} in {many(draws, 'draw')}" for questions, draws in asked)
            note = f" ({corpus.note})" if corpus.note else ""
            told.append(
                f"{size}: published {many(corpus.questions, 'question')} in {many(corpus.draws, 'draw')} of "
                f"{corpus.documents} {'rows' if grid.dataset == 'hotpotqa' else 'articles'}{note}; measured {ours}"
            )
    scorers = sorted({run.scorers[PAPER_METRIC] for run in runs if PAPER_METRIC in run.scorers})
    if scorers:
        told.append(f"scorer: published all-MiniLM-L6-v2 of the first reference, measured {'; '.join(scorers)}")
    told.append(
        "set-up: published BM25 searches 512-token chunks and the vectors 1,024-token ones, and its systems' prompts "
        "differ; measured all systems have one prompt and one chunker"
    )
    return tuple(told)


def paper_comparison_records(section: Section, grid: Grid) -> list[Record]:
    """The table's figures for scripts."""
    records, told = [], "; ".join(differences(section, grid))
    for each in corresponding(grid):
        run, score = each.run, each.score
        measured = run.summary.means.get(PAPER_METRIC) if run.scored else None
        records.append(
            published_record(
                grid,
                run,
                table="scores and times",
                measured_minilm_cosine=None if measured is None else round(measured, 4),
                published_minilm_cosine=score.published if score else None,
                logged_minilm_cosine=score.logged if score else None,
                published_is_wrong=score.wrong if score else None,
                measured_mean_seconds=run.summary.mean_seconds["total"],
                published_mean_seconds=each.published_seconds,
                measured_preparation_seconds=each.preparation,
                published_preparation_seconds=each.published_preparation,
                differences=told,
                source=PAPER,
            )
        )
    return records


def published_record(grid: Grid, run: RunFigures, **figures: object) -> Record:
    """One line of ``published.csv``: whatever is not given is empty.

    Args:
        grid: Where the run stands.
        run: The run.
        **figures: Its measured and published figures, by their names in `COLUMNS`.
    """
    known = figures | {
        "dataset": grid.dataset,
        "size": run.spec.size,
        "system": run.spec.system,
        "top_k": run.spec.top_k,
        "run_id": run.run_id,
        "draws": run.summary.draws,
        "complete": run.complete,
        "random_weights": run.random_weights,
    }
    return {name: known.get(name) for name in COLUMNS}


def _loaded_caches(found: Sequence[Corresponding]) -> list[str]:
    return [
        f"preparation not shown, loaded from kept caches and not computed: {each.size} {name_of(each.run)}"
        for each in found
        if each.spared
    ]


def _wrong_figures(found: Sequence[Corresponding]) -> list[str]:
    return [
        f"{WRONG} {score.size} {score.system} top-{score.top_k}: the published figure is {score.wrong}; by the logs it "
        f"should be {score.logged:.4f}"
        for score in (each.score for each in found)
        if score is not None and score.wrong
    ]
