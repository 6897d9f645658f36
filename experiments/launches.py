"""Operators that a decode step starts, before and after it became static: counted on tensors without numbers.

    python -m experiments.launches

Needs no GPU and no memory. An operator counts if it computes or copies; views and bare allocations do not. Most start
one kernel; matrix products and attention may start more.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact import attention, suffixes
from rmtbench.kvcache.exact.attention import Partial, attend_by_matmul
from rmtbench.kvcache.exact.shared_places import SharedPlaces
from rmtbench.kvcache.exact.static_step import StaticStep, hold
from rmtbench.kvcache.exact.suffix_attention import Pair, Slots, attend_to_suffixes
from rmtbench.kvcache.exact.suffixes import Suffixes
from rmtbench.models.decode import likeliest
from rmtbench.models.local import LocalModel
from rmtbench.models.random_geometry import PREFIX, build_random

TOKENS, QUESTION_TOKENS, ANSWER_TOKENS = 21_000, 24, 64
BARE = {
    "detach_",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "_unsafe_view",
    "promote_types",
}
"""Operators of torch that start nothing on the device, besides views."""


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that compute or copy, while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = Counter[str]()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        with self:  # an operator that torch puts together from others is counted by these
            whole = func.decompose(*args, **(kwargs or {}))
        if whole is not NotImplemented:
            return whole
        name, returned = func.overloadpacket.__name__, func._schema.returns  # noqa: SLF001 - says what is a view
        view = any(each.alias_info is not None and not each.alias_info.is_write for each in returned)
        if not view and name not in BARE:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Row:
    """What one way of a step starts."""

    way: str
    batch: int
    operators: int
    host_starts: int
    kinds: Mapping[str, int] = field(repr=False)


def measure(geometry: str, batches: Sequence[int]) -> Iterator[Row]:
    """Count a step's operators in each way.

    Args:
        geometry: Of a random model: see `rmtbench.models.random_geometry`.
        batches: Rows of a step.

    Yields:
        A row for the forward that is laid out on the host, for the static step with torch's and with Triton's
        attention to suffixes, and for its replay.
    """
    net = build_random(f"{PREFIX}{geometry}", 0, torch.bfloat16, "meta")
    model = LocalModel(net, cast("Any", None), frozenset(), None, ANSWER_TOKENS, {})
    config = net.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    shape = (config.num_key_value_heads, TOKENS, width)
    layers = tuple(torch.empty(shape, dtype=torch.bfloat16, device="meta") for _ in range(config.num_hidden_layers))
    prefix = PrefixKV(layers, layers, tuple(range(TOKENS)))
    for batch in batches:
        found = _count(_by_forward(model, prefix, batch))
        yield Row("forward", batch, found.total(), found.total(), found)
        for name, attend in (("static, torch", attend_to_suffixes), ("static, Triton", _one_kernel)):
            step = StaticStep(hold(net, prefix, _suffixes(prefix, batch), attend), batch)
            found = _count(step)
            yield Row(name, batch, found.total(), found.total(), found)
        yield Row("CUDA graph", batch, found.total(), 1, found)


def _suffixes(prefix: PrefixKV, batch: int) -> Suffixes:
    return Suffixes(prefix, batch, QUESTION_TOKENS + ANSWER_TOKENS)


def _by_forward(model: LocalModel, prefix: PrefixKV, batch: int) -> Callable[[], object]:
    """A step of rows that entered with questions of several lengths, as they do."""
    kept = _suffixes(prefix, batch)
    kept.lengths = [QUESTION_TOKENS - row % 4 for row in range(batch)]
    places = SharedPlaces(model, prefix, kept)
    return lambda: likeliest(places.advance(range(batch), [1] * batch, []))


def _one_kernel(
    query: torch.Tensor, new: Pair, _kept: Pair, _slots: Slots, prefix: Partial, _scale: float
) -> torch.Tensor:
    """Stand for the Triton kernel, which cannot be started without numbers: what goes before it, and one operator."""
    for each in (query, *new):
        each.contiguous()
    if prefix[0].stride(-1) != 1:
        prefix[0].contiguous()
    return torch.empty_like(query).fill_(0)


def _count(step: Callable[[], object]) -> Counter[str]:
    count = Count()
    with torch.inference_mode(), as_on_a_gpu(), count:
        step()
    return count.found


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Attend by the operators that a GPU has: flash attention where nothing is hidden, else matrix products."""

    def attend(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        *,
        causal: bool = False,
        bias: torch.Tensor | None = None,
    ) -> Partial:
        if bias is not None:
            return attend_by_matmul(query, key, value, scale, causal=causal, bias=bias)
        flash = torch.ops.aten._scaled_dot_product_flash_attention  # noqa: SLF001 - as `attention` calls it
        found = flash(query, key, value, 0.0, causal, False, scale=scale)
        return found[0], found[1]

    with patch.object(attention, "attend", attend), patch.object(suffixes, "attend", attend):
        yield


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--geometry", default="llama-3.1-8b", help="random:GEOMETRY (default: llama-3.1-8b)")
    parser.add_argument("--batches", default="1,8", help="rows of a step (default: 1,8)")
    parser.add_argument("--kinds", action="store_true", help="say how often each operator is started")
    given = parser.parse_args(words)
    lines = ["| decode step | batch | operators on the device | started by the host |", "|---|---|---|---|"]
    for row in measure(given.geometry, [int(each) for each in given.batches.split(",")]):
        lines.append(f"| {row.way} | {row.batch} | {row.operators:,} | {row.host_starts:,} |")
        if given.kinds:
            sys.stdout.write(f"{row.way}, batch {row.batch}: {dict(Counter(row.kinds).most_common())}\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
