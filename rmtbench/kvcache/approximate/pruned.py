"""A cache of fewer keys: each key-value head keeps the tokens that a method scores highest. Not exact.

The context is pruned before any question is known. Every head keeps the same number of tokens, at their positions.
Sources: StreamingLLM (arXiv 2309.17453), SnapKV (2404.14469), Expected Attention (2510.00636), KVzip (2505.23416).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from rmtbench.errors import UserError
from rmtbench.kvcache.approximate.compose import check_composable
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.attention import attend, attend_to_prefix, merge
from rmtbench.models.architecture import attention_of, register_attention
from rmtbench.options import flag

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rmtbench.models.local import LocalModel

NAME = "rmtbench_scoring"

SINKS = 4
"""First tokens, which every method keeps: attention that has nowhere to go ends in them (StreamingLLM)."""

WINDOW, KERNEL = 64, 5
"""SnapKV's: last tokens whose attention is counted, and neighbours over which it is averaged."""

FUTURE = 512
"""Expected Attention's: positions behind the context over which a question's rotation is averaged."""

CHUNK_TOKENS = 1024
"""Tokens that a scoring pass reads at once."""

LEAST_REPEATED = 32
"""Fewest tokens that KVzip repeats at once: with fewer, its passes over the context would be too many."""

REPEAT = "Repeat the documents above, word for word."
"""What KVzip's pass asks for; the answer is the context itself."""

Observe = Callable[[int, torch.Tensor, torch.Tensor, float], None]
"""Gets a layer's number, queries ``[heads, tokens, width]``, new keys ``[kv heads, tokens, width]``, and the scale."""


@dataclass(frozen=True)
class PrunedKV(PrefixKV):
    """`PrefixKV` whose layers hold fewer tokens than `token_ids`: ``[key-value heads, kept, head width]``."""

    def cut(self, start: int, end: int) -> PrefixKV:
        """Refuse: a head's tokens are not those of another."""
        raise TypeError(f"tokens {start} to {end} cannot be cut from a pruned cache")


@dataclass(frozen=True)
class _Pass:
    """One forward over a context's first tokens: what it sees of it, and who looks on."""

    context: PrefixKV
    seen: int
    observe: Observe


@torch.inference_mode()
def prune(model: LocalModel, context: PrefixKV, keep: float, method: str) -> PrunedKV:
    """Keep a share of every head's tokens.

    Args:
        model: The model that read the context.
        context: Its exact keys and values, which are left as they are.
        keep: Share of the tokens, above 0 and at most 1.
        method: One of `METHODS`.

    Raises:
        UserError: The method needs what the model does not have.
    """
    kept = min(context.tokens, max(SINKS + 1, round(keep * context.tokens)))
    keys, values = [], []
    for layer, scores in enumerate(METHODS[method](model, context, kept)):
        scores[:, :SINKS] = torch.inf
        places = scores.topk(kept, dim=1).indices.sort(1).values  # [kv heads, kept], in the order of the text
        keys.append(_taken(context.keys[layer], places))
        values.append(_taken(context.values[layer], places))
    return PrunedKV(tuple(keys), tuple(values), context.token_ids)


