"""The two ways a batch reaches the model: prompts of their own, or tails over one shared prefix.

Both append to a `SlotCache` in place. A batch of one needs no mask of ours and runs the model's fastest path. On a GPU,
several queries under a mask attend by groups, without a copy of the keys for each head.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import scaled_dot_product_attention

from rmtbench.models import grouped_attention
from rmtbench.models.architecture import attention_of
from rmtbench.models.llama_step import find_step
from rmtbench.models.native.step import attend, attention_serves
from rmtbench.models.slots import SlotCache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Ids = Sequence[int]


class OwnPrompts:
    """Every row has its own context, read in full; then its own tail. Rows end side by side and step together.

    Row i fills the slots that end at the longest row's end, so that all rows append at the same slot. Positions count
    from each row's own start.

    Args:
        model: A causal language model of transformers.
        prompts: Context and tail of each row.
        max_tokens: Most tokens of an answer.
        grouped: Whether tails attend by groups; None for where that saves memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[tuple[Ids, Ids]],
        max_tokens: int,
        *,
        grouped: bool | None = None,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._grouped = grouped_attention.saves_copies(model) if grouped is None else grouped
        lengths = [len(context) + len(tail) for context, tail in prompts]
        self._lengths, self._longest = torch.tensor(lengths, device=model.device), max(lengths)
        self._cache = SlotCache(model.config.num_hidden_layers, len(prompts), self._longest + max_tokens)
        self._steps = 0
        self._step = find_step(model) if len(prompts) == 1 else None

    @property
    def cache(self) -> SlotCache:
        """What has been read."""
        return self._cache

    def read(self) -> torch.Tensor:
        """Context, then tail, row by row: the arithmetic of a row does not depend on its neighbours."""
        window = self._cache.window
        logits = []
        for row, (context, tail) in enumerate(self._prompts):
            window.row, window.first = row, self._longest - len(context) - len(tail)
            window.next = window.first
            if context:
                forward(self._model, self._cache, context, start=0)
            logits.append(forward(self._model, self._cache, tail, start=len(context), grouped=self._grouped))
        window.row, window.first = None, 0
        return torch.cat(logits)

    def step(self, rows: Sequence[int], tokens: torch.Tensor) -> torch.Tensor:
        """One token a row; ended rows ride along unread, since leaving them out would copy the cache."""
        count = len(self._prompts)
        positions = (self._lengths + self._steps)[:, None]
        self._steps += 1
        if self._step is not None:
            logits = self._step(tokens, positions[:, 0], self._attend)
            self._cache.window.next += 1
            return logits
        if count == 1:
            return step_forward(self._model, self._cache, tokens[:, None], positions, None)
        fed = torch.zeros(count, dtype=torch.long, device=self._model.device)
        index = torch.tensor(rows, device=self._model.device)
        fed[index] = tokens
        slots = torch.arange(self._cache.window.next + 1, device=self._model.device)
        visible = slots[None, :] >= (self._longest - self._lengths)[:, None]
        return step_forward(self._model, self._cache, fed[:, None], positions, visible[:, None, None, :])[index]

    def _attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention of one row's new token over all of its tokens: see `rmtbench.models.llama_step.Attend`."""
        # [1, heads, 1, width] over [1, kv heads, tokens, width]
        keys, values = self._cache.layers[layer].update(key[:, :, None], value[:, :, None])
        if attention_serves(query, keys, values):
            return attend(query, (key, value), [(keys[0], values[0])], None, scale)
        found = scaled_dot_product_attention(query[:, :, None], keys, values, scale=scale, enable_gqa=True)
        return found[:, :, 0]


