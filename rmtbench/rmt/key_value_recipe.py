"""From a plan to a training, those of key-value pairs included: their stages are numbers of pairs in one text."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmtbench.errors import UserError
from rmtbench.rmt.associative_retrieval import ASSOCIATIVE_RETRIEVAL, REWRITE
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.key_values import KEY_VALUE_TASK, PairTask, RecallPairs, build_base
from rmtbench.rmt.recipes import LEAST_ROWS, Plan, curve, described, recipe_of
from rmtbench.rmt.recipes import make_training as make_usual
from rmtbench.rmt.storage import start_from
from rmtbench.training.base import LOG, Objective, Promotion, Recipe, Stage

FULL_ROWS_UP_TO = 16
"""Pairs up to which a step has all rows; beyond, fewer, so that a step reads no more."""
PAIR_TASKS: Mapping[str, PairTask] = {each.name: each for each in (KEY_VALUE_TASK, ASSOCIATIVE_RETRIEVAL, REWRITE)}
"""By name."""
JUDGED_STEPS = 20
"""Steps by which a promotion is decided."""


def make_training(plan: Plan, out: Path, device: str = "cpu", *, fused: bool = False) -> tuple[Objective, Recipe]:
    """The objective and recipe behind ``rmtbench train rmt``; arguments as for `rmtbench.rmt.recipes.make_training`.

    Raises:
        UserError: As there; or the base model does not know the symbols of pairs.
    """
    task = PAIR_TASKS.get(plan.task)
    if task is None:
        return make_usual(plan, out, device, fused=fused)
    if plan.kind != "decoder" or plan.mode != "memory" or plan.asked != 1 or fused:
        raise UserError(
            f"{task.name} is read by a decoder and every pair is asked for at its end",
            where="--task",
            remedy="leave --kind, --mode, --asked and --fused out",
        )
    base, identity = build_base(plan.base, plan.seed)
    config = RmtConfig(
        kind="decoder",
        segment_tokens=plan.segment_tokens,
        memory_tokens=plan.memory_tokens,
        backprop_segments=plan.backprop,
        trained=plan.trained,
        update="overwrite" if plan.form.write == "gradient" else plan.update,
        seed=plan.seed,
        form=plan.form,
    )
    model = RecurrentDecoder(base.to(device), config, identity)
    start = start_from(plan.start, model) if plan.start else None
    begun = None if start is None else start.weights_sha256
    recipe = make_recipe(plan, _data(plan, task, config, identity.weights_sha256, begun))

    def notes() -> Mapping[str, Any]:
        told = {"task": task.name, **described(plan), **curve(out / LOG, recipe, "pairs")}
        return told if start is None else {**told, "start": {"weights_sha256": start.weights_sha256, **start.notes}}

    return RecallPairs(model, notes, task=task, mixed_precision=plan.mixed_precision), recipe


def make_recipe(plan: Plan, data: str) -> Recipe:
    """Lay the stages out: `Plan.segments` counts pairs.

    Args:
        plan: What to learn.
        data: Names what is learnt from.
    """
    most = plan.steps * (len(plan.segments) if len(plan.steps) == 1 else 1)
    rule = Promotion("accuracy", plan.promote, JUDGED_STEPS) if plan.promote <= 1 else None
    stages = [
        Stage(
            f"{pairs} pair{'s' * (pairs > 1)}",
            steps,
            {"pairs": pairs, "rows": _rows(plan.rows, pairs), "mixed": plan.mixed},
            rule,
        )
        for pairs, steps in zip(plan.segments, most, strict=True)
    ]
    stages = stages if plan.curriculum else stages[-1:]
    return recipe_of(plan, [*stages[:-1], replace(stages[-1], promotion=None)], data)


def _rows(rows: int, pairs: int) -> int:
    return max(min(LEAST_ROWS, rows), min(rows, rows * FULL_ROWS_UP_TO // pairs))


def _data(plan: Plan, task: PairTask, config: RmtConfig, weights: str, start: str | None) -> str:
    """What is learnt from and by whom: a training is not gone on with where either has changed."""
    size = task.pair_tokens
    if not task.apart and plan.segment_tokens % size:
        raise UserError(
            f"segments of {plan.segment_tokens} tokens cut pairs of {size} in two",
            where="--segment-tokens",
            remedy=f"give a multiple of {size}, such as {size * plan.segments[-1]} for all pairs in one segment",
        )
    pairs = task.draw(2, plan.segments[-1], random.Random(0)).written.tolist()  # noqa: S311 - reproducible is wanted
    told = [weights, start, config.described(), plan.mixed_precision, pairs]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
