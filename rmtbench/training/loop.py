"""The one training loop. Each step's random numbers come from the recipe's seed and the step's number alone.

So a resumed training draws the very batches of an uninterrupted one, and ends in the same weights, bit for bit on one
machine, with no random state to save.
"""

from __future__ import annotations

import hashlib
import math
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

from rmtbench.errors import UserError, disk_errors
from rmtbench.journal.lock import only_writer
from rmtbench.options import flag
from rmtbench.training import log
from rmtbench.training.base import CHECKPOINT, LOG, MODEL, Objective, Progress, Recipe, Stage, Trained
from rmtbench.training.checkpoint import LogSums, State, replaced, restore, save
from rmtbench.training.optimizers import make_optimizers, rate_at


def train(
    objective: Objective,
    recipe: Recipe,
    out: Path,
    report: Callable[[Progress], None],
    *,
    checkpoint_every_seconds: float = 120.0,
    log_every: int = 10,
) -> Trained:
    """Train to the recipe's end, from the last checkpoint where there is one.

    Args:
        objective: What is learnt; its module is changed in place.
        recipe: How.
        out: Gets ``checkpoint/``, ``log.jsonl``, the snapshots and ``model/``.
        report: Told every step.
        checkpoint_every_seconds: An ending by force costs at most the steps of so many seconds.
        log_every: Steps between two lines of the log; a stage's last step has one too.

    Returns:
        The finished training; of a finished one nothing is done again.

    Raises:
        UserError: The checkpoint in `out` is of another recipe or damaged, another process trains there, or the loss is
            not a number.
        KeyboardInterrupt: Interrupted; a checkpoint of the last whole step is written.
    """
    with disk_errors(out, flag.out):
        out.mkdir(parents=True, exist_ok=True)
    with only_writer(out / ".lock", "this training", flag.out):
        return _train(_Training(objective, recipe, out, log_every), report, checkpoint_every_seconds)


def _train(training: _Training, report: Callable[[Progress], None], checkpoint_every_seconds: float) -> Trained:
    objective, recipe, out = training.objective, training.recipe, training.out
    began, saved_at = training.taken, time.monotonic()
    try:
        for stage, end in recipe.ends():
            objective.module.train()
            while training.state.step < end:
                with _interrupts_held():
                    progress = training.advance(stage, end)
                report(progress)
                if time.monotonic() - saved_at >= checkpoint_every_seconds:
                    training.save()
                    saved_at = time.monotonic()
            if stage.name in recipe.snapshots:
                training.export(recipe.snapshots[stage.name])
        training.export(MODEL)
    except KeyboardInterrupt:
        training.save()
        raise
    state = training.state
    return Trained(training.taken, state.seconds, state.tokens, out / MODEL, training.taken - began)


class _Training:
    """What the steps of one call share."""

    def __init__(self, objective: Objective, recipe: Recipe, out: Path, log_every: int) -> None:
        self.objective, self.recipe, self.out, self._log_every = objective, recipe, out, log_every
        self._parameters = [each for each in objective.module.parameters() if each.requires_grad]
        self._optimizers = make_optimizers(objective.module, recipe.learning_rate)
        restored = restore(out / CHECKPOINT, recipe, objective.module, self._optimizers)
        self.state = restored or State()
        self._kept = self.state.step if restored else None
        self._speed = _Speed()
        log.cut_back(out / LOG, self.state.step)

    @property
    def taken(self) -> int:
        """Steps done in all, by this call and those before."""
        return self.state.step - self.state.skipped

    def advance(self, stage: Stage, end: int) -> Progress:
        """Take one step, which may be the stage's last. Nothing is changed before its loss is known to be a number."""
        began, state, total = time.perf_counter(), self.state, self.recipe.steps
        seed = _seed(self.recipe.seed, state.step)
        torch.manual_seed(seed)
        try:
            batch = self.objective.sample(stage, random.Random(seed))  # noqa: S311 - reproducible is what is wanted
        except UserError:
            self.save()  # nothing is wrong with what was learnt so far
            raise
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        loss, metrics, tokens = self.objective.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self.recipe.gradient_clip)
        # Both at once: the device is waited for one time a step.
        value, size = torch.stack((loss.detach().float(), norm.detach().float())).tolist()
        if not (math.isfinite(value) and math.isfinite(size)):
            raise self._not_a_number(stage, value, size)
        rate = rate_at(self.recipe, state.step)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        seconds = time.perf_counter() - began
        state.step += 1
        state.tokens += tokens
        state.seconds += seconds
        state.window.add(value, size, metrics, tokens, seconds)
        promoted = _promoted(state, stage, metrics)
        if state.step % self._log_every == 0 or state.step == end or promoted is not None:
            log.append(self.out / LOG, log.line(state, total, stage.name, rate, promoted))
            state.window = LogSums()
        if promoted is not None:
            state.skipped += end - state.step
            state.step = end
        if state.step == end:
            state.recent = []
        self._speed.add(tokens, seconds)
        left = (total - state.step) * self._speed.seconds
        return Progress(
            state.step, total, stage.name, value, metrics, self._speed.tokens / max(self._speed.seconds, 1e-9), left
        )

    def save(self) -> None:
        """Write a checkpoint of the last whole step."""
        with _interrupts_held():
            save(self.out / CHECKPOINT, self.recipe, self.objective.module, self._optimizers, self.state)
            self._kept = self.state.step

    def export(self, name: str) -> None:
        """Write the model under `name`, once; a folder that somebody removed is written again if it still can be."""
        if name in self.state.exported and (name != MODEL or (self.out / MODEL).exists()):
            return
        with disk_errors(self.out / name, flag.out), replaced(self.out / name) as folder:
            self.objective.export(folder)
        self.state.exported = sorted({*self.state.exported, name})
        self.save()

    def _not_a_number(self, stage: Stage, loss: float, norm: float) -> UserError:
        kept = "no checkpoint was written yet" if self._kept is None else f"the checkpoint of step {self._kept} is kept"
        return UserError(
            f"step {self.state.step + 1} of {self.recipe.steps} (stage {stage.name}) has loss {loss} "
            f"and gradient norm {norm}; {kept}",
            where=str(self.out),
            remedy="give the same command again to resume; if it comes again, use a recipe with a lower learning rate "
            f"and another {flag.out}",
        )


def _promoted(state: State, stage: Stage, metrics: Mapping[str, float]) -> float | None:
    """Count a step for its stage's promotion; the mean that reaches its threshold, else None."""
    rule = stage.promotion
    if rule is None or rule.metric not in metrics:
        return None
    state.recent = [*state.recent, float(metrics[rule.metric])][-rule.steps :]
    mean = sum(state.recent) / len(state.recent)
    return mean if len(state.recent) == rule.steps and mean >= rule.threshold else None


class _Speed:
    """Seconds and tokens of a step: a mean over the first twenty, then one that forgets."""

    def __init__(self) -> None:
        self.steps, self.tokens, self.seconds = 0, 0.0, 0.0

    def add(self, tokens: int, seconds: float) -> None:
        self.steps += 1
        weight = 1 / min(self.steps, 20)
        self.tokens += weight * (tokens - self.tokens)
        self.seconds += weight * (seconds - self.seconds)


def _seed(seed: int, step: int) -> int:
    """A seed for one step, unlike its neighbours'."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{step}".encode()).digest()[:7], "big")


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let a signal wait for the end of the block: half a step, or half a checkpoint, is none."""
    came: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to the main thread alone
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in before:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
