"""How near a decode step is to a device's limit: the bytes that it must read, over what the device reads or copies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmtbench.measure import synchroniser

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Bandwidths:
    """Of a device's memory: the fastest of several rounds.

    Attributes:
        read_bytes_per_second: Of a sum over numbers, which writes nothing: the limit of a decode step.
        copy_bytes_per_second: Of a copy, bytes read and bytes written; as a rule lower.
    """

    read_bytes_per_second: float
    copy_bytes_per_second: float


@dataclass(frozen=True, slots=True)
class Roofline:
    """One way's decode step beside the device's limits.

    Attributes:
        geometry: The model.
        prefix_tokens: Tokens of the prefix.
        batch: Questions at once.
        bytes_read: Weights and cache, each read once; without an embedding that is only looked up.
        fraction_of_read: Time of these bytes at the bandwidth of reading, over the step's.
        fraction_of_copy: The same at the bandwidth of copying, as earlier results have it.
    """

    geometry: str
    prefix_tokens: int
    batch: int
    bytes_read: int
    read_bytes_per_second: float
    copy_bytes_per_second: float
    fraction_of_read: float
    fraction_of_copy: float


def weights_read(model: PreTrainedModel) -> int:
    """Return the bytes of weights that a step reads: all, but an input embedding of its own, of which it reads rows."""
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    tied = head is not None and head.weight is embedding
    everything = sum(int(each.nbytes) for each in model.parameters())
    return everything if tied else everything - int(embedding.nbytes)


def measure_bandwidths(device: str, size: int = 1 << 30) -> Bandwidths:
    """Measure a device's memory.

    Args:
        device: A torch device name.
        size: Bytes of the buffer; far more than the device's caches hold.
    """
    import torch

    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return Bandwidths(
        source.nbytes / _fastest(device, source.sum), 2 * source.nbytes / _fastest(device, lambda: target.copy_(source))
    )


def _fastest(device: str, work: Callable[[], object]) -> float:
    wait, fastest = synchroniser(device), float("inf")
    for _ in range(ROUNDS):
        wait()
        start = time.perf_counter()
        work()
        wait()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def roofline(
    geometry: str, prefix_tokens: int, batch: int, bytes_read: int, step_seconds: float, limits: Bandwidths
) -> Roofline:
    """Return a step beside the limits of its device."""
    read, copy = limits.read_bytes_per_second, limits.copy_bytes_per_second
    return Roofline(
        geometry=geometry,
        prefix_tokens=prefix_tokens,
        batch=batch,
        bytes_read=bytes_read,
        read_bytes_per_second=read,
        copy_bytes_per_second=copy,
        fraction_of_read=bytes_read / read / step_seconds,
        fraction_of_copy=bytes_read / copy / step_seconds,
    )
