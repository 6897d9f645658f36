"""A context's keys and values put together from those of its parts, each read by itself behind the context's head.

Not exact: no document has seen those before it. Adding, dropping or reordering documents costs the concatenation alone.
The head stands before each document as it is read, so that none becomes the beginning that models attend to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from rmtbench.errors import UserError
from rmtbench.kvcache.base import PrefixKV
from rmtbench.models.architecture import check_shared_prefix
from rmtbench.models.slots import SlotCache
from rmtbench.options import flag

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Ids = Sequence[int]
ReadPart = Callable[[Ids], PrefixKV]
"""Reads head and document as a context of their own, or has them already."""

_WHERE, _REMEDY = f"{flag.cache_layout} composed or {flag.chunk_cache}", "leave the option out with this model"

PROBE_TOKENS, PROBE_SHIFT, TOLERANCE = 8, 1000, 0.02
"""How `check_composable` tries a model; the tolerance, of the keys' size, is one of half precision."""


def compose(parts: Sequence[Ids], read: ReadPart, frequencies: torch.Tensor) -> PrefixKV:
    """Put a context together.

    Args:
        parts: Token ids of the head, at least one, then of each document.
        read: Called once a document, with head and document; with the head alone where there is none.
        frequencies: The model's, from `check_composable`.

    Returns:
        Tensors of their own, `token_ids` those of the parts in a row. Head and first document are as they were read;
        the keys of every other document are turned by its distance from the head.
    """
    head, *documents = parts
    ids = tuple(token for part in parts for token in part)
    keys: list[torch.Tensor] = []
    values: list[torch.Tensor] = []
    place = len(head)
    for number, document in enumerate(documents or [()]):
        one = read([*head, *document])
        if not keys:
            keys = [layer.new_empty((layer.shape[0], len(ids), layer.shape[2])) for layer in one.keys]
            values = [layer.new_empty((layer.shape[0], len(ids), layer.shape[2])) for layer in one.values]
        first = len(head) if number else 0  # the head stands once, and comes with the first document
        target = slice(place - len(head) + first, place + len(document))
        for layer, (key, value) in enumerate(zip(one.keys, one.values, strict=True)):
            turn(key[:, first:], place - len(head), frequencies, out=keys[layer][:, target])
            values[layer][:, target] = value[:, first:]
        place += len(document)
    return PrefixKV(tuple(keys), tuple(values), ids)


def turn(keys: torch.Tensor, shift: int, frequencies: torch.Tensor, *, out: torch.Tensor) -> None:
    """Move keys to other positions: one rotation for all, since rotary positions add up.

    Args:
        keys: ``[key-value heads, tokens, width]``, positions rotated in.
        shift: How many positions they are moved.
        frequencies: Radians a position, ``[turned width / 2]``; what is wider is not turned.
        out: Gets them; shaped as `keys`.

    Source: RoFormer (Su et al., 2021, arXiv 2104.09864), with the halves of a head as pairs, as in transformers.
    """
    if shift == 0:
        out.copy_(keys)
        return
    half = len(frequencies)
    angle = frequencies.cpu().double() * shift  # single precision would lose the place beyond some 10k positions
    cos, sin = (part.to(keys.device, torch.float32) for part in (angle.cos(), angle.sin()))
    one, other = keys[..., :half].float(), keys[..., half : 2 * half].float()
    out[..., :half] = one * cos - other * sin
    out[..., half : 2 * half] = other * cos + one * sin
    out[..., 2 * half :] = keys[..., 2 * half :]


@torch.inference_mode()
def check_composable(model: PreTrainedModel, where: str = _WHERE, remedy: str = _REMEDY) -> torch.Tensor:
    """Refuse a model whose keys cannot be moved; it is tried, with a few tokens at two places.

    Args:
        model: A causal language model of transformers.
        where: What needs to move them, for the error.
        remedy: What to do instead.

    Returns:
        Its rotary frequencies, for `compose`.

    Raises:
        UserError: It has no rotary positions, or turns its keys in another way; or its attention is not the shared
            prefix's: see `check_shared_prefix`.
    """
    check_shared_prefix(model, where, remedy)
    name = type(model).__name__
    frequencies = getattr(getattr(model.base_model, "rotary_emb", None), "inv_freq", None)
    if not isinstance(frequencies, torch.Tensor):
        raise UserError(f"{name} has no rotary positions, so that its keys cannot be moved", where=where, remedy=remedy)
    for near, far in zip(_probe(model, 0), _probe(model, PROBE_SHIFT), strict=True):
        moved = torch.empty_like(near)
        turn(near, PROBE_SHIFT, frequencies, out=moved)
        if not torch.allclose(moved, far, rtol=0, atol=TOLERANCE * float(far.abs().max())):
            what = f"{name} has layers whose rotary positions are of another kind than the one that can be moved"
            raise UserError(what, where=where, remedy=remedy)
    return frequencies


def _probe(model: PreTrainedModel, start: int) -> list[torch.Tensor]:
    """Each layer's keys of some tokens that begin at a position: where all move alike, no hidden state changes."""
    cache = SlotCache(model.config.num_hidden_layers, rows=1, capacity=PROBE_TOKENS)
    tokens = torch.arange(10, 10 + PROBE_TOKENS, device=model.device)[None]
    positions = torch.arange(start, start + PROBE_TOKENS, device=model.device)[None]
    model.base_model(input_ids=tokens, position_ids=positions, past_key_values=cache, use_cache=True)
    return [layer.keys[0].float() for layer in cache.layers]
