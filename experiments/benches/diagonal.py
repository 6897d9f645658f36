"""Reading with per-layer memory, segments one after the other and diagonally: seconds side by side, and differences.

Weights are random, so that only time and numbers mean something. Both ways read the same text in turns.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from experiments.benches.options import DiagonalBench
from rmtbench.measure import synchroniser
from rmtbench.models.load import choose_device, choose_dtype, load_model
from rmtbench.models.local import LocalModel
from rmtbench.rmt.associative import blocks_of
from rmtbench.rmt.base import BaseIdentity, Ids
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.diagonal import read_diagonally
from rmtbench.rmt.segments import cut
from rmtbench.rmt.streaming import read_streams
from rmtbench.runs.provenance import surroundings


def run(asked: DiagonalBench, *, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Load a model and `measure` it.

    Raises:
        UserError: There is no such model, device or precision, or its layers cannot be run apart.
    """
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    device = choose_device(asked.device)
    return measure(load_model(asked.model, dtype=choose_dtype(asked.dtype, device), device=device), asked, report)


def measure(local: LocalModel, asked: DiagonalBench, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Read random tokens in both ways.

    Args:
        local: Reads; it keeps hooks that do nothing when it is used otherwise.
        asked: Segments, numbers of them, and rounds.
        report: Told each row.

    Returns:
        `rows`: `segment_tokens`, `segments`, `tokens` of a text, median `sequential_seconds` and `diagonal_seconds`,
        `times_faster` (median over rounds of sequential by diagonal, each pair read directly one after the other) with
        `slowest` and `fastest` round, `largest_difference` of the memories and the `largest_number` in them. Also what
        measured.

    Raises:
        UserError: The model's layers cannot be run apart.
    """
    rows = []
    for size in asked.segment_tokens:
        model = with_memory(local.model, BaseIdentity.of(local.provenance), size, asked.memory_tokens)
        for segments in asked.segments:
            row = {"segment_tokens": size, "segments": segments, "tokens": size * segments}
            row |= _compare(model, _text(local.model.config.vocab_size, size * segments), asked.rounds)
            report(f"{segments} segments of {size}: {row['times_faster']:.2f} times")
            rows.append(row)
    return {
        "rows": rows,
        "layers": len(blocks_of(local.model)),
        "memory_tokens": asked.memory_tokens,
        "rounds": asked.rounds,
        "model": dict(local.provenance),
        **surroundings(local.device),
    }


def with_memory(base: Any, identity: BaseIdentity, size: int, tokens: int) -> RecurrentDecoder:  # noqa: ANN401
    """A per-layer memory around a model, whose associations write and read something.

    They write little: random ones that write much blow the last digit up from segment to segment, in either order.
    """
    config = RmtConfig("decoder", segment_tokens=size, memory_tokens=tokens, update="per-layer", trained="memory")
    model = RecurrentDecoder(base, config, identity).eval()
    assert model.associations is not None  # noqa: S101 - for the type checker
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.associations.named_parameters():
            if name.endswith("value.weight"):
                spread = torch.randn(weight.shape, generator=chance) * 0.1 * weight.shape[1] ** -0.5
                weight.copy_(spread.to(weight.device))
    return model


def _compare(model: RecurrentDecoder, ids: Ids, rounds: int) -> dict[str, Any]:
    """One text in both ways, which take turns in going first."""
    segments = list(cut(ids, model.config.segment_tokens))
    ways: dict[str, Callable[[list[list[int]]], torch.Tensor]] = {
        "sequential": lambda text: read_streams(model, [text]),
        "diagonal": lambda text: read_diagonally(model, [text]),
    }
    found, seconds = dict[str, torch.Tensor](), dict[str, list[float]]()
    for name, read in ways.items():
        read(segments[:2])  # sets kernels up
        seconds[name] = []
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
            wait = synchroniser(str(model.device))
            wait()
            began = time.perf_counter()
            found[name] = ways[name](segments)
            wait()
            seconds[name].append(time.perf_counter() - began)
    faster = [one / other for one, other in zip(*seconds.values(), strict=True)]
    return {
        **{f"{name}_seconds": statistics.median(each) for name, each in seconds.items()},
        "times_faster": statistics.median(faster),
        "slowest": min(faster),
        "fastest": max(faster),
        "largest_difference": float((found["sequential"] - found["diagonal"]).abs().max()),
        "largest_number": float(found["sequential"].abs().max()),
    }


def _text(vocabulary: int, tokens: int) -> list[int]:
    return random.Random(0).choices(range(vocabulary), k=tokens)  # noqa: S311 - reproducible is what is wanted
