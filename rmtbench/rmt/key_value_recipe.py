"""From a plan to a training, those of key-value pairs included: their stages are numbers of pairs in one text."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping

from rmtbench.errors import UserError
from rmtbench.models.load import choose_device
from rmtbench.options import flag
from rmtbench.options.declare import refuse_given
from rmtbench.options.training import MemoryTraining
from rmtbench.rmt.associative_retrieval import ASSOCIATIVE_RETRIEVAL, REWRITE
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.key_values import KEY_VALUE_TASK, PairTask, RecallPairs, build_base
from rmtbench.rmt.recipes import check_plan, config_of, notes_of, recipe_of, stages_of
from rmtbench.rmt.recipes import make_training as make_usual
from rmtbench.rmt.storage import start_from
from rmtbench.training.base import Objective, Recipe

FULL_ROWS_UP_TO = 16
"""Pairs up to which a step has all rows; beyond, fewer, so that a step reads no more."""
PAIR_TASKS: Mapping[str, PairTask] = {each.name: each for each in (KEY_VALUE_TASK, ASSOCIATIVE_RETRIEVAL, REWRITE)}
"""By name."""
UNUSED = ("kind", "mode", "names", "along", "asked", "style", "fused")
"""Options that have no effect on these tasks."""
JUDGED_STEPS = 20
"""Steps by which a promotion is decided."""


def make_training(plan: MemoryTraining) -> tuple[Objective, Recipe]:
    """The objective and recipe behind ``rmtbench train rmt``.

    Raises:
        UserError: As `rmtbench.rmt.recipes.make_training`; or the base model does not know the symbols of pairs.
    """
    task = PAIR_TASKS.get(plan.task)
    if task is None:
        return make_usual(plan)
    check_plan(plan)
    why = f"for {task.name}: a decoder reads it, and every pair is asked for at its end"
    refuse_given(plan, UNUSED, why, "leave it out")
    base, identity = build_base(plan.base, plan.seed)
    config = config_of(plan, "decoder")
    model = RecurrentDecoder(base.to(choose_device(plan.device)), config, identity)
    start = start_from(plan.start, model) if plan.start else None
    begun = None if start is None else start.weights_sha256
    recipe = make_recipe(plan, _data(plan, task, config, identity.weights_sha256, begun))
    notes = notes_of(plan, recipe, start, {"task": task.name}, "pairs")
    return RecallPairs(model, notes, task=task, mixed_precision=plan.mixed_precision), recipe


def make_recipe(plan: MemoryTraining, data: str) -> Recipe:
    """Lay the stages out: `plan.segments` counts pairs.

    Args:
        plan: What to learn.
        data: Names what is learnt from.
    """
    stages = stages_of(plan, "pair", FULL_ROWS_UP_TO, {"mixed": plan.mixed}, lambda _rows: JUDGED_STEPS)
    return recipe_of(plan, stages, data)


def _data(plan: MemoryTraining, task: PairTask, config: RmtConfig, weights: str, start: str | None) -> str:
    """What is learnt from and by whom: a training is not gone on with where either has changed."""
    size = task.pair_tokens
    task.check(plan.segments[-1], flag.segments)
    if task.apart and plan.segment_tokens < size:
        raise UserError(
            f"a pair of {size} tokens exceeds a segment of {plan.segment_tokens}",
            where=flag.segment_tokens,
            remedy=f"give at least {size}",
        )
    if not task.apart and plan.segment_tokens % size:
        raise UserError(
            f"segments of {plan.segment_tokens} tokens cut pairs of {size} in two",
            where=flag.segment_tokens,
            remedy=f"give a multiple of {size}, such as {size * plan.segments[-1]} for all pairs in one segment",
        )
    pairs = task.draw(2, plan.segments[-1], random.Random(0)).written.tolist()  # noqa: S311 - reproducible is wanted
    told = [weights, start, config.described(), plan.mixed_precision, pairs]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