class SharedPrefix:
    """All rows continue one prefix that is already in the cache, stored once and read once a step for all rows.

    The rows' tokens lie one after the other behind the prefix; a mask keeps each row to the prefix and to itself.

    Args:
        model: A causal language model of transformers.
        cache: Holds the prefix.
        prefix_tokens: Tokens of the prefix.
        tails: Token ids of each row.
        grouped: Whether the rows attend by groups; None for where that saves memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        cache: SlotCache,
        prefix_tokens: int,
        tails: Sequence[Ids],
        *,
        grouped: bool | None = None,
    ) -> None:
        self._model, self._cache, self._prefix, self._tails = model, cache, prefix_tokens, tails
        self._grouped = grouped_attention.saves_copies(model) if grouped is None else grouped
        self._lengths = torch.tensor([len(tail) for tail in tails], device=model.device)
        self._owners = torch.empty(0, dtype=torch.long, device=model.device)
        cache.window.first, cache.window.next, cache.window.row = 0, prefix_tokens, None

    def read(self) -> torch.Tensor:
        """All tails in one forward."""
        if len(self._tails) == 1:
            return forward(self._model, self._cache, self._tails[0], start=self._prefix, grouped=self._grouped)
        device = self._model.device
        owners = [row for row, tail in enumerate(self._tails) for _ in tail]
        self._owners = torch.tensor(owners, device=device)
        offsets = torch.cat([torch.arange(len(tail), device=device) for tail in self._tails])
        earlier = torch.ones(len(offsets), len(offsets), dtype=torch.bool, device=device).tril()
        own = (self._owners[:, None] == self._owners[None, :]) & earlier
        ids = torch.tensor([[token for tail in self._tails for token in tail]], device=device)
        return step_forward(
            self._model,
            self._cache,
            ids,
            (self._prefix + offsets)[None],
            self._mask(own),
            keep=self._lengths.cumsum(0) - 1,
            grouped=self._grouped,
        )

    def step(self, rows: Sequence[int], tokens: torch.Tensor) -> torch.Tensor:
        """One token for each live row."""
        index = torch.tensor(rows, device=self._model.device)
        positions = (self._prefix + self._lengths[index])[None]
        self._lengths[index] += 1
        if len(self._tails) == 1:
            return step_forward(self._model, self._cache, tokens[None], positions, None)
        self._owners = torch.cat([self._owners, index])
        own = index[:, None] == self._owners[None, :]
        return step_forward(
            self._model,
            self._cache,
            tokens[None],
            positions,
            self._mask(own),
            keep=torch.arange(len(rows), device=self._model.device),
            grouped=self._grouped,
        )

    def _mask(self, own: torch.Tensor) -> torch.Tensor:
        """``[1, 1, queries, prefix + own slots]``: the prefix is visible to all."""
        return torch.nn.functional.pad(own, (self._prefix, 0), value=True)[None, None]


def forward(model: PreTrainedModel, cache: SlotCache, ids: Ids, start: int, *, grouped: bool = False) -> torch.Tensor:
    """Append one run of tokens to the cache's window.

    Args:
        model: A causal language model of transformers.
        cache: Its cache; `window` says where to write, and is moved on.
        ids: Token ids, at least one.
        start: Position of the first; as many slots of the window are visible to it.
        grouped: Whether tokens that follow others attend by groups.

    Returns:
        Logits after the last token, ``[1, vocabulary]``.
    """
    tokens = torch.tensor([list(ids)], device=model.device)
    count, visible = tokens.shape[1], None
    positions = torch.arange(start, start + count, device=model.device)[None]
    if grouped and start and count > 1:  # only then would transformers make a mask, and copy keys because of it
        visible = torch.ones(count, start + count, dtype=torch.bool, device=model.device).tril(start)[None, None]
    return step_forward(model, cache, tokens, positions, visible, grouped=grouped)


@torch.inference_mode()
def step_forward(
    model: PreTrainedModel,
    cache: SlotCache,
    tokens: torch.Tensor,
    positions: torch.Tensor,
    visible: torch.Tensor | None,
    *,
    keep: torch.Tensor | int = 1,
    grouped: bool = False,
) -> torch.Tensor:
    """One call of the model.

    Args:
        model: A causal language model of transformers.
        cache: Its cache; the window is moved on by ``tokens.shape[1]``.
        tokens: ``[rows, length]``.
        positions: Their positions, same shape.
        visible: Which slots each query sees, ``[rows or 1, 1, length, slots]``; None for plain causal order.
        keep: Logits of which positions: the last so many, or a vector of indexes.
        grouped: Whether to attend by groups where `visible` is given: see `grouped_attention`.

    Returns:
        Logits, ``[rows, vocabulary]`` for one kept position a row, ``[kept, vocabulary]`` for one row.
    """
    by_groups = grouped and visible is not None
    if visible is not None and not by_groups and model.config._attn_implementation == "eager":  # noqa: SLF001 - the only place that tells
        # It adds the mask to the scores; the fused operator takes truth values.
        dtype = model.dtype
        visible = torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
            ~visible, torch.finfo(dtype).min
        )
    with attention_of(model, grouped_attention.NAME) if by_groups else nullcontext():
        logits: torch.Tensor = model(
            input_ids=tokens,
            position_ids=positions,
            attention_mask=visible,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        ).logits
    cache.window.next += tokens.shape[1]
    return logits[:, -1] if isinstance(keep, int) else logits[0]
