"""A stage ends early by its figure, the rate goes on from its end, and an interruption leaves no trace of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rmtbench.training.base import Progress, Promotion, Recipe, Stage, Trained
from rmtbench.training.loop import train
from rmtbench.training.optimizers import rate_at

RULE = Promotion("right", 0.75, 3)
RECIPE = Recipe(
    name="steps",
    stages=(Stage("one", 20, {"rows": 4}, RULE), Stage("two", 10, {"rows": 4})),
    learning_rate=0.02,
    warmup_steps=2,
    decay_from=0.5,
    floor=0.1,
    snapshots={"one": "base"},
)
RIGHT = (0.0, 1.0, 0.0, 0.5, None, 0.5, 0.75, 1.0, 1.0)
"""Of each call; None for a step without the figure. Three in a row have a mean of .75 first at the eighth step."""


class Told:
    """Learns a line; its figure is told by a list, step by step of the recipe."""

    def __init__(self, right=RIGHT, stop_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.module = torch.nn.Linear(2, 1)
        self.right, self.stop_at, self.calls, self.begun = right, stop_at, 0, 0

    def sample(self, stage, chance):
        return torch.tensor([[chance.random(), chance.random()] for _ in range(int(stage.settings["rows"]))])

    def loss(self, batch):
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        step = self.begun + self.calls
        right = self.right[step] if step < len(self.right) else 0.0
        self.calls += 1
        loss = (self.module(batch).squeeze(-1) - batch.sum(dim=1)).square().mean()
        return loss, {} if right is None else {"right": right}, len(batch)

    def export(self, folder):
        save_file(self.module.state_dict(), folder / "model.safetensors")


def run(out: Path, objective: Told | None = None, recipe: Recipe = RECIPE) -> tuple[Trained, list[Progress]]:
    told: list[Progress] = []
    return train(objective or Told(), recipe, out, told.append, log_every=5), told


def log_of(out: Path) -> list[dict]:
    lines = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


def test_stage_ends_when_mean_reaches_threshold(tmp_path: Path) -> None:
    done, told = run(tmp_path)
    assert [each.stage for each in told] == ["one"] * 8 + ["two"] * 10
    assert [each.step for each in told] == [*range(1, 8), *range(20, 31)]
    assert (done.steps, done.new_steps, done.tokens) == (18, 18, 18 * 4)


def test_log_says_what_promoted_and_rate_goes_on_from_stages_end(tmp_path: Path) -> None:
    run(tmp_path)
    lines = log_of(tmp_path)
    assert [(line["step"], line.get("promoted")) for line in lines] == [(5, None), (8, 0.75), (25, None), (30, None)]
    assert [line["learning_rate"] for line in lines] == [rate_at(RECIPE, step) for step in (4, 7, 24, 29)]


@pytest.mark.parametrize("taken", [0, 3, 6, 7, 8, 9, 17])
def test_interrupted_promotions_equal_uninterrupted_ones(tmp_path: Path, taken: int) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    run(whole)
    with pytest.raises(KeyboardInterrupt):
        run(parted, Told(stop_at=taken))
    rest = Told()
    rest.begun = taken
    done, told = run(parted, rest)
    assert (done.steps, done.new_steps, len(told)) == (18, 18 - taken, 18 - taken)
    assert log_of(parted) == log_of(whole)
    for name in ("base", "model"):
        one, other = (load_file(out / name / "model.safetensors") for out in (whole, parted))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert run(parted)[0].new_steps == 0


def test_stage_that_never_reaches_its_threshold_takes_all_steps(tmp_path: Path) -> None:
    done, _ = run(tmp_path, Told(right=(0.5,) * 20))
    assert done.steps == 30
    assert not any("promoted" in line for line in log_of(tmp_path))


def test_figures_of_one_stage_do_not_promote_the_next(tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(RECIPE.stages[0], Stage("two", 10, {"rows": 4}, RULE)))
    _, told = run(tmp_path, Told(right=(1.0,) * 40), recipe)
    assert [(each.stage, each.step) for each in told] == [
        *(("one", 1), ("one", 2), ("one", 20), ("two", 21), ("two", 22), ("two", 30))
    ]
    assert (tmp_path / "model").is_dir()


def test_recipe_without_promotion_keeps_its_identity() -> None:
    recipe = Recipe(
        name="sine",
        stages=(Stage("short", 12, {"rows": 16}), Stage("long", 18, {"rows": 32})),
        learning_rate=0.02,
        warmup_steps=4,
        decay_from=0.5,
        floor=0.1,
        seed=3,
        snapshots={"short": "base"},
    )
    assert recipe.identity == "c4ec7ac66cf2d7906feb641307ea9f5925e1aa02f0a259c0f7e50e552656248c"


def test_recipes_are_told_apart_by_every_field_of_a_promotion() -> None:
    rules = (None, RULE, Promotion("left", 0.75, 3), Promotion("right", 0.8, 3), Promotion("right", 0.75, 4))
    assert len({replace(RECIPE, stages=(Stage("one", 20, {}, rule),), snapshots={}).identity for rule in rules}) == 5
    with pytest.raises(ValueError, match="over 0 steps"):
        Promotion("right", 0.75, 0)


def test_checkpoint_from_before_promotions_is_resumed(tmp_path: Path) -> None:
    plain = replace(RECIPE, stages=tuple(replace(stage, promotion=None) for stage in RECIPE.stages))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Told(stop_at=6), plain)
    path = tmp_path / "checkpoint" / "state.json"
    described = json.loads(path.read_text())
    del described["state"]["skipped"], described["state"]["recent"]
    path.write_text(json.dumps(described))
    assert run(tmp_path, recipe=plain)[0].new_steps == 24
