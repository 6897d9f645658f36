"""Read a context chunk by chunk into buffers of known size: memory is bounded by one chunk, whatever the length.

No logits are computed. Where a chunk begins and ends depends on its number alone, so that a reading that was
interrupted, or begins with what another one has left, gives the same bytes as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.chunk_attention import chunk_attention
from rmtbench.kvcache.exact.offloaded import HostSlotCache
from rmtbench.kvcache.watching import NOBODY, ReadProgress, Watch
from rmtbench.measure import synchroniser
from rmtbench.models.architecture import plain_causal
from rmtbench.models.slots import SlotCache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHUNK_TOKENS = 1024
"""On one core 1,024 was as fast a token as 2,048 and 4,096, and it is the grain of what can be reused."""

KeepChunk = Callable[[int, PrefixKV], None]
"""Gets a chunk's first position, and its keys and values as views that are read at once."""


@torch.inference_mode()
def prefill(
    model: PreTrainedModel,
    ids: Sequence[int],
    *,
    chunk_tokens: int = CHUNK_TOKENS,
    known: PrefixKV | None = None,
    keep: KeepChunk | None = None,
    watch: Watch = NOBODY,
    host: bool = False,
) -> PrefixKV:
    """Read a context.

    Args:
        model: A causal language model of transformers.
        ids: The context, at least one token.
        chunk_tokens: Tokens of a chunk.
        known: The context's first tokens as they were read before, a whole number of chunks or all; they are copied.
        keep: Called after each chunk that was read now.
        watch: Told of every chunk, where there are several.
        host: Keep the layers in the host's memory from the first chunk on, so that a context fits that exceeds the
            device's memory. The bytes are the same.

    Returns:
        Keys and values of all tokens, on the model's device or the host.

    Raises:
        ValueError: There is nothing to read, or `known` is not such a beginning.
    """
    done = known.tokens if known is not None else 0
    if not ids or (done % chunk_tokens and done != len(ids)) or (known and tuple(ids[:done]) != known.token_ids):
        raise ValueError(f"{done} tokens are no beginning of {len(ids)} in chunks of {chunk_tokens}")
    layers = model.config.num_hidden_layers
    cache: SlotCache | HostSlotCache = (
        HostSlotCache(layers, len(ids), model.device) if host else SlotCache(layers, rows=1, capacity=len(ids))
    )
    if known is not None:
        fill(cache, known, model.device)
    begun, first, wait = time.perf_counter(), done, synchroniser(str(model.device))
    unread = {"final_layer": len(cache.layers) - 1} if plain_causal(model) else {}
    with chunk_attention(model):
        while done < len(ids):
            end = min(done + chunk_tokens, len(ids))
            tokens = torch.tensor([ids[done:end]], device=model.device)
            positions = torch.arange(done, end, device=model.device)[None]
            cache.window.next = done
            model.base_model(input_ids=tokens, position_ids=positions, past_key_values=cache, use_cache=True, **unread)
            wait()  # else whoever keeps the chunk would be charged with computing it
            if keep is not None:
                keep(done, _span(cache, ids, done, end))
            done = end
            if len(ids) > chunk_tokens:
                watch.reading(ReadProgress(done, len(ids), (done - first) / max(time.perf_counter() - begun, 1e-9)))
    return _span(cache, ids, 0, len(ids))


def fill(cache: SlotCache | HostSlotCache, known: PrefixKV, device: torch.device) -> None:
    """Copy a context to the beginning of an empty cache of one row, on the device."""
    for layer, keys, values in zip(cache.layers, known.keys, known.values, strict=False):  # the last may have none
        layer.lazy_initialization(keys[None, :, :0].to(device), values[None, :, :0].to(device))
        layer.keys[0, :, : known.tokens] = keys
        layer.values[0, :, : known.tokens] = values


def _span(cache: SlotCache | HostSlotCache, ids: Sequence[int], start: int, end: int) -> PrefixKV:
    """Views of the tokens; Gemma 3n's last layers have none of their own, but read those of earlier ones."""
    layers = [layer for layer in cache.layers if layer.is_initialized]
    keys, values = (tuple(getattr(layer, side)[0, :, start:end] for layer in layers) for side in ("keys", "values"))
    return PrefixKV(keys, values, tuple(ids[start:end]))
