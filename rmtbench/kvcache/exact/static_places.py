"""Rows' places over one prefix whose steps are static: the device chooses each token, and the host learns it later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import torch

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.captured_step import Step, capture
from rmtbench.kvcache.exact.static_step import StaticStep, find_attention, hold, rows_of_steps, write
from rmtbench.kvcache.exact.suffixes import Suffixes
from rmtbench.models.decode import Forward, Ids, likeliest, tokens_of

if TYPE_CHECKING:
    from rmtbench.models.local import LocalModel

How = Literal["forward", "static", "graphs"]
"""How a decode step is computed: by a forward laid out on the host each time, in fixed buffers, or as a CUDA graph."""

STATIC = "static step"
GRAPHS = "captured step"
"""Names of these ways in the trial of a model: see `rmtbench.kvcache.exact.trial`."""


def is_plain(prefix: PrefixKV) -> bool:
    """Return whether a prefix's layers are tensors that stay where they are, and are not brought for each use."""
    return all(isinstance(side, tuple | list) for side in (prefix.keys, prefix.values))


def choose_step(model: LocalModel, *, plain: bool, no_graphs: str) -> tuple[How, str]:
    """How decode steps over a shared prefix are computed.

    Args:
        model: The model.
        plain: Whether the prefix stays on the device, in the model's own numbers.
        no_graphs: Why no CUDA graphs are wanted; empty where they are.

    Returns:
        The way, and why it is none of the faster ones; empty for ``graphs``.
    """
    modules = model.model.modules()
    reasons = {
        "the model is not on a CUDA device": not model.device.startswith("cuda"),
        "the cache is not on the device in the model's own numbers": not plain,
        "something takes part in the forward of the model's layers": any(
            each._forward_hooks or each._forward_pre_hooks  # noqa: SLF001 - the only place that tells
            for each in modules
        ),
    }
    why = next((reason for reason, holds in reasons.items() if holds), "") or _inexact(model, STATIC)
    if why:
        return "forward", why
    why = no_graphs or _inexact(model, GRAPHS)
    return ("static", why) if why else ("graphs", "")


def _inexact(model: LocalModel, way: str) -> str:
    found = model.inexact.get(way, "")
    return f"the {way} is not exact here ({found})" if found else ""


Tokens = Callable[[], Sequence[int | None]]
"""Waits until a forward has ended, and returns its rows' next tokens; None where the logits are not finite."""

Enter = Callable[[Sequence[int], torch.Tensor, Sequence[tuple[int, Ids]]], torch.Tensor]
"""As `SharedPlaces.advance`, for tokens that are on the device."""


class StaticPlaces:
    """The rows' places, which keep the last tokens on the device: a forward begins before the host knows them.

    Args:
        model: The model.
        prefix: What all rows continue.
        suffixes: The rows' own keys and values.
        enter: Forwards in which rows begin, over the same buffers.
        graphs: Whether steps are recorded now and replayed, which needs a CUDA device.
    """

    behind = True

    @torch.inference_mode()
    def __init__(
        self, model: LocalModel, prefix: PrefixKV, suffixes: Suffixes, enter: Enter, *, graphs: bool = False
    ) -> None:
        attend, _ = find_attention(model.model.device)
        self._held = hold(model.model, prefix, suffixes, attend)
        self._enter, self._suffixes = enter, suffixes
        static = [StaticStep(self._held, rows) for rows in rows_of_steps(len(suffixes.lengths))]
        pool = torch.cuda.graph_pool_handle() if graphs else None
        # The largest first: the memory that it takes from the pool is enough for all others.
        run: list[Step] = [capture(step, pool) if graphs else step for step in reversed(static)]
        self._steps = list(zip(static, reversed(run), strict=True))

    @torch.inference_mode()
    def start(self, forward: Forward) -> Tokens:
        """Begin a forward, and return what waits for the tokens that its rows get."""
        return _fetch(self._forward(forward.stepping, forward.entering)[1])

    @torch.inference_mode()
    def advance(self, stepping: Sequence[int], tokens: Ids, entering: Sequence[tuple[int, Ids]]) -> torch.Tensor:
        """One forward with these tokens in place of those that were chosen; as `SharedPlaces.advance`."""
        self._held.tokens[self._index(stepping)] = torch.tensor(tokens, dtype=torch.long).to(self._held.tokens.device)
        return self._forward(stepping, entering)[0].clone()

    @torch.inference_mode()
    def clear(self, place: int) -> None:
        """Forget what a failed row left in its place."""
        self._suffixes.clear(place)

    def _forward(
        self, stepping: Sequence[int], entering: Sequence[tuple[int, Ids]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the rows in order, and the tokens that were chosen, which the device keeps for the next step."""
        if entering:
            return self._enter_with(stepping, entering)
        step, run = next(each for each in self._steps if each[0].rows >= len(stepping))
        step.fill(stepping)
        for place in stepping:
            self._suffixes.lengths[place] += 1
        logits, found = run()
        return logits[: len(stepping)], found[: len(stepping)]

    def _enter_with(
        self, stepping: Sequence[int], entering: Sequence[tuple[int, Ids]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows that begin are read together with those that go on, by the model's forward, between two replays."""
        held = self._held
        logits = self._enter(stepping, held.tokens[self._index(stepping)], entering)
        found = likeliest(logits)
        held.tokens[self._index([*stepping, *(place for place, _ in entering)])] = found[:, 0].long()
        write(held.lengths, self._suffixes.lengths)
        return logits, found

    def _index(self, places: Sequence[int]) -> torch.Tensor:
        index = torch.empty(len(places), dtype=torch.long, device=self._held.tokens.device)
        write(index, places)
        return index


def _fetch(found: torch.Tensor) -> Tokens:
    """Send what `likeliest` found to the host, behind the work so far, and return what waits for it."""
    if not found.is_cuda:
        return lambda: tokens_of(found.tolist())
    there = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
    there.copy_(found, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record(torch.cuda.current_stream(found.device))

    def wait() -> list[int | None]:
        arrived.synchronize()
        return tokens_of(there.tolist())

    return wait
