"""How `rmtbench bench retrieval --dataset` looks: one row a retriever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtbench.report.numbers import score
from rmtbench.report.tables import Table


def quality_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `rmtbench.bench.retrieval_quality.run`.

    Args:
        figures: As the bench gives them.
    """
    depths = ("recall@1", "recall@3", "recall@10", "mrr")
    rows = tuple(
        (
            row["retriever"],
            f"{row['recall@1']:.3f}",
            f"{row['recall@3']:.3f}",
            score(row["recall@5"], row["recall@5_standard_error"]),
            *(f"{row[name]:.3f}" for name in depths[2:]),
        )
        for row in figures["rows"]
    )
    columns = ("retriever", "recall@1", "recall@3", "recall@5", "recall@10", "MRR")
    caption = (
        f"{figures['questions']} questions in {figures['draws']} draws, {figures['chunks']} chunks of at most "
        f"{figures['chunk_tokens']} tokens; standard errors are clustered by draw."
    )
    over = figures["hybrid_over_better"]
    error = "" if over["standard_error"] is None else f" ±{over['standard_error']:.3f}"
    note = f"recall@5 of hybrid is {over['difference']:+.3f}{error} above that of {over['better']}, its better part"
    return Table(f"Evidence found: {figures['dataset']}, {figures['source']}", caption, columns, rows, 1, (note,))
