"""Sums of a metric's values by cluster, in little memory: a report of thousands of runs holds them all at once."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence


class ClusterSums(Mapping[int, tuple[float, int]]):
    """Sum of a metric's values and their number, by cluster: a draw, or a question if `RunFigures.unit` says so."""

    __slots__ = ("_counts", "_places", "_totals")

    def __init__(self, places: Mapping[int, int], totals: Sequence[float], counts: Sequence[int]) -> None:
        """Take the place of each cluster in totals and counts; metrics of one run may share `places`."""
        self._places = places
        self._totals = array("d", totals)
        self._counts = array("q", counts)

    def __getitem__(self, cluster: int) -> tuple[float, int]:
        place = self._places[cluster]
        return self._totals[place], self._counts[place]

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def sum_clusters(metrics: Mapping[str, Mapping[int, Sequence[float]]]) -> dict[str, ClusterSums]:
    """Add up each metric's values by cluster.

    Args:
        metrics: By metric and cluster, the values.
    """
    known: dict[tuple[int, ...], dict[int, int]] = {}
    return {
        metric: ClusterSums(
            _places(known, found), [math.fsum(each) for each in found.values()], [len(each) for each in found.values()]
        )
        for metric, found in metrics.items()
    }


def compact(sums: Mapping[int, tuple[float, int]]) -> ClusterSums:
    """Hold sums that were added up already."""
    places = {cluster: place for place, cluster in enumerate(sums)}
    return ClusterSums(places, [total for total, _ in sums.values()], [count for _, count in sums.values()])


def _places(known: dict[tuple[int, ...], dict[int, int]], clusters: Mapping[int, object]) -> dict[int, int]:
    """The place of each cluster; the same object where another metric has the same clusters."""
    return known.setdefault(tuple(clusters), {cluster: place for place, cluster in enumerate(clusters)})
