"""Rows of segments through a recurrent model, ends side by side, so that back-propagation counts from each row's own.

A row takes part from the step at which its segments last to the end: no padding is ever read in a segment's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch.utils.checkpoint import checkpoint

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


def walk_abreast(model: Recurrent, rows: Sequence[Sequence[Ids]], memory: torch.Tensor | None = None) -> Iterator[Step]:
    """Read rows segment by segment, all from their first, so that all rows of a step have kept as many segments.

    For memory that accumulates, after AutoCompressors (Chevalier et al., 2023, arXiv:2305.14788). It grows with the
    text, so that texts of unequal length end in memories of unequal length.

    A memory that was written more segments before its row's end than the configured number passes no gradient on.

    Args:
        model: Reads.
        rows: Segments of each row; a row without any takes part in no step.
        memory: Before the first segments, ``[rows, kept tokens, hidden]``; None for the learned one.

    Yields:
        Each step, its rows in the order of `rows`.
    """
    held = model.initial_memory(len(rows)) if memory is None else memory
    depth = model.config.backprop_segments
    active = tuple(range(len(rows)))
    for number in range(max(map(len, rows), default=0)):
        going = tuple(row for row in active if len(rows[row]) > number)
        held, active = held[[active.index(row) for row in going]], going
        segments = tuple(rows[row][number] for row in active)
        within = [depth is None or len(rows[row]) - number <= depth for row in active]
        with torch.set_grad_enabled(torch.is_grad_enabled() and any(within)):  # else nothing would be kept for nothing
            read = model.read_segment(held, segments)
        if not all(within):
            passing = torch.tensor(within, device=held.device)[:, None, None]
            read = replace(read, memory=torch.where(passing, read.memory, read.memory.detach()))
        held = read.memory
        yield Step(active, (number,) * len(active), segments, read)


def read_rows_apart(
    model: Recurrent, rows: Sequence[Sequence[Ids]], memory: torch.Tensor | None = None, *, recompute: bool = False
) -> list[torch.Tensor]:
    """Return the memory after all segments of each row, ``[kept tokens, hidden]``; arguments as for `walk`.

    A row without any segment keeps the memory that it had.
    """
    first = model.initial_memory(len(rows)) if memory is None else memory
    found = list(first)
    for step in walk(model, rows, first, recompute=recompute):
        for place, row in enumerate(step.rows):
            found[row] = step.read.memory[place]
    return found


def read_rows(
    model: Recurrent, rows: Sequence[Sequence[Ids]], memory: torch.Tensor | None = None, *, recompute: bool = False
) -> torch.Tensor:
    """Return the memories of `read_rows_apart` as one tensor, ``[rows, kept tokens, hidden]``; of one length each."""
    return torch.stack(read_rows_apart(model, rows, memory, recompute=recompute))
