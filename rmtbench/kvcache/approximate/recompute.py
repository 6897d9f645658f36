"""Read the first tokens of a composed context's documents again, over everything before them, in place.

Source: EPIC (Hu et al., 2024, arXiv 2410.15332), where a document's beginning was what its own reading got most wrong.
CacheBlend's choice, by deviation in the second layer, was no better with the mini model and takes a pass of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING

import torch

from rmtbench.kvcache.exact.attention import attend
from rmtbench.models.architecture import attention_of, register_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rmtbench.kvcache.base import PrefixKV

NAME = "rmtbench_recompute"

CHUNK_TOKENS = 512
"""Tokens read at once: their mask is of so many rows, and the context's length wide."""


@dataclass(frozen=True)
class _Work:
    """One forward: which tokens, ascending, over which context, and where the last of them ends."""

    context: PrefixKV
    positions: torch.Tensor
    end: int


@torch.inference_mode()
def recompute(model: PreTrainedModel, context: PrefixKV, lengths: Sequence[int], share: float) -> int:
    """Read a share of a composed context's tokens again, in place.

    Args:
        model: The model that read its parts.
        context: Keys and values, which are written to.
        lengths: Tokens of the head and of each document.
        share: Of each document's tokens but the first one's, which is exact: above 0 and at most 1, which makes the
            whole context exact.

    Returns:
        How many tokens were read again.
    """
    chosen = beginnings(lengths, share)
    for start in range(0, len(chosen), CHUNK_TOKENS):
        some = chosen[start : start + CHUNK_TOKENS]
        work = _Work(context, torch.tensor(some, device=context.keys[0].device), some[-1] + 1)
        _forward(model, work, [context.token_ids[position] for position in some])
    return len(chosen)


def beginnings(lengths: Sequence[int], share: float) -> list[int]:
    """Positions of the first tokens of every document but the first one, ascending: see `recompute`."""
    ends = [*accumulate(lengths)]
    return [
        place
        for start, length in zip(ends[1:-1], lengths[2:], strict=True)
        for place in range(start, start + ceil(share * length))
    ]


def _forward(model: PreTrainedModel, work: _Work, ids: Sequence[int]) -> None:
    tokens = torch.tensor([list(ids)], device=work.positions.device)
    with attention_of(model, NAME):
        model.base_model(input_ids=tokens, position_ids=work.positions[None], use_cache=False, work=work)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    work: _Work,
    **_rest: object,
) -> torch.Tensor:
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    keys, values = work.context.keys[layer], work.context.values[layer]
    keys[:, work.positions], values[:, work.positions] = key[0], value[0]
    end = work.end
    hidden = torch.arange(end, device=keys.device) > work.positions[:, None]
    bias = torch.zeros(hidden.shape, dtype=query.dtype, device=keys.device).masked_fill_(hidden, -torch.inf)
    # Not torch's own attention: with a mask and grouped heads a GPU would hold the scores of all keys at once.
    out, _ = attend(query, keys[None, :, :end], values[None, :, :end], scale, bias=bias[None, None])
    return out.transpose(1, 2).contiguous()


register_attention(NAME, _attention)
