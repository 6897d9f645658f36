"""Rows of segments through a recurrent model, ends side by side, so that back-propagation counts from each row's own.

A row takes part from the step at which its segments last to the end: no padding is ever read in a segment's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.checkpoint import checkpoint

from rmtbench.rmt.accumulated import read_rows_apart, walk_abreast
from rmtbench.rmt.base import Ids, Recurrent, Step


def walk(
    model: Recurrent, rows: Sequence[Sequence[Ids]], memory: torch.Tensor | None = None, *, recompute: bool = False
) -> Iterator[Step]:
    """Read rows segment by segment; the last step reads the last segment of each.

    Memory that accumulates is read by `walk_abreast` instead: its rows begin together, and end at steps of their own.

    Steps beyond the configured number of segments from the end are read without gradient, and so cost no memory.

    Args:
        model: Reads.
        rows: Segments of each row; a row without any takes part in no step.
        memory: Before the first segments, ``[rows, memory tokens, hidden]``; None for the learned one.
        recompute: Keep only the memory of each segment and read it again for its gradient (gradient checkpointing).

    Yields:
        Each step, its rows those that began first, first.
    """
    if model.config.accumulates:
        yield from walk_abreast(model, rows, memory)
        return
    first = model.initial_memory(len(rows)) if memory is None else memory
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    depth = model.config.backprop_segments
    held = first[:0]
    for left in range(max(map(len, rows)), 0, -1):
        active = tuple(row for row in order if len(rows[row]) >= left)
        held = torch.cat([held, first[list(active[len(held) :])]])
        segments = tuple(rows[row][-left] for row in active)
        with torch.set_grad_enabled(torch.is_grad_enabled() and (depth is None or left <= depth)):
            if recompute and torch.is_grad_enabled():
                read = checkpoint(model.read_segment, held, segments, use_reentrant=False)
            else:
                read = model.read_segment(held, segments)
        held = read.memory
        yield Step(active, tuple(len(rows[row]) - left for row in active), segments, read)


def read_rows(
    model: Recurrent, rows: Sequence[Sequence[Ids]], memory: torch.Tensor | None = None, *, recompute: bool = False
) -> torch.Tensor:
    """The memory after all segments of each row.

    Memory that accumulates has to be of one length: `read_rows_apart` is for rows of unequal numbers of segments.

    Args:
        model: Reads.
        rows: Segments of each row; a row without any keeps the memory that it had.
        memory: As for `walk`.
        recompute: As for `walk`.

    Returns:
        ``[rows, memory tokens, hidden]``, in the order of the rows.
    """
    if model.config.accumulates:
        return torch.stack(read_rows_apart(model, rows, memory))
    first = model.initial_memory(len(rows)) if memory is None else memory
    for step in walk(model, rows, first, recompute=recompute):
        last = step
    if not any(rows):
        return first
    return first.index_copy(0, torch.tensor(last.rows, device=first.device), last.read.memory)
