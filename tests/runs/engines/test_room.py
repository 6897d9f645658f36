"""How a cluster is divided: one worker a GPU, else one a node, else as asked; what does not fit is refused."""

from __future__ import annotations

import pytest

from rmtbench.errors import UserError
from rmtbench.options.engine import Engine
from rmtbench.runs.engines.room import Node, Shares, shares_of

LAPTOP = [Node(8)]
CLUSTER = [Node(64, 8), Node(64, 8), Node(16)]


@pytest.mark.parametrize(
    ("nodes", "device", "asked", "shares", "threads"),
    [
        (LAPTOP, "cpu", {}, Shares(1, 8, 0), 8),
        (LAPTOP, "cpu", {"workers": 3}, Shares(3, 2, 0), 2),
        (LAPTOP, "cpu", {"workers": 16}, Shares(16, 0.5, 0), 1),
        (LAPTOP, "cpu", {"cpus": 2.0}, Shares(4, 2, 0), 2),
        (LAPTOP, "cpu", {"cpus": 2.0, "workers": 2}, Shares(2, 2, 0), 2),
        (CLUSTER, "cpu", {}, Shares(9, 16, 0), 16),
        (CLUSTER, "cuda", {}, Shares(16, 8, 1), 8),
        (CLUSTER, "cuda", {"gpus": 0.5}, Shares(32, 4, 0.5), 4),
        (CLUSTER, "cuda", {"gpus": 2.0, "workers": 4}, Shares(4, 16, 2), 16),
    ],
)
def test_a_cluster_is_divided(
    nodes: list[Node], device: str, asked: dict[str, float], shares: Shares, threads: int
) -> None:
    found = shares_of(nodes, Engine(engine="ray", **asked), device)
    assert found == shares
    assert found.threads == threads


@pytest.mark.parametrize(
    ("nodes", "device", "asked"),
    [
        (LAPTOP, "cuda", {}),
        (LAPTOP, "cpu", {"cpus": 16.0}),
        (LAPTOP, "cpu", {"cpus": 4.0, "workers": 3}),
        (CLUSTER, "cuda", {"workers": 17}),
    ],
)
def test_workers_without_room_are_refused(nodes: list[Node], device: str, asked: dict[str, float]) -> None:
    with pytest.raises(UserError, match="the cluster has room for"):
        shares_of(nodes, Engine(engine="ray", **asked), device)


def test_gpus_are_refused_where_none_answers() -> None:
    with pytest.raises(UserError, match="no GPU answers"):
        shares_of(CLUSTER, Engine(engine="ray", gpus=1.0), "cpu")
