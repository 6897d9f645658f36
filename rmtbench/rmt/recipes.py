"""From what a user asks to learn, to a recipe: a curriculum of more and more segments, promoted by accuracy."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from rmtbench.core import AnswerStyle
from rmtbench.errors import UserError
from rmtbench.models.embed_files import MINILM
from rmtbench.options.memory import MemoryForm
from rmtbench.plural import many
from rmtbench.rmt.associative import blocks_of
from rmtbench.rmt.bases import Base, load_base
from rmtbench.rmt.config import Kind, RmtConfig, Trained, Update
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.learning import AnswerFromMemory, ChooseFromMemory, cannot_be_told, close_task
from rmtbench.rmt.storage import Stored, start_from, wrap
from rmtbench.rmt.tasks.base import Sample, Task
from rmtbench.rmt.tasks.registry import BABILONG, make_task
from rmtbench.training.base import LOG, Objective, Promotion, Recipe, Stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Mode = Literal["memory", "query-first"]
FULL_ROWS_UP_TO = 8
"""Segments up to which a step has all rows; beyond, fewer, so that a step reads no more."""
LEAST_ROWS = 4
"""Rows that a step has at least, where the plan has so many, however many segments it then reads."""
JUDGED = 200
"""Rows, at least, of the steps that a promotion is decided by; those that were drawn shorter do not count in it."""
CLOSED = 32
"""Answers that an encoder chooses from, beside that none is told."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to learn, and how.

    Attributes:
        base: Base model, as for `load_base`.
        task: Name of the task.
        segments: Segments of a text, stage by stage, rising.
        steps: Most steps of each stage, or one number for all; the last stage takes all of its steps.
        curriculum: False begins with the last number of segments, with as many segments to read as all stages have.
        mode: ``query-first`` has the question follow the text of every segment, ``memory`` keeps it for the end.
        names: Which names the task's texts have: ``seen``, ``held-out`` or ``all``.
        segment_tokens: Most tokens of a segment, the question of query-first included.
        memory_tokens: Memory tokens.
        update: How memory is renewed.
        trained: Which weights train.
        backprop: How many segments a gradient goes back; None for all.
        rows: Rows a step, up to `FULL_ROWS_UP_TO` segments.
        rate: The highest learning rate.
        promote: Accuracy at which a stage but the last ends early; above 1 for never.
        mixed: Share of rows that are shorter than their stage's.
        along: Most earlier segments after which a row is asked too.
        asked: Most questions about a text at its end.
        style: Answer style.
        kind: Of the base model.
        seed: Decides all that is random.
        start: Folder of a trained memory whose weights the training begins with; None for a new memory.
        mixed_precision: Matrix products in bfloat16.
        form: How memory is written and kept.

    Raises:
        UserError: A number makes no sense.
    """

    base: str
    task: str
    segments: tuple[int, ...]
    steps: tuple[int, ...] = (300,)
    curriculum: bool = True
    mode: Mode = "memory"
    names: str = "seen"
    segment_tokens: int = 128
    memory_tokens: int = 16
    update: Update = "latched"
    trained: Trained = "all"
    backprop: int | None = None
    rows: int = 16
    rate: float = 1e-3
    promote: float = 0.98
    mixed: float = 0.3
    along: int = 2
    asked: int = 1
    style: AnswerStyle = "bridge"
    kind: Kind = "decoder"
    seed: int = 0
    start: Path | None = None
    mixed_precision: bool = True
    form: MemoryForm = MemoryForm()

    def __post_init__(self) -> None:
        if not self.segments or self.segments[0] < 1 or list(self.segments) != sorted(set(self.segments)):
            _refuse("--segments", f"{_list(self.segments)} do not rise from at least 1", "give rising ones: 1,2,4,8")
        if len(self.steps) not in (1, len(self.segments)) or min(self.steps) < 1:
            _refuse(
                "--steps",
                f"{_list(self.steps)} steps for {many(len(self.segments), 'stage')}",
                "give one number for all stages, or one for each, all at least 1",
            )
        if self.rows < 1:
            _refuse("--rows", f"{self.rows} rows a step", "give at least 1")
        if not 0 <= self.mixed <= 1:
            _refuse("--mixed", f"a share of {self.mixed}", "give one from 0 to 1")
        if self.along < 0:
            _refuse("--along", f"{self.along} segments", "give at least 0")
        if self.along and self.task.startswith(BABILONG):
            _refuse("--along", "rows of BABILong do not say where an answer begins to be known", "give --along 0")
        if not self.promote > 0:
            _refuse("--promote-at-accuracy", f"an accuracy of {self.promote}", "give one above 0, or above 1 for never")
        if not 0 < self.rate < math.inf:
            _refuse("--learning-rate", f"a rate of {self.rate}", "give a number above 0")


def make_recipe(plan: Plan, data: str = "") -> Recipe:
    """Lay the stages out. The rate stays at its height until the last one, and falls there to a twentieth.

    Args:
        plan: What to learn.
        data: Names what is learnt from.
    """
    steps = plan.steps * (len(plan.segments) if len(plan.steps) == 1 else 1)
    stages = [_stage(plan, segments, most) for segments, most in zip(plan.segments, steps, strict=True)]
    last = replace(stages[-1], promotion=None)
    if not plan.curriculum:
        read = sum(stage.steps * stage.settings["rows"] * stage.settings["segments"] for stage in stages)
        last = replace(last, steps=round(read / (last.settings["rows"] * last.settings["segments"])))
    stages = [*stages[:-1], last] if plan.curriculum else [last]
    return recipe_of(plan, stages, data)


def recipe_of(plan: Plan, stages: Sequence[Stage], data: str) -> Recipe:
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


def make_training(plan: Plan, out: Path, device: str = "cpu", *, fused: bool = False) -> tuple[Objective, Recipe]:
    """The objective and recipe behind ``rmtbench train rmt``.

    Args:
        plan: What to learn.
        out: The training's folder, whose log the notes of the exported memory are made from.
        device: A torch device name.
        fused: Whether layers are compiled, which needs a C++ compiler on the CPU and takes a minute at the start.

    Raises:
        UserError: The base model cannot be loaded or wrapped, there is no such task, it does not fit its segments,
            or the memory to start with is of another base model or has other weights.
    """
    kind: Kind = "encoder" if plan.base == MINILM else plan.kind
    base = load_base(plan.base, kind, device, style=plan.style, seed=plan.seed)
    config = RmtConfig(
        kind=kind,
        segment_tokens=plan.segment_tokens,
        memory_tokens=plan.memory_tokens,
        backprop_segments=plan.backprop,
        trained=plan.trained,
        update="overwrite" if plan.form.write == "gradient" else plan.update,
        special_ids=base.special_ids,
        seed=plan.seed,
        form=plan.form,
    )
    if fused and config.by_gradient:
        _refuse("--fused", "compiled layers have no second derivative", "leave it out")
    model = wrap(base.model, config, base.identity)
    start = start_from(plan.start, model) if plan.start else None
    if device == "cpu" or (config.by_gradient and not plan.form.first_order):
        # The fused kernels' backward is slow on short segments there, and cannot be differentiated anywhere.
        base.model.set_attn_implementation("eager")
    if fused:
        _fuse(base.model)
    learnt = _make_task(plan, base)
    recipe = make_recipe(plan, _data(plan, base, config, learnt, start))

    def notes() -> Mapping[str, Any]:
        # The task's own name holds no path of this machine, and an encoder has its own style.
        told = {"task": learnt.name, "style": base.contract.style, **described(plan)}
        if start is not None:
            told["start"] = {"weights_sha256": start.weights_sha256, "update": start.config.update, **start.notes}
        return told | curve(out / LOG, recipe)

    if isinstance(model, RecurrentDecoder):
        return AnswerFromMemory(model, learnt, notes, mixed_precision=plan.mixed_precision), recipe
    closed = close_task(learnt, plan.segments[-1], CLOSED, random.Random(plan.seed))  # noqa: S311 - reproducible
    return ChooseFromMemory(model, closed, notes, mixed_precision=plan.mixed_precision), recipe


def curve(log: Path, recipe: Recipe, size: str = "segments") -> dict[str, Any]:
    """What a training's log says of its stages: how many steps each took, and how accurate it was at its end.

    An accuracy is that which promoted, else the mean of the stage's last five lines.

    Args:
        log: The log.
        recipe: The training's.
        size: The setting that tells its stages apart.
    """
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    stages, begin = [], 0
    for stage, end in recipe.ends():
        own = [line for line in lines if line["stage"] == stage.name]
        figures = [line["metrics"]["accuracy"] for line in own[-5:] if "accuracy" in line["metrics"]]
        if own:
            stages.append(
                {
                    size: int(stage.settings[size]),
                    "steps": own[-1]["step"] - begin,
                    "accuracy": round(own[-1].get("promoted", sum(figures) / max(1, len(figures))), 4),
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


def _stage(plan: Plan, segments: int, steps: int) -> Stage:
    rows = max(min(LEAST_ROWS, plan.rows), min(plan.rows, plan.rows * FULL_ROWS_UP_TO // segments))
    settings = {
        "segments": segments,
        "rows": rows,
        "mixed": plan.mixed,
        "along": plan.along,
        "query_first": plan.mode == "query-first",
    }
    rule = Promotion("accuracy", plan.promote, math.ceil(JUDGED / rows)) if plan.promote <= 1 else None
    return Stage(f"{segments} segment{'s' * (segments > 1)}", steps, settings, rule)


def _make_task(plan: Plan, base: Base) -> Task:
    """The task by its name, its segments shortened by the longest of many questions where these follow the text."""
    task = make_task(plan.task, base.contract, plan.segment_tokens, plan.names, plan.asked)
    if plan.mode == "memory":
        return task
    chance = random.Random(plan.seed)  # noqa: S311 - reproducible is what is wanted
    room = max(len(_sample(plan, task, chance).question) for _ in range(300))
    if plan.segment_tokens < 2 * room:
        _refuse(
            "--segment-tokens",
            f"questions of up to {room} tokens leave too little of a segment of {plan.segment_tokens} to its text",
            f"lengthen the segments to at least {2 * room}",
        )
    return make_task(plan.task, base.contract, plan.segment_tokens - room, plan.names, plan.asked)


def _sample(plan: Plan, task: Task, chance: random.Random) -> Sample:
    """A sample of the last stage's length."""
    try:
        return task.sample(plan.segments[-1], chance)
    except ValueError as error:
        raise cannot_be_told(task, plan.segments[-1], error) from error


