"""Measure the trial of a model at load: each way of reading, without and with a stored verdict."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.kvcache.exact.trial import OWN, OWN_BATCH, PLAIN, PLAIN_BATCH, SHARED, SHARED_BATCH

if TYPE_CHECKING:
    from rmtbench.models.local import LocalModel

WAYS: Sequence[tuple[str, ...]] = (
    (OWN,),
    (OWN, OWN_BATCH),
    (PLAIN,),
    (PLAIN, PLAIN_BATCH),
    (SHARED,),
    (SHARED, SHARED_BATCH),
)
"""What a run tries, by its systems and its batch."""

ROUNDS = 3


def run(name: str, adapter: str | None = None) -> dict[str, Any]:
    """Try a model's ways of reading several times.

    Args:
        name: A local model, as for ``rmtbench run --model``.
        adapter: As for ``rmtbench run --adapter``.

    Returns:
        `seconds`: by ways, the median of the trial; `stored_seconds`: of reading the verdict of one that was tried;
        `refused`: the reasons of ways that are not exact.

    Raises:
        UserError: The model cannot be loaded.
    """
    import torch

    from rmtbench.models.load import load_model

    model = load_model(name, adapter=adapter)
    seconds: dict[str, float] = {}
    stored: list[float] = []
    refused: dict[str, str] = {}
    for ways in WAYS:
        tries = [_once(model, ways) for _ in range(ROUNDS)]
        seconds[", ".join(ways)] = statistics.median(each for each, _, _ in tries)
        stored += [each for _, each, _ in tries]
        refused |= {way: reason for way, reason in tries[0][2].items() if reason}
    return {
        "model": name if adapter is None else f"{name} with {adapter}",
        "threads": torch.get_num_threads(),
        "rounds": ROUNDS,
        "seconds": seconds,
        "stored_seconds": statistics.median(stored),
        "refused": refused,
    }


def _once(model: LocalModel, ways: Sequence[str]) -> tuple[float, float, Mapping[str, str]]:
    """Seconds of the trial, seconds of its stored verdict, and the verdict."""
    from rmtbench.kvcache.exact.verdict import verdicts

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = verdicts(model, ways, Path(folder))
        tried = time.perf_counter()
        verdicts(model, ways, Path(folder))
        return tried - began, time.perf_counter() - tried, found
