"""Texts of any length, read from iterators of token ids: only one segment a text stands in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count

import torch

from rmtbench.rmt.base import Ids, Recurrent, Step


def read_streams(
    model: Recurrent,
    streams: Sequence[Iterable[Ids]],
    memory: torch.Tensor | None = None,
    watch: Callable[[Step], None] = lambda _: None,
) -> torch.Tensor:
    """Return the memories of `read_streams_apart` as one tensor ``[texts, kept tokens, hidden]``: all of one length."""
    return torch.stack(read_streams_apart(model, streams, memory, watch))


def read_to_ends(
    model: Recurrent, streams: Sequence[Iterable[Ids]], watch: Callable[[Step], None] = lambda _: None
) -> torch.Tensor | list[torch.Tensor]:
    """Read texts of any numbers of segments; arguments as for `read_streams_apart`.

    Returns:
        The memory after each text, which `RecurrentDecoder.prompts` takes; a list where memory accumulates.
    """
    read = read_streams_apart if model.config.accumulates else read_streams
    return read(model, streams, watch=watch)


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
