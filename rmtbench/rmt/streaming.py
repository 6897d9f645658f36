"""Texts of any length, read from iterators of token ids: only one segment a text stands in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from rmtbench.rmt.accumulated import read_streams_apart
from rmtbench.rmt.base import Ids, Recurrent, Step


def read_streams(
    model: Recurrent,
    streams: Sequence[Iterable[Ids]],
    memory: torch.Tensor | None = None,
    watch: Callable[[Step], None] = lambda _: None,
) -> torch.Tensor:
    """Return the memories of `read_streams_apart` as one tensor, ``[texts, kept tokens, hidden]``; of one length each.

    Args:
        model: Reads; whether it drops out is its own mode's affair.
        streams: Segments of each text, such as pieces of it that a question follows.
        memory: Before the texts, ``[texts, kept tokens, hidden]``; None for the learned one.
        watch: Gets every step, for progress, perplexity, or what is known along the way.
    """
    return torch.stack(read_streams_apart(model, streams, memory, watch))


def read_to_ends(
    model: Recurrent, streams: Sequence[Iterable[Ids]], watch: Callable[[Step], None] = lambda _: None
) -> torch.Tensor | list[torch.Tensor]:
    """Read texts of any numbers of segments; arguments as for `read_streams`.

    Returns:
        The memory after each text, which `RecurrentDecoder.prompts` takes; a list where memory accumulates.
    """
    read = read_streams_apart if model.config.accumulates else read_streams
    return read(model, streams, watch=watch)
