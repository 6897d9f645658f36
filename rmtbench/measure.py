"""Clocks, results with their seconds, memory, sizes and the processor; every room measures with these."""

from __future__ import annotations

import gc
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from rmtbench.errors import UserError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

Synchronise = Callable[[], None]
"""Waits until the device has done what it was given; does nothing on the CPU."""


_UNITS = {"": 1} | {
    f"{letter}{power}": base ** (place + 1)
    for power, base in (("", 1000), ("I", 1024))
    for place, letter in enumerate("KMGT")
}


def parse_bytes(text: str, option: str) -> int:
    """Bytes of a size as a person writes it: ``20GB``, ``7.5 GiB``, ``512M``, or their plain number.

    Args:
        text: The size; units in any case, powers of 1000, or of 1024 with an i.
        option: What gave it, for the message.

    Raises:
        UserError: It is none.
    """
    match = re.fullmatch(r"(\d{1,18}(?:\.\d+)?)\s*([KMGT]I?|)B?", text.strip().upper(), re.ASCII)
    if match is None:
        raise UserError(f"'{text}' is no size", where=option, remedy="give such as 20GB, 500MB or 7.5GiB")
    return int(float(match[1]) * _UNITS[match[2]])


def synchroniser(device: str) -> Synchronise:
    """How to wait for a device before reading the clock.

    Args:
        device: A torch device name such as ``cpu`` or ``cuda:0``.

    Returns:
        A function that returns once the device is idle.
    """
    if device.startswith("cuda"):
        import torch

        return partial(torch.cuda.synchronize, device)  # without a name it would wait for the current device
    if device.startswith("mps"):
        import torch

        return torch.mps.synchronize
    return lambda: None


class Stopwatch:
    """Adds up wall seconds by part, in the order in which the parts first appear."""

    def __init__(self, synchronise: Synchronise = lambda: None) -> None:
        self.seconds: dict[str, float] = {}
        self._synchronise = synchronise

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the block's wall seconds to part `name`, with the device idle at both ends."""
        self._synchronise()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._synchronise()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """A result and the wall seconds that it took, by part, in the order in which the parts first appeared."""

    value: T
    seconds: Mapping[str, float]

    @property
    def total_seconds(self) -> float:
        """All parts together."""
        return sum(self.seconds.values())


def timed(part: str, make: Callable[[], T], synchronise: Synchronise = lambda: None) -> Timed[T]:
    """Make something, with the device idle at both ends, and return it with its seconds as `part`."""
    watch = Stopwatch(synchronise)
    with watch.part(part):
        value = make()
    return Timed(value, watch.seconds)


def with_seconds(make: Callable[[], T]) -> tuple[T, float]:
    """Make something that leaves no work on a device, and return it with its seconds."""
    start = time.perf_counter()
    made = make()
    return made, time.perf_counter() - start


def add_seconds(*costs: Mapping[str, float]) -> dict[str, float]:
    """Add seconds up by part; parts keep the order of their first appearance."""
    total: dict[str, float] = {}
    for cost in costs:
        for part, seconds in cost.items():
            total[part] = total.get(part, 0.0) + seconds
    return total


def share_of_rounds(questions: Sequence[int], at_once: int) -> float:
    """Return what part of an answer's seconds a question takes of the server that answers several at once.

    A draw's questions are answered in rounds. The last one takes as long as the others, however few are in it.

    Args:
        questions: How many each draw has, at least one each.
        at_once: How many the server is asked at the same time.
    """
    return sum(-(-count // at_once) for count in questions) / sum(questions) if questions else 1.0


def peak_resident_bytes() -> int:
    """Most memory that this process has had resident since its start or the last `reset_peak_memory`."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device_bytes(device: str) -> int | None:
    """Most device memory allocated since `reset_peak_memory`; None where the device shares the machine's memory."""
    if not device.startswith("cuda"):
        return None
    import torch

    return int(torch.cuda.max_memory_allocated(device))


def free_memory() -> None:
    """Give back the device memory that torch holds and nothing uses; call it after an error for lack of memory."""
    torch = sys.modules.get("torch")
    gc.collect()  # a failed forward's tensors are held by its frames, which may refer to each other
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def reset_peak_memory(device: str) -> bool:
    """Forget the peaks so far, so that the next reading belongs to what follows.

    Returns:
        Whether the resident peak could be reset; where not (outside Linux), it is the process's peak so far.
    """
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def processor_name() -> str:
    """The processor's name, as the machine tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "not recorded"


def computing_unit(device: torch.device) -> str:
    """The card, or the processor with the instructions that torch's kernels were chosen for: others round otherwise."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}"
