"""Accumulated memory, after AutoCompressors (Chevalier et al., 2023, arXiv:2305.14788): every segment's memory is kept.

It grows with the text, so that texts of unequal length end in memories of unequal length: each is a tensor of its own
here, ``[kept tokens, hidden]``. A constant memory reads through the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count

import torch

from rmtbench.rmt.base import Ids, Recurrent, Step


def walk_abreast(model: Recurrent, rows: Sequence[Sequence[Ids]], memory: torch.Tensor | None = None) -> Iterator[Step]:
    """Read rows segment by segment, all from their first, so that all rows of a step have kept as many segments.

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


@torch.inference_mode()
def read_streams_apart(
    model: Recurrent,
    streams: Sequence[Iterable[Ids]],
    memory: torch.Tensor | None = None,
    watch: Callable[[Step], None] = lambda _: None,
) -> list[torch.Tensor]:
    """Read texts side by side, each to its own end, without gradient.

    Args:
        model: Reads.
        streams: Segments of each text.
        memory: Before the texts, ``[texts, kept tokens, hidden]``; None for the learned one.
        watch: Told every step.

    Returns:
        The memory after each text, ``[kept tokens, hidden]``.
    """
    held = list(model.initial_memory(len(streams)) if memory is None else memory)
    for number, rows, segments in side_by_side(streams):
        read = model.read_segment(torch.stack([held[row] for row in rows]), segments)
        for place, row in enumerate(rows):
            held[row] = read.memory[place]
        watch(Step(tuple(rows), (number,) * len(rows), tuple(segments), read))
    return held


def side_by_side(streams: Sequence[Iterable[Ids]]) -> Iterator[tuple[int, list[int], list[Ids]]]:
    """Yield each segment's number, the streams that have one of that number, and these segments."""
    sources = dict(enumerate(map(iter, streams)))
    for number in count():
        segments = {row: segment for row, source in sources.items() if (segment := next(source, None)) is not None}
        sources = {row: sources[row] for row in segments}
        if not segments:
            return
        yield number, list(segments), list(segments.values())
