"""From token ids to segments, and from segments of unequal length to one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch

from rmtbench.rmt.base import Ids


def cut(ids: Iterable[int], size: int) -> Iterator[list[int]]:
    """Full segments from the front, then a shorter one if some ids are left; reads no further than it has given.

    Args:
        ids: Token ids; an iterator is enough.
        size: Tokens of a full segment.
    """
    rest = iter(ids)
    while segment := list(islice(rest, size)):
        yield segment


def stacked(segments: Sequence[Ids], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Segments side by side.

    Args:
        segments: Token ids of each row.
        device: Where the tensors go.

    Returns:
        Ids ``[rows, longest]``, shorter rows filled up with id 0, and the rows' lengths ``[rows]``.
    """
    longest = max(map(len, segments))
    filled = [[*segment, *[0] * (longest - len(segment))] for segment in segments]
    return torch.tensor(filled, device=device), torch.tensor([len(segment) for segment in segments], device=device)
