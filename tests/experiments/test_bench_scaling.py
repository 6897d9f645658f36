"""The simulation of many workers: what it says of studies whose end can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.benches.scaling import recorded_draws, run, simulate

ROOT = Path(__file__).parent.parent.parent


def test_one_worker_does_all_draws_after_loading() -> None:
    study = simulate([3, 1, 2], 1, 5)
    assert (study.seconds, study.at_least, study.speedup, study.bound) == (11, 11, 1, "work")


def test_the_longest_draw_at_the_end_makes_all_wait() -> None:
    draws = [1, 1, 1, 1, 4]
    assert simulate(draws, 2, 0).seconds == 6
    assert simulate(draws, 2, 0, "longest first").seconds == 4
    assert simulate(draws, 2, 0).at_least == 4


def test_more_workers_than_draws_wait_for_one_draw() -> None:
    study = simulate([2, 3], 10, 1)
    assert (study.seconds, study.speedup, study.bound) == (4, 6 / 4, "one draw")


@pytest.mark.parametrize("order", ["arrival", "longest first"])
def test_no_study_ends_before_its_bound_nor_a_draw_late(order: str) -> None:
    draws = recorded_draws(ROOT / "results" / "mini-draws")
    assert len(draws) == 42
    for workers in (1, 2, 8, 32, 128):
        study = simulate(draws, workers, 7, order)
        assert study.at_least <= study.seconds + 1e-9
        assert study.seconds <= study.at_least + max(draws)


def test_the_table_in_the_docs_is_that_of_the_simulation() -> None:
    figures = run(ROOT / "results" / "mini-draws", draws=141, workers=(8, 32, 128), load_seconds=10)
    page = (ROOT / "docs" / "guides" / "many-machines.md").read_text(encoding="utf-8")
    for row in figures["studies"]:
        cells = (f"{row['workers']}", row["order"], f"{row['seconds']:.0f} s", f"{row['speedup']:.1f}",
                 f"{100 * row['used']:.0f} %", f"{row['at_least_seconds']:.0f} s")  # fmt: skip
        assert f"| {' | '.join(cells)} |" in page
