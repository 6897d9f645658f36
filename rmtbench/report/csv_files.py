"""The same tables as records of plain figures, one file each, for scripts: seconds, bytes and scores without units.

A figure that does not exist is an empty field. Every record says which run it is and what produced it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from rmtbench.analysis.corpora import corpora_of
from rmtbench.analysis.figure_data import Record, six_digits
from rmtbench.analysis.metrics import shown_values
from rmtbench.analysis.recorded import flat_provenance
from rmtbench.analysis.run_figures import TIMINGS, RunFigures
from rmtbench.analysis.sections import Grid, Row, Section, cache_comparison
from rmtbench.report.anatomy import parts_of
from rmtbench.report.numbers import quotient


def records(sections: Sequence[Section]) -> dict[str, list[Record]]:
    """Every table's records, by the file's name without its ending.

    Args:
        sections: All sections; each record has its section's setting, because a file holds runs of all sections.
    """
    grids = [(section, grid) for section in sections for grid in section.grids]
    parts = parts_of([run for section in sections for run in section.runs])
    metrics = _metrics([run for section in sections for run in section.runs])
    sheets: dict[str, list[Record]] = {"table1": [row for section in sections for row in _corpora(section)]}
    for section, grid in grids:
        sheet = sheets.setdefault(f"table2-{slug(grid.dataset)}", [])
        sheet += [
            _where(grid, size, row) | _scores(run, metrics) | _made(section, run)
            for size in grid.sizes
            for row, run in grid.at(size)
        ]
    sheets["table3"] = [
        _where(grid, size, row) | _times(run, base) | _made(section, run)
        for section, grid in grids
        for size, row, run, base in cache_comparison(grid)
    ]
    sheets["anatomy"] = [
        _where(grid, run.spec.size, row) | {"replaced": replaced} | _anatomy(run, parts) | _made(section, run)
        for section, grid in grids
        for row, run, replaced in grid.all()
    ]
    return sheets


def to_csv(rows: Sequence[Record]) -> str:
    """Records as CSV with a heading, lines ended by a line feed; nothing at all without records.

    Args:
        rows: Records. A column that a record lacks is left empty.
    """
    text = io.StringIO()
    if rows:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(text, fieldnames=columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _field(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def slug(dataset: str) -> str:
    """A dataset's name as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", dataset.lower()).strip("-") or "dataset"


def _metrics(runs: Sequence[RunFigures]) -> tuple[str, ...]:
    """All metrics that were made, those of table 2 first."""
    usual = [value.name for value in shown_values(runs)]
    met = {metric for run in runs for metric in run.summary.means}
    return (*usual, *sorted(met - set(usual)))


def _where(grid: Grid, size: str, row: Row) -> Record:
    return {
        "dataset": grid.dataset,
        "size": size,
        "system": row.system,
        "top_k": row.top_k,
        "embedder": row.embedder,
        "chunk_tokens": row.chunk_tokens,
        "chunk_overlap": row.chunk_overlap,
        "settings": "; ".join(f"{name}={value}" for name, value in row.settings),
    }


def _made(section: Section, run: RunFigures | None) -> Record:
    """What tells a run from others and what produced it; without a run, what its section has in common."""
    made = dict.fromkeys(("embedder_sha256", "scorers", "versions", "code", "started"), "")
    return {
        "run_id": run.run_id if run else None,
        "random_weights": section.runs[0].random_weights,
        "complete": run.complete if run else None,
        "answered": run.summary.answered if run else None,
        "questions": run.summary.expected if run else None,
        "failed": run.summary.errors if run else None,
        "draws": run.summary.draws if run else None,
        "draws_asked": run.spec.draws if run else None,
        "data": run.spec.data if run else None,
        **{name.replace(" ", "_"): value for name, value in section.setting},
        **(made if run is None else flat_provenance(run)),
    }


def _corpora(section: Section) -> list[Record]:
    return [
        {
            "dataset": corpus.dataset,
            "size": corpus.size,
            "source": corpus.kind or None,
            "data": corpus.data,
            "data_sha256": corpus.sha256 or None,
            "draws": corpus.draws,
            "documents_a_draw": corpus.documents,
            "tokens_a_draw": corpus.tokens,
            "questions_in_all": corpus.questions,
            **{name.replace(" ", "_"): value for name, value in section.setting},
        }
        for corpus in corpora_of(section)
    ]


def _scores(run: RunFigures | None, metrics: Sequence[str]) -> Record:
    scores: Record = {"scored": run.scored if run else None}
    means = run.summary.means if run and run.scored else {}
    errors = run.standard_errors if run and run.scored and run.complete else {}
    for metric in metrics:
        scores[metric] = _round(means.get(metric))
        scores[f"{metric}_standard_error"] = _round(errors.get(metric))
    return scores


def _times(run: RunFigures | None, base: RunFigures | None) -> Record:
    mean, both = _mean_seconds(run), run.seconds_with_preparation if run else None
    base_both = base.seconds_with_preparation if base else None
    return {
        "mean_seconds": six_digits(mean),
        "median_seconds": six_digits(run.summary.median_seconds["total"]) if run else None,
        "times_faster": six_digits(quotient(_mean_seconds(base), mean)),
        "preparation_seconds_a_draw": six_digits(run.preparation) if run else None,
        "mean_seconds_with_preparation": six_digits(both),
        "times_faster_with_preparation": six_digits(quotient(base_both, both)),
        "timed": run.summary.timed if run else None,
    }


def _anatomy(run: RunFigures, parts: Sequence[str]) -> Record:
    summary = run.summary
    figures: Record = {f"prepare_{part}_seconds": six_digits(summary.prepare_seconds.get(part)) for part in parts}
    figures |= {"prepare_total_seconds": six_digits(run.preparation), "prepare_shared": run.shared}
    for part in TIMINGS:
        figures[f"{part}_median_seconds"] = six_digits(summary.median_seconds[part])
        figures[f"{part}_p90_seconds"] = six_digits(summary.p90_seconds[part])
        figures[f"{part}_mean_seconds"] = six_digits(summary.mean_seconds[part])
    return figures | {
        "timed": summary.timed,
        "prompt_tokens": six_digits(run.tokens.prompt),
        "cached_tokens": six_digits(run.tokens.cached),
        "output_tokens": six_digits(run.tokens.output),
        "chunks": summary.prepared_counts.get("chunks"),
        "truncated_chunks": summary.prepared_counts.get("truncated_chunks"),
        "cost_a_question": six_digits(summary.cost.per_question) if summary.cost else None,
        "cost_a_corpus": six_digits(summary.cost.per_corpus) if summary.cost else None,
        "currency": summary.cost.currency if summary.cost else None,
        "kept_bytes": summary.kept_bytes,
        "peak_resident_bytes": run.peak_bytes[0],
        "peak_device_bytes": run.peak_bytes[1],
        "cut_off": summary.cut_off,
        "empty": summary.empty,
        "warmups": run.warmups,
    }


def _mean_seconds(run: RunFigures | None) -> float | None:
    return run.summary.mean_seconds["total"] if run else None


def _round(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _field(value: object) -> object:
    """Truth values as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else value
