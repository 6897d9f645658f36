"""From options to a curriculum, and from one command to a memory that its base model is given back with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rmtbench.errors import UserError
from rmtbench.models.load import load_model
from rmtbench.options.training import MemoryTraining
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.learning import ChooseFromMemory
from rmtbench.rmt.recipes import check_plan, make_recipe, make_training
from rmtbench.rmt.storage import from_pretrained, read_stored
from rmtbench.training.loop import train
from rmtbench.training.optimizers import rate_at

PLAN = MemoryTraining(out=Path(), base="mini", task="detect", steps=(100, 50, 50, 40, 40, 60), device="cpu")
TINY = replace(PLAN, base="random:tiny", segments=(1, 2), steps=(2,), segment_tokens=48, memory_tokens=4, rows=2)


def test_stages_rise_and_all_but_last_are_left_at_asked_accuracy() -> None:
    recipe = make_recipe(PLAN)
    assert [stage.steps for stage in recipe.stages] == [100, 50, 50, 40, 40, 60]
    assert [stage.settings["segments"] for stage in recipe.stages] == [1, 2, 4, 8, 16, 32]
    assert [stage.settings["rows"] for stage in recipe.stages] == [16, 16, 16, 16, 8, 4]
    rules = [stage.promotion for stage in recipe.stages]
    assert [rule and (rule.metric, rule.threshold, rule.steps) for rule in rules] == [
        *[("accuracy", 0.98, 13)] * 4,
        ("accuracy", 0.98, 25),
        None,
    ]
    assert rate_at(recipe, 280) == pytest.approx(PLAN.rate)
    assert rate_at(recipe, 310) == pytest.approx(PLAN.rate * 0.525)
    assert all(stage.promotion is None for stage in make_recipe(replace(PLAN, promote=2)).stages)


def test_without_curriculum_as_much_is_read_in_last_stage_alone() -> None:
    whole, alone = make_recipe(PLAN), make_recipe(replace(PLAN, curriculum=False))
    assert [stage.settings["segments"] for stage in alone.stages] == [32]
    read = [
        sum(stage.steps * stage.settings["rows"] * stage.settings["segments"] for stage in recipe.stages)
        for recipe in (whole, alone)
    ]
    assert read[1] == pytest.approx(read[0], rel=0.01)
    assert whole.identity != alone.identity


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"segments": (2, 1)}, "--segments"),
        ({"segments": (1, 1)}, "--segments"),
        ({"segments": (0, 1)}, "--segments"),
        ({"steps": (10, 10)}, "--steps"),
        ({"steps": (0,)}, "--steps"),
        ({"rows": 0}, "--rows"),
        ({"mixed": 1.1}, "--mixed"),
        ({"along": -1}, "--along"),
        ({"task": "babilong:qa1/4k.json"}, "--along"),
        ({"task": "babilong:qa1/4k.json", "along": 0, "names": "all"}, "--names"),
        ({"write": "gradient", "update": "per-layer"}, "--update"),
        ({"promote": 0.0}, "--promote-at-accuracy"),
        ({"promote": float("nan")}, "--promote-at-accuracy"),
        ({"rate": 0.0}, "--learning-rate"),
        ({"rate": float("nan")}, "--learning-rate"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes: dict, where: str) -> None:
    with pytest.raises(UserError) as refused:
        check_plan(replace(PLAN, **changes))
    assert refused.value.where == where
    assert refused.value.remedy


@pytest.mark.parametrize(
    "changes", [{"trained": "memory"}, {"trained": "lora", "mode": "query-first", "segment_tokens": 96}]
)
def test_trained_memory_loads_onto_base_with_its_training(changes: dict, tmp_path: Path) -> None:
    plan = replace(TINY, **changes)
    objective, recipe = make_training(replace(plan, out=tmp_path))
    train(objective, recipe, tmp_path, lambda _: None)
    notes = read_stored(tmp_path / "model").notes
    assert (notes["task"], notes["mode"], notes["steps"]) == ("detect", plan.mode, 4)
    assert [(stage["segments"], stage["steps"], stage["promoted"]) for stage in notes["stages"]] == [
        (1, 2, False),
        (2, 2, False),
    ]
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert notes["accuracy"] == round(last["metrics"]["accuracy"], 4)
    base = load_model(plan.base)
    model = from_pretrained(tmp_path / "model", base.model, BaseIdentity.of(base.provenance))
    weights = objective.module.trained()
    assert all(torch.equal(weight, weights[name]) for name, weight in model.trained().items())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="layers are compiled by a C++ compiler")
def test_compiled_layers_learn_the_same(tmp_path: Path) -> None:
    losses = []
    for fused in (False, True):
        out = tmp_path / str(fused)
        objective, recipe = make_training(replace(TINY, mixed_precision=False, out=out, fused=fused))
        train(objective, recipe, out, lambda _: None)
        losses.append([json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_what_is_learnt_from_is_part_of_a_recipes_identity() -> None:
    plans = (TINY, replace(TINY, segment_tokens=56), replace(TINY, update="overwrite"), replace(TINY, names="all"))
    identities = [make_training(plan)[1].identity for plan in (TINY, *plans)]
    assert identities[0] == identities[1]
    assert len(set(identities)) == len(plans)


def test_a_training_begins_with_a_trained_memory_and_says_which(tmp_path: Path) -> None:
    objective, recipe = make_training(replace(TINY, update="gated", out=tmp_path / "first"))
    train(objective, recipe, tmp_path / "first", lambda _: None)
    stored = read_stored(tmp_path / "first" / "model")
    begun, onward = make_training(replace(TINY, start=tmp_path / "first" / "model", out=tmp_path / "second"))
    gate = "memory.gate.weight"
    assert torch.equal(begun.module.trained()[gate], objective.module.trained()[gate])
    assert onward.identity != make_training(TINY)[1].identity
    train(begun, onward, tmp_path / "second", lambda _: None)
    assert not torch.equal(begun.module.trained()[gate], objective.module.trained()[gate])
    start = read_stored(tmp_path / "second" / "model").notes["start"]
    assert (start["weights_sha256"], start["update"], start["steps"]) == (stored.weights_sha256, "gated", 4)


@pytest.mark.parametrize("mode", ["memory", "query-first"])
def test_a_task_that_the_last_stage_cannot_tell_is_refused(mode: str) -> None:
    with pytest.raises(UserError, match="'facts-8' cannot be told in 2 segments") as refused:
        make_training(replace(TINY, task="facts-8", segment_tokens=16, mode=mode))
    assert refused.value.where == "--segments"


def test_segments_filled_by_questions_are_refused() -> None:
    with pytest.raises(UserError, match="leave too little of a segment of 24") as refused:
        make_training(replace(TINY, mode="query-first", segment_tokens=24))
    assert refused.value.where == "--segment-tokens"


def test_minilm_is_an_encoder_that_chooses_an_answer(tmp_path: Path) -> None:
    plan = replace(TINY, base="minilm", segments=(1,), steps=(1,), segment_tokens=64, out=tmp_path)
    objective, recipe = make_training(plan)
    assert isinstance(objective, ChooseFromMemory)
    train(objective, recipe, tmp_path, lambda _: None)
    stored = read_stored(tmp_path / "model")
    assert (stored.config.kind, stored.base.id) == ("encoder", "minilm")
    assert len(stored.notes["answers"]) == 33
    assert stored.notes["style"] == "direct"
    dropouts = [child for child in objective.module.train().modules() if isinstance(child, torch.nn.Dropout)]
    assert dropouts
    assert not any(child.training for child in dropouts)
