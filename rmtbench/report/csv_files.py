"""The same tables as records of plain figures, one file each, for scripts: seconds, bytes and scores without units.

A figure that does not exist is an empty field. Every record says which run it is and what produced it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from rmtbench.analysis.corpora import corpora_of
from rmtbench.analysis.figure_data import Record
from rmtbench.analysis.grid import Grid, Row, cache_comparison, make_grids
from rmtbench.analysis.metrics import METRICS
from rmtbench.analysis.run_figures import Cell
from rmtbench.analysis.sections import Section, flat_provenance
from rmtbench.analysis.summary import TIMINGS
from rmtbench.report.anatomy import parts_of
from rmtbench.report.numbers import quotient


def records(sections: Sequence[Section]) -> dict[str, list[Record]]:
    """Every table's records, by the file's name without its ending.

    Args:
        sections: All sections; a record holds its section's setting, so that files pool none of them silently.
    """
    grids = [(section, grid) for section in sections for grid in make_grids(section.cells)]
    parts = parts_of([cell for section in sections for cell in section.cells])
    metrics = _metrics(cell for section in sections for cell in section.cells)
    sheets: dict[str, list[Record]] = {"table1": [row for section in sections for row in _corpora(section)]}
    for section, grid in grids:
        sheet = sheets.setdefault(f"table2-{slug(grid.dataset)}", [])
        sheet += [
            _where(grid, size, row) | _scores(cell, metrics) | _made(section, cell)
            for size in grid.sizes
            for row, cell in grid.at(size)
        ]
    sheets["table3"] = [
        _where(grid, size, row) | _times(cell, base) | _made(section, cell)
        for section, grid in grids
        for size, row, cell, base in cache_comparison(grid)
    ]
    sheets["anatomy"] = [
        _where(grid, cell.spec.size, row) | {"replaced": replaced} | _anatomy(cell, parts) | _made(section, cell)
        for section, grid in grids
        for row, cell, replaced in grid.all()
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


def _metrics(cells: Iterable[Cell]) -> tuple[str, ...]:
    """All metrics that were made, those of table 2 first."""
    usual = [metric for metric, _ in METRICS]
    met = {metric for cell in cells for metric in cell.summary.means}
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


def _made(section: Section, cell: Cell | None) -> Record:
    """What tells a run from others and what produced it; without a run, what its section has in common."""
    made = dict.fromkeys(("embedder_sha256", "scorers", "versions", "code", "started"), "")
    return {
        "run_id": cell.run_id if cell else None,
        "random_weights": section.cells[0].random_weights,
        "complete": cell.complete if cell else None,
        "answered": cell.summary.answered if cell else None,
        "questions": cell.summary.expected if cell else None,
        "failed": cell.summary.errors if cell else None,
        "draws": cell.summary.draws if cell else None,
        "draws_asked": cell.spec.draws if cell else None,
        "data": cell.spec.data if cell else None,
        **{name.replace(" ", "_"): value for name, value in section.setting},
        **(made if cell is None else flat_provenance(cell)),
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


def _scores(cell: Cell | None, metrics: Sequence[str]) -> Record:
    scores: Record = {"scored": cell.scored if cell else None}
    for metric in metrics:
        known = cell is not None and cell.scored
        scores[metric] = _round(cell.summary.means.get(metric)) if cell is not None and known else None
        scores[f"{metric}_standard_error"] = _round(cell.standard_errors.get(metric)) if cell and known else None
    return scores


def _times(cell: Cell | None, base: Cell | None) -> Record:
    mean, both = _mean_seconds(cell), cell.seconds_with_preparation if cell else None
    base_both = base.seconds_with_preparation if base else None
    return {
        "mean_seconds": _digits(mean),
        "median_seconds": _digits(cell.summary.median_seconds["total"]) if cell else None,
        "times_faster": _digits(quotient(_mean_seconds(base), mean)),
        "preparation_seconds_a_draw": _digits(cell.preparation) if cell else None,
        "mean_seconds_with_preparation": _digits(both),
        "times_faster_with_preparation": _digits(quotient(base_both, both)),
        "timed": cell.summary.timed if cell else None,
    }


def _anatomy(cell: Cell, parts: Sequence[str]) -> Record:
    summary = cell.summary
    figures: Record = {f"prepare_{part}_seconds": _digits(summary.prepare_seconds.get(part)) for part in parts}
    figures |= {"prepare_total_seconds": _digits(cell.preparation), "prepare_shared": cell.shared}
    for part in TIMINGS:
        figures[f"{part}_median_seconds"] = _digits(summary.median_seconds[part])
        figures[f"{part}_p90_seconds"] = _digits(summary.p90_seconds[part])
        figures[f"{part}_mean_seconds"] = _digits(summary.mean_seconds[part])
    return figures | {
        "timed": summary.timed,
        "prompt_tokens": _digits(cell.tokens.prompt),
        "cached_tokens": _digits(cell.tokens.cached),
        "output_tokens": _digits(cell.tokens.output),
        "chunks": summary.prepared_counts.get("chunks"),
        "truncated_chunks": summary.prepared_counts.get("truncated_chunks"),
        "cost_a_question": _digits(summary.cost.per_question) if summary.cost else None,
        "cost_a_corpus": _digits(summary.cost.per_corpus) if summary.cost else None,
        "currency": summary.cost.currency if summary.cost else None,
        "kept_bytes": summary.kept_bytes,
        "peak_resident_bytes": cell.peak_bytes[0],
        "peak_device_bytes": cell.peak_bytes[1],
        "cut_off": summary.cut_off,
        "empty": summary.empty,
        "warmups": cell.warmups,
    }


def _mean_seconds(cell: Cell | None) -> float | None:
    return cell.summary.mean_seconds["total"] if cell else None


def _round(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _digits(value: float | None) -> float | None:
    """Six significant digits: more would be noise of the clock."""
    return None if value is None else float(f"{value:.6g}")


def _field(value: object) -> object:
    """Truth values as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else value
