"""How the workshop's benches look: one table each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtbench.report.numbers import MISSING, score, seconds, size, whole
from rmtbench.report.tables import Table


def perplexity_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `experiments.benches.perplexity.run`: one row a reader.

    Args:
        figures: As the bench gives them.
    """
    rows = tuple(
        (
            row["reader"],
            f"{row['perplexity']:.3f}",
            score(row["nll"], row["standard_error"]),
            score(row["nll_above_memory"], row["nll_above_memory_standard_error"]),
            whole(row["tokens"]),
            whole(row["tokens_per_second"]),
        )
        for row in figures["rows"]
    )
    columns = ("reader", "perplexity", "nats a token", "above memory", "tokens", "tokens/s")
    caption = f"{figures['texts']} texts; the base model's window has {figures['window']} tokens."
    return Table("Perplexity of long text", caption, columns, rows, 1)


def key_values_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `experiments.benches.key_values.run`: one row a memory, number of pairs and number of steps.

    Args:
        figures: As the bench gives them.
    """
    rows = tuple(
        (
            row["memory"],
            row["task"],
            row["update"],
            row["write"],
            str(row["pairs"]),
            str(row["steps"]),
            score(row["accuracy"], row["standard_error"]),
            MISSING if row["nats"] is None else f"{row['nats']:.3f}",
            size(row["bytes"]),
            seconds(row["seconds"]),
        )
        for row in figures["rows"]
    )
    columns = ("memory", "task", "update", "write", "pairs", "steps", "right", "nats a token", "kept", "writing a text")
    caption = f"{figures['texts']} texts of each number of pairs; a value is right in all its symbols."
    return Table("Key-value pairs that a memory holds", caption, columns, rows, 1)


def diagonal_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `experiments.benches.diagonal.run`: one row a length.

    Args:
        figures: As the bench gives them.
    """
    rows = tuple(
        (
            str(row["segment_tokens"]),
            whole(row["segments"]),
            seconds(row["sequential_seconds"]),
            seconds(row["diagonal_seconds"]),
            f"{row['times_faster']:.2f} ({row['slowest']:.2f} to {row['fastest']:.2f})",
            f"{row['largest_difference']:.1e} of {row['largest_number']:.1e}",
        )
        for row in figures["rows"]
    )
    columns = ("segment", "segments", "one by one", "diagonally", "times faster", "largest difference")
    caption = f"{figures['layers']} layers, batch 1; medians of {figures['rounds']} rounds, both ways in turns."
    return Table("Segments of a per-layer memory, read in two orders", caption, columns, rows, 0)


def kv_store_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `experiments.benches.kv_store.run`: one row a model and length.

    Args:
        figures: As the bench gives them.
    """
    rows = tuple(
        (
            row["model"],
            whole(row["tokens"]),
            size(row["bytes"]),
            *(seconds(row[f"{part}_seconds"]) for part in ("compute", "save", "cold_load", "warm_load")),
            f"{row['compute_over_cold_load']:,.0f}x",
            f"{row['compute_over_warm_load']:,.0f}x",
        )
        for row in figures["rows"]
    )
    columns = ("model", "tokens", "cache", "compute", "save", "load, cold", "load, warm", "cold gains", "warm gains")
    damage = figures["damage"]
    caption = "Loads check every byte. Cold: the disk's pages were forgotten; warm: they were in memory."
    notes = (f"damaged caches detected: {damage['detected']} of {damage['damaged']}", *damage["missed"])
    return Table("A kept key-value cache", caption, columns, rows, 1, notes)


def kv_quality_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `experiments.benches.kv_quality.run`: one row a style and way.

    Args:
        figures: As the bench gives them.
    """
    rows = tuple(
        (
            row["style"],
            row["way"],
            score(row["em"]),
            f"{row['em_difference']:+.3f}",
            f"{row['agreement']:.3f}",
            seconds(row["prepare_seconds"]),
            MISSING if row["change_seconds"] is None else seconds(row["change_seconds"]),
            MISSING if row["change_tokens"] is None else whole(row["change_tokens"]),
            seconds(row["question_seconds"]),
            size(row["bytes"]),
            whole(row["documents"]),
            whole(row["questions"]),
        )
        for row in figures["rows"]
    )
    columns = ("style", "cache", "EM", "less exact", "agreement", "preparation", "one changed", "tokens read",
               "a question", "kept", "documents", "n")  # fmt: skip
    caption = "Agreement: answers that are token for token the exact cache's. One changed: in the middle."
    return Table(f"Caches that are not exact, miniature {figures['size']}", caption, columns, rows, 2)


def reading_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `experiments.benches.reading.run`: one row a style and size, one column a kind of question.

    Args:
        figures: As the bench gives them.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in figures["rows"]))
    cells: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in figures["rows"]:
        cells.setdefault((row["style"], row["size"]), {})[row["kind"]] = row
    rows = tuple(
        (
            style,
            size,
            whole(sum(row["tokens"] for row in by_kind.values()) / len(by_kind)),
            *(
                score(by_kind[kind]["em"], by_kind[kind]["standard_error"]) if kind in by_kind else MISSING
                for kind in kinds
            ),
        )
        for (style, size), by_kind in cells.items()
    )
    caption = f"Exact match by kind of question; names: {figures['names']}; ± clustered by context."
    return Table(
        f"Reading the miniature, {figures['model']['id']}", caption, ("style", "size", "tokens", *kinds), rows, 3
    )
