"""One token more in each row: keep it, attend to the row's own tokens, join that to the prefix's attention in float32.

Every shape is fixed and every length stays on the device, so that a CUDA graph can hold it. This is the reference, in
torch, for machines without Triton; `suffix_kernel` does the same in one kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from rmtbench.kvcache.exact.attention import Partial, merge


@dataclass(frozen=True)
class Slots:
    """Where the rows of a step stand; all on the device.

    Attributes:
        places: Each row's place in the suffix buffers, ``[rows]``, none of them twice.
        lengths: Tokens that the place holds, ``[rows]``: the new one's slot.
        steps: 1 for a row that steps, ``[rows]``; 0 for one that fills the step up, of which nothing is kept.
    """

    places: torch.Tensor
    lengths: torch.Tensor
    steps: torch.Tensor


Pair = tuple[torch.Tensor, torch.Tensor]
"""Keys and values."""

AttendToSuffixes = Callable[[torch.Tensor, Pair, Pair, Slots, Partial, float], torch.Tensor]
"""See `attend_to_suffixes`."""


def attend_to_suffixes(
    query: torch.Tensor, new: Pair, kept: Pair, slots: Slots, prefix: Partial, scale: float
) -> torch.Tensor:
    """Keep each row's new key and value, and attend to the prefix and to all that the row holds by then.

    Args:
        query: ``[rows, heads, width]``.
        new: The rows' new keys and values, each ``[rows, key-value heads, width]``.
        kept: The layer's buffers, each ``[places, key-value heads, room, width]``; written in place.
        slots: Where the rows stand.
        prefix: Attention over the prefix: outputs ``[rows, heads, width]`` and log-sum-exps ``[rows, heads]``.
        scale: Factor of the scores.

    Returns:
        ``[rows, heads, width]``; of rows that do not step, it means nothing.
    """
    steps = slots.steps.bool()[:, None, None]
    for states, one in zip(kept, new, strict=True):
        states[slots.places, :, slots.lengths] = torch.where(steps, one, states[slots.places, :, slots.lengths])
    rows, heads, width = query.shape
    wide = torch.promote_types(query.dtype, torch.float32)
    keys, values = (states[slots.places].to(wide) for states in kept)  # [rows, key-value heads, room, width]
    folded = query.to(wide).reshape(rows, keys.shape[1], -1, width) * scale  # a group's heads are queries of one head
    later = torch.arange(keys.shape[2], device=query.device) > slots.lengths[:, None]
    scores = (folded @ keys.transpose(-1, -2)).masked_fill(later[:, None, None], -torch.inf)
    lse = scores.logsumexp(-1)
    out = (scores - lse[..., None]).exp() @ values
    own = out.view(rows, heads, width), lse.view(rows, heads)
    return merge((prefix[0].to(wide), prefix[1].to(wide)), own).to(query.dtype)