def _taken(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """``[kv heads, kept, width]`` of ``[kv heads, tokens, width]``."""
    return states.gather(1, places[..., None].expand(-1, -1, states.shape[2]))


def _streaming(_model: LocalModel, context: PrefixKV, kept: int) -> list[torch.Tensor]:
    """The last tokens, behind the first ones: what a sliding window has."""
    last = torch.arange(context.tokens, device=context.keys[0].device) >= context.tokens - (kept - SINKS)
    return [last.float().expand(key.shape[0], -1).clone() for key in context.keys]


def _snapkv(model: LocalModel, context: PrefixKV, _kept: int) -> list[torch.Tensor]:
    """What the last tokens attend to, averaged over them and smoothed over neighbours; they themselves are kept."""
    tokens = context.tokens
    start = max(SINKS, tokens - WINDOW)
    scores: dict[int, torch.Tensor] = {}

    def observe(layer: int, query: torch.Tensor, key: torch.Tensor, scale: float) -> None:
        kv_heads, earlier = key.shape[0], context.keys[layer][:, :start]
        shares = _shares(query, torch.cat([earlier, key], 1), scale, own=key.shape[1])[..., :start]
        mean = shares.flatten(1, 2).mean(1)  # [kv heads, start]
        smooth = torch.nn.functional.avg_pool1d(mean[:, None], KERNEL, 1, KERNEL // 2)[:, 0]
        # Above every share; of too few that are kept, the last ones.
        window = torch.arange(2, 2 + tokens - start, device=smooth.device, dtype=smooth.dtype)
        scores[layer] = torch.cat([smooth, window.expand(kv_heads, -1)], 1)

    _look(model.model, _Pass(context, start, observe), context.token_ids[start:], start)
    return [scores[layer] for layer in range(len(context.keys))]


def _expected_attention(model: LocalModel, context: PrefixKV, _kept: int) -> list[torch.Tensor]:
    """What queries like the context's own would attend to on average, from behind it, times the length of the value.

    With queries of mean m and covariance C before rotation, and R the mean rotation of the positions behind the
    context: ``E[exp(q k / sqrt d)] = exp(k R m / sqrt d + k R C R' k / 2d)``.
    """
    where, remedy = f"{flag.prune}=expected-attention", "choose another of " + ", ".join(METHODS)
    if 2 * len(check_composable(model.model, where, remedy)) != context.keys[0].shape[-1]:
        what = f"{type(model.model).__name__} does not rotate whole keys by position, which this method needs"
        raise UserError(what, where=where, remedy=remedy)
    rotary: Any = model.model.base_model.rotary_emb
    device, tokens = context.keys[0].device, context.tokens
    sums: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    scales: dict[int, float] = {}
    for start in range(0, tokens, CHUNK_TOKENS):
        ids = context.token_ids[start : start + CHUNK_TOKENS]
        cos, sin = _rotation(rotary, torch.arange(start, start + len(ids), device=device))

        def observe(layer: int, query: torch.Tensor, _key: torch.Tensor, scale: float) -> None:
            plain = _turned(query.float(), cos, -sin)[:, max(0, SINKS - start) :]  # noqa: B023 - called at once
            total, squares = plain.sum(1), plain.transpose(1, 2) @ plain  # [heads, width], [heads, width, width]
            before = sums.get(layer)
            sums[layer] = (total, squares) if before is None else (before[0] + total, before[1] + squares)
            scales[layer] = scale

        _look(model.model, _Pass(context, start, observe), ids, start)
    cos, sin = (
        each.mean(0, keepdim=True) for each in _rotation(rotary, torch.arange(tokens, tokens + FUTURE, device=device))
    )
    scores = []
    for layer, (key, value) in enumerate(zip(context.keys, context.values, strict=True)):
        mean = sums[layer][0] / (tokens - SINKS)
        covariance = sums[layer][1] / (tokens - SINKS) - mean[:, :, None] * mean[:, None, :]
        mean = _turned(mean[:, None], cos, sin)  # [heads, 1, width]
        covariance = _turned(_turned(covariance, cos, sin).transpose(1, 2), cos, sin)
        by_group = (key.shape[0], -1)
        wide = key.float()[:, None]  # [kv heads, 1, tokens, width]
        mean, covariance = (torch.unflatten(each, 0, by_group) for each in (mean, covariance))
        exponent = (wide @ mean.transpose(-1, -2))[..., 0] * scales[layer]  # [kv heads, group, tokens]
        exponent += ((wide @ covariance) * wide).sum(-1) * scales[layer] ** 2 / 2
        exponent[..., :SINKS] = -torch.inf
        scores.append(exponent.softmax(-1).mean(1) * value.float().norm(dim=-1))
    return scores


def _kvzip(model: LocalModel, context: PrefixKV, _kept: int) -> list[torch.Tensor]:
    """The most that any token attends to while the model repeats the context, part by part."""
    tokens, device = context.tokens, context.keys[0].device
    scores = [key.new_zeros(key.shape[:2], dtype=torch.float32) for key in context.keys]
    asked = list(model.question_ids(REPEAT))
    most = _repeated_at_once(model, tokens, len(asked))
    for start in range(0, tokens, most):
        part = context.token_ids[start : start + most]
        places = torch.arange(start, start + len(part), device=device)

        def observe(layer: int, query: torch.Tensor, key: torch.Tensor, scale: float) -> None:
            told = context.keys[layer]
            sinks = min(SINKS, start)  # noqa: B023 - called at once; the first part holds them itself
            keys = torch.cat([told[:, :sinks], told[:, places], key], 1)  # noqa: B023
            shares = _shares(query, keys, scale, own=key.shape[1])[..., sinks : sinks + len(places)]  # noqa: B023
            scores[layer][:, places] = shares.flatten(1, 2).amax(1)  # noqa: B023

        _look(model.model, _Pass(context, tokens, observe), [*asked, *part], tokens)
    return scores


def _repeated_at_once(model: LocalModel, tokens: int, asked: int) -> int:
    """How many tokens of a context KVzip repeats at once: they stand behind it, within the model's positions."""
    if model.context_limit is None:
        return CHUNK_TOKENS
    room = model.context_limit - tokens - asked
    if room < min(tokens, LEAST_REPEATED):
        raise UserError(
            f"a context of {tokens} tokens leaves {max(0, room)} of the model's {model.context_limit} positions to "
            "repeat it in, which this method needs",
            where=f"{flag.prune}=kvzip",
            remedy=f"choose another of {', '.join(METHODS)}, or a smaller {flag.size}",
        )
    return min(CHUNK_TOKENS, room)


METHODS: Mapping[str, Callable[[LocalModel, PrefixKV, int], list[torch.Tensor]]] = {
    "kvzip": _kvzip,
    "expected-attention": _expected_attention,
    "snapkv": _snapkv,
    "streaming": _streaming,
}
"""Each gives scores ``[key-value heads, tokens]`` of every layer, from the tokens it must keep."""


def _shares(query: torch.Tensor, keys: torch.Tensor, scale: float, *, own: int) -> torch.Tensor:
    """Attention's weights in float32, ``[kv heads, group, queries, keys]``; the last `own` keys are in causal order.

    Args:
        query: ``[heads, own, width]``.
        keys: ``[kv heads, keys, width]``.
        scale: Factor of the scores.
        own: Queries, and keys of their own tokens.
    """
    folded = torch.unflatten(query.float(), 0, (keys.shape[0], -1))
    scores = folded @ keys.float()[:, None].transpose(-1, -2) * scale
    later = torch.ones(own, own, dtype=torch.bool, device=query.device).triu(1)
    scores[..., -own:].masked_fill_(later, -torch.inf)
    shares: torch.Tensor = scores.softmax(-1)
    return shares


def _rotation(rotary: torch.nn.Module, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of positions, ``[positions, width]``, without the factor that some models scale them by."""
    cos, sin = rotary(torch.zeros(1, device=positions.device), positions[None])
    scaling = getattr(rotary, "attention_scaling", 1.0)  # yarn: queries and keys keep theirs
    return cos[0] / scaling, sin[0] / scaling


def _turned(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate ``[..., positions, width]``, halves as pairs (Su et al., 2021)."""
    one, other = states.chunk(2, -1)
    return states * cos + torch.cat([-other, one], -1) * sin


def _look(model: PreTrainedModel, reading: _Pass, ids: Sequence[int], position: int) -> None:
    """Read tokens behind the first `reading.seen` ones of a context, for what is seen on the way."""
    device = reading.context.keys[0].device
    positions = torch.arange(position, position + len(ids), device=device)[None]
    with attention_of(model, NAME):
        model.base_model(
            input_ids=torch.tensor([list(ids)], device=device),
            position_ids=positions,
            use_cache=False,
            scoring=reading,
        )


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    scoring: _Pass,
    **_rest: object,
) -> torch.Tensor:
    """Exact attention over the context's first tokens and the new ones, ``[1, tokens, heads, width]``."""
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    scoring.observe(layer, query[0], key[0], scale)
    own_out, own_lse = attend(query, key, value, scale, causal=True)
    own = own_out[0].transpose(0, 1), own_lse[0].transpose(0, 1)  # [tokens, heads, width], [tokens, heads]
    if scoring.seen == 0:
        return own[0][None]
    keys, values = (states[layer][:, : scoring.seen] for states in (scoring.context.keys, scoring.context.values))
    return merge(attend_to_prefix(query[0], keys, values, scale), own)[None]


register_attention(NAME, _attention)
