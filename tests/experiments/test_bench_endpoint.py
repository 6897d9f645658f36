"""The bench of served models asks what it says, and its figures fit together; how small they are is not tested."""

from __future__ import annotations

from experiments.benches.endpoint import run


def test_every_call_is_answered_and_timed() -> None:
    figures = run(concurrency=4, calls=12, seconds=0.05)
    assert (figures["calls"], figures["wrong"], figures["concurrency"]) == (12, 0, 4)
    assert 0.025 <= figures["server_seconds"] <= figures["wall_seconds"]
    assert figures["overhead_seconds"] > 0
    assert figures["processor_seconds_a_call"] > 0