def _data(plan: Plan, base: Base, config: RmtConfig, task: Task, start: Stored | None) -> str:
    """What is learnt from and by whom: a training is not gone on with where either has changed."""
    chance = random.Random(0)  # noqa: S311 - reproducible is what is wanted
    digest = hashlib.sha256(json.dumps([asdict(base.identity), config.described(), plan.mixed_precision]).encode())
    if start is not None:
        digest.update(start.weights_sha256.encode())
    for _ in range(8):
        sample = _sample(plan, task, chance)
        texts = [list(segment) for segment in sample.segments]
        digest.update(json.dumps([texts, list(sample.question), list(sample.answer), sample.told_by]).encode())
        for one in sample.others:
            digest.update(json.dumps([list(one.question), list(one.answer)]).encode())
    return digest.hexdigest()


def described(plan: Plan) -> dict[str, Any]:
    """What a memory's notes say of its plan."""
    fields = ("mode", "names", "curriculum", "rate", "seed", "mixed", "along", "asked", "rows")
    return {name: getattr(plan, name) for name in fields}


def _fuse(model: PreTrainedModel) -> None:
    """Compile each layer by itself: the model's code around them stays as it is."""
    for layer in blocks_of(model):
        layer.forward = torch.compile(layer.forward, dynamic=True)


def _refuse(where: str, what: str, remedy: str) -> None:
    raise UserError(what, where=where, remedy=remedy)


def _list(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
