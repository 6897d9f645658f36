"""How many workers a cluster has room for, and what share of it each one has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.options.engine import Engine


@dataclass(frozen=True)
class Node:
    """One machine of a cluster."""

    cpus: float
    gpus: float = 0


@dataclass(frozen=True)
class Shares:
    """Workers, and the CPUs and GPUs that each one has for itself."""

    workers: int
    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """Threads of each worker."""
        return max(1, int(self.cpus))

    @property
    def each(self) -> str:
        """What each worker has, in words."""
        return f"CPUs: {self.cpus:g}" + (f", GPUs: {self.gpus:g}" if self.gpus else "")


def shares_of(nodes: Sequence[Node], asked: Engine, device: str) -> Shares:
    """Divide a cluster among workers: one a GPU if a GPU answers, else one a node, where nothing else was asked.

    Args:
        nodes: The cluster.
        asked: How many workers, and what each one shall have.
        device: The torch device that answers.

    Raises:
        UserError: There is no room for so many workers, or for any.
    """
    on_gpu = device.startswith("cuda")
    if asked.gpus and not on_gpu:
        raise UserError("no GPU answers", where=flag.gpus, remedy=f"give {flag.device} cuda, or leave it out")
    gpus = asked.gpus if asked.gpus is not None else 1.0 if on_gpu else 0.0
    cpus = asked.cpus if asked.cpus is not None else _equal_cpus(nodes, asked.workers, gpus)
    room = sum(_fitting(node, cpus, gpus) for node in nodes)
    workers = asked.workers if asked.workers is not None else room
    if not 0 < workers <= room:
        total = Shares(0, sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)).each
        each = Shares(workers, cpus, gpus).each
        raise UserError(
            f"the cluster has room for workers: {room}, if each has {each} (in all {total}; nodes: {len(nodes)})",
            where=f"{flag.engine} ray",
            remedy=f"give fewer {flag.workers}, or smaller {flag.cpus} and {flag.gpus}",
        )
    return Shares(workers, cpus, gpus)


def _fitting(node: Node, cpus: float, gpus: float) -> int:
    by_cpus = int(node.cpus / cpus + 1e-9)  # thirds of a CPU add up to a little less than one
    return min(by_cpus, int(node.gpus / gpus + 1e-9)) if gpus else by_cpus


def _equal_cpus(nodes: Sequence[Node], workers: int | None, gpus: float) -> float:
    """Return the CPUs of each worker if the workers of a node share all of them equally."""
    if gpus:
        shared = [node.cpus / int(node.gpus / gpus + 1e-9) for node in nodes if node.gpus >= gpus]
    else:
        a_node = 1 if workers is None else -(-workers // len(nodes))
        shared = [node.cpus / a_node for node in nodes]
    least = min(shared, default=1.0)
    return float(int(least)) if least >= 1 else least
