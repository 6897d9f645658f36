"""Texts of any length, read from iterators of token ids: only one segment a text stands in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from rmtbench.rmt.accumulated import read_streams_apart, side_by_side
from rmtbench.rmt.base import Ids, Recurrent, Step


@torch.inference_mode()
def read_streams(
    model: Recurrent,
    streams: Sequence[Iterable[Ids]],
    memory: torch.Tensor | None = None,
    watch: Callable[[Step], None] = lambda _: None,
) -> torch.Tensor:
    """Read texts side by side, each to its own end, without gradient.

    Memory that accumulates has to be of one length: `read_streams_apart` is for texts of unequal numbers of segments.

    Args:
        model: Reads; whether it drops out is its own mode's affair.
        streams: Segments of each text, such as pieces of it that a question follows.
        memory: Before the texts, ``[texts, memory tokens, hidden]``; None for the learned one.
        watch: Told every step, for progress, perplexity, or what is known along the way. What it keeps, stays.

    Returns:
        The memory after each text, ``[texts, memory tokens, hidden]``; a text without segments keeps what it had.
    """
    if model.config.accumulates:
        return torch.stack(read_streams_apart(model, streams, memory, watch))
    held = (model.initial_memory(len(streams)) if memory is None else memory).clone()
    for number, rows, segments in side_by_side(streams):
        read = model.read_segment(held[rows], segments)
        held[rows] = read.memory
        watch(Step(tuple(rows), (number,) * len(rows), tuple(segments), read))
    return held


def read_to_ends(
    model: Recurrent, streams: Sequence[Iterable[Ids]], watch: Callable[[Step], None] = lambda _: None
) -> torch.Tensor | list[torch.Tensor]:
    """Read texts of any numbers of segments; arguments as for `read_streams`.

    Returns:
        The memory after each text, which `RecurrentDecoder.prompts` takes; a list where memory accumulates.
    """
    read = read_streams_apart if model.config.accumulates else read_streams
    return read(model, streams, watch=watch)
