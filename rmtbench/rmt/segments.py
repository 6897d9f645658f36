"""From token ids to segments, and from segments of unequal length to one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch

from rmtbench.errors import AnswerError
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


def cut_with_tail(context: Iterable[int], tail: Ids, size: int) -> Iterator[Ids]:
    """Cut a context so that what follows it, such as a question, stands whole in the last segment.

    Args:
        context: Token ids; an iterator is enough.
        tail: Token ids that share the context's last segment if they fit there, else make one of their own.
        size: Tokens of a full segment.

    Raises:
        AnswerError: The tail is longer than a segment.
    """
    if len(tail) > size:
        raise AnswerError(f"a question of {len(tail)} tokens exceeds a segment of {size}")
    last: list[int] = []
    for segment in cut(context, size):
        if last:
            yield last
        last = segment
    if last and len(last) + len(tail) > size:
        yield last
        last = []
    if last or tail:
        yield [*last, *tail]


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
