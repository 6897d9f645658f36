"""From what a user asks to learn, to a recipe: a curriculum of more and more segments, promoted by accuracy."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from rmtbench.errors import UserError
from rmtbench.models.embed_files import MINILM
from rmtbench.models.load import choose_device
from rmtbench.options import flag
from rmtbench.options.declare import refuse_given
from rmtbench.options.memory import MemoryForm
from rmtbench.options.training import MemoryTraining
from rmtbench.plural import many
from rmtbench.rmt.associative import blocks_of
from rmtbench.rmt.bases import Base, load_base
from rmtbench.rmt.batches import close_task
from rmtbench.rmt.config import Kind, RmtConfig
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.learning import AnswerFromMemory, ChooseFromMemory, Notes
from rmtbench.rmt.storage import Stored, start_from, wrap
from rmtbench.rmt.tasks.base import Task, sample_of
from rmtbench.rmt.tasks.registry import BABILONG, make_task
from rmtbench.training.base import LOG, Objective, Promotion, Recipe, Stage

FULL_ROWS_UP_TO = 8
"""Segments up to which a step has all rows; beyond, fewer, so that a step reads no more."""
LEAST_ROWS = 4
"""Rows that a step has at least, where the plan has so many, however many segments it then reads."""
JUDGED = 200
"""Rows, at least, of the steps that a promotion is decided by; those that were drawn shorter do not count in it."""
CLOSED = 32
"""Answers that an encoder chooses from, beside that none is told."""


def check_plan(plan: MemoryTraining) -> None:
    """Refuse numbers that make no sense together.

    Raises:
        UserError: Which, and what would.
    """
    if not plan.segments or plan.segments[0] < 1 or list(plan.segments) != sorted(set(plan.segments)):
        _refuse(flag.segments, f"{_list(plan.segments)} do not rise from at least 1", "give rising ones: 1,2,4,8")
    if len(plan.steps) not in (1, len(plan.segments)) or min(plan.steps) < 1:
        _refuse(
            flag.steps,
            f"{_list(plan.steps)} steps for {many(len(plan.segments), 'stage')}",
            "give one number for all stages, or one for each, all at least 1",
        )
    if plan.rows < 1:
        _refuse(flag.rows, f"{plan.rows} rows a step", "give at least 1")
    if not 0 <= plan.mixed <= 1:
        _refuse(flag.mixed, f"a share of {plan.mixed}", "give one from 0 to 1")
    if plan.along < 0:
        _refuse(flag.along, f"{plan.along} segments", "give at least 0")
    if plan.task.startswith(BABILONG):
        if plan.along:
            what = "rows of BABILong do not say where an answer begins to be known"
            _refuse(flag.along, what, f"give {flag.along} 0")
        refuse_given(plan, ("names",), "for official files, which have names of their own", "leave it out")
    if plan.write == "gradient" and plan.update != "overwrite":
        refuse_given(plan, ("update",), "for a memory written by gradient", "leave it out")
    if not plan.promote > 0:
        _refuse(flag.promote, f"an accuracy of {plan.promote}", "give one above 0, or above 1 for never")
    if not 0 < plan.rate < math.inf:
        _refuse(flag.rate, f"a rate of {plan.rate}", "give a number above 0")


def make_recipe(plan: MemoryTraining, data: str = "") -> Recipe:
    """Lay the stages out. The rate stays at its height until the last one, and falls there to a twentieth.

    Args:
        plan: What to learn.
        data: Names what is learnt from.
    """
    settings = {"mixed": plan.mixed, "along": plan.along, "query_first": plan.mode == "query-first"}
    stages = stages_of(plan, "segment", FULL_ROWS_UP_TO, settings, lambda rows: math.ceil(JUDGED / rows))
    return recipe_of(plan, stages, data)


def stages_of(
    plan: MemoryTraining, unit: str, full_rows: int, settings: Mapping[str, float], judged: Callable[[int], int]
) -> list[Stage]:
    """The plan's stages, each but the last one ended by its accuracy; without a curriculum one that reads as much.

    Args:
        plan: What to learn.
        unit: What `segments` counts.
        full_rows: Number up to which a step has all rows; beyond, fewer, so that a step reads no more.
        settings: What all stages have in common.
        judged: Steps by which a promotion is decided, for the rows of a step.
    """
    stages = []
    steps = plan.steps * (len(plan.segments) if len(plan.steps) == 1 else 1)
    for size, most in zip(plan.segments, steps, strict=True):
        rows = max(min(LEAST_ROWS, plan.rows), min(plan.rows, plan.rows * full_rows // size))
        rule = Promotion("accuracy", plan.promote, judged(rows)) if plan.promote <= 1 else None
        name = f"{size} {unit}{'s' * (size > 1)}"
        stages.append(Stage(name, most, {f"{unit}s": size, "rows": rows, **settings}, rule))
    last = replace(stages[-1], promotion=None)
    if plan.curriculum:
        return [*stages[:-1], last]
    read = [stage.settings["rows"] * stage.settings[f"{unit}s"] for stage in stages]  # by a step
    total = sum(stage.steps * each for stage, each in zip(stages, read, strict=True))
    return [replace(last, steps=round(total / read[-1]))]


def recipe_of(plan: MemoryTraining, stages: Sequence[Stage], data: str) -> Recipe:
    """Stages as a recipe: the rate rises for 20 steps, stays, and falls to a twentieth in the last stage.

    Args:
        plan: What to learn.
        stages: Its stages.
        data: Names what is learnt from.
    """
    total, last = sum(stage.steps for stage in stages), plan.steps[-1]
    return Recipe(
        name=f"rmt {plan.task}",
        stages=tuple(stages),
        learning_rate=plan.rate,
        warmup_steps=20,
        # Without a curriculum the rate is high for as long as with one, where no stage is cut short.
        decay_from=1 - last / total if plan.curriculum else 0.5,
        floor=0.05,
        seed=plan.seed,
        data=data,
    )


def make_training(plan: MemoryTraining) -> tuple[Objective, Recipe]:
    """The objective and recipe of any task but key-value pairs, whose `plan.out` holds the log for the memory's notes.

    Raises:
        UserError: The plan makes no sense, the base model cannot be loaded or wrapped, there is no such task, it does
            not fit its segments, or the memory to start with is of another base model or has other weights.
    """
    check_plan(plan)
    device = choose_device(plan.device)
    kind: Kind = "encoder" if plan.base == MINILM else plan.kind
    base = load_base(plan.base, kind, device, style=plan.style, seed=plan.seed)
    config = config_of(plan, kind, base.special_ids)
    if plan.fused and config.by_gradient:
        _refuse(flag.fused, "compiled layers have no second derivative", "leave it out")
    model = wrap(base.model, config, base.identity)
    start = start_from(plan.start, model) if plan.start else None
    if device == "cpu" or (config.by_gradient and not plan.first_order):
        # The fused kernels' backward is slow on short segments there, and cannot be differentiated anywhere.
        base.model.set_attn_implementation("eager")
    if plan.fused:  # each layer by itself: the model's code around them stays as it is
        for layer in blocks_of(base.model):
            layer.forward = torch.compile(layer.forward, dynamic=True)
    learnt = _make_task(plan, base)
    recipe = make_recipe(plan, _data(plan, base, config, learnt, start))
    # The task's own name holds no path of this machine, and an encoder has its own style.
    notes = notes_of(plan, recipe, start, {"task": learnt.name, "style": base.contract.style})
    if isinstance(model, RecurrentDecoder):
        return AnswerFromMemory(model, learnt, notes, mixed_precision=plan.mixed_precision), recipe
    closed = close_task(learnt, plan.segments[-1], CLOSED, random.Random(plan.seed))  # noqa: S311 - reproducible
    return ChooseFromMemory(model, closed, notes, mixed_precision=plan.mixed_precision), recipe


def config_of(plan: MemoryTraining, kind: Kind, special_ids: tuple[int, int] | None = None) -> RmtConfig:
    """The settings of the memory that a plan trains.

    Args:
        plan: What to learn.
        kind: Of the base model.
        special_ids: An encoder's: see `RmtConfig`.
    """
    form = MemoryForm(**{each.name: getattr(plan, each.name) for each in fields(MemoryForm)})
    return RmtConfig(
        kind=kind,
        segment_tokens=plan.segment_tokens,
        memory_tokens=plan.memory_tokens,
        backprop_segments=plan.backprop,
        trained=plan.trained,
        update="overwrite" if plan.write == "gradient" else plan.update,
        special_ids=special_ids,
        seed=plan.seed,
        form=form,
    )


def curve(log: Path, recipe: Recipe, size: str) -> dict[str, Any]:
    """What a training's log says of its stages: how many steps each took, and how accurate it was at its end.

    An accuracy is that which promoted, else the mean of the stage's last five lines; None if none of these has one.

    Args:
        log: The log.
        recipe: The training's.
        size: The setting that tells its stages apart.
    """
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    stages, begin = [], 0
    for stage, end in recipe.ends():
        own = [line for line in lines if line["stage"] == stage.name]
        if own:
            figures = [line["metrics"]["accuracy"] for line in own[-5:] if "accuracy" in line["metrics"]]
            reached = own[-1].get("promoted", sum(figures) / len(figures) if figures else None)
            stages.append(
                {
                    size: int(stage.settings[size]),
                    "steps": own[-1]["step"] - begin,
                    "accuracy": None if reached is None else round(reached, 4),
                    "promoted": "promoted" in own[-1],
                }
            )
        begin = end
    last = lines[-1]
    return {
        "stages": stages,
        "steps": sum(stage["steps"] for stage in stages),
        "accuracy": stages[-1]["accuracy"],
        "tokens": last["tokens"],
        "seconds": last["seconds"],
    }


def _make_task(plan: MemoryTraining, base: Base) -> Task:
    """The task by its name, its segments shortened by the longest of many questions where these follow the text."""
    task = make_task(plan.task, base.contract, plan.segment_tokens, plan.names, plan.asked)
    if plan.mode == "memory":
        return task
    chance = random.Random(plan.seed)  # noqa: S311 - reproducible is what is wanted
    room = max(len(sample_of(task, plan.segments[-1], chance).question) for _ in range(300))
    if plan.segment_tokens < 2 * room:
        _refuse(
            flag.segment_tokens,
            f"questions of up to {room} tokens leave too little of a segment of {plan.segment_tokens} to its text",
            f"lengthen the segments to at least {2 * room}",
        )
    return make_task(plan.task, base.contract, plan.segment_tokens - room, plan.names, plan.asked)


def _data(plan: MemoryTraining, base: Base, config: RmtConfig, task: Task, start: Stored | None) -> str:
    """What is learnt from and by whom: a training is not gone on with where either has changed."""
    chance = random.Random(0)  # noqa: S311 - reproducible is what is wanted
    digest = hashlib.sha256(json.dumps([asdict(base.identity), config.described(), plan.mixed_precision]).encode())
    if start is not None:
        digest.update(start.weights_sha256.encode())
    for _ in range(8):
        sample = sample_of(task, plan.segments[-1], chance)
        texts = [list(segment) for segment in sample.segments]
        digest.update(json.dumps([texts, list(sample.question), list(sample.answer), sample.told_by]).encode())
        for one in sample.others:
            digest.update(json.dumps([list(one.question), list(one.answer)]).encode())
    return digest.hexdigest()


def notes_of(
    plan: MemoryTraining, recipe: Recipe, start: Stored | None, about: Mapping[str, Any], size: str = "segments"
) -> Notes:
    """Return what makes a memory's notes: its plan, the memory that it began with, and the curve of its training."""

    def notes() -> Mapping[str, Any]:
        told = ("mode", "names", "curriculum", "rate", "seed", "mixed", "along", "asked", "rows")
        made = {**about, **{name: getattr(plan, name) for name in told}}
        if start is not None:
            made["start"] = {"weights_sha256": start.weights_sha256, "update": start.config.update, **start.notes}
        return made | curve(plan.out / LOG, recipe, size)

    return notes


def _refuse(where: str, what: str, remedy: str) -> None:
    raise UserError(what, where=where, remedy=remedy)


def _list(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
