"""How many key-value pairs a memory of fixed size holds: accuracy by pairs, and by how often or long it was written.

Each memory is asked the task that it was trained on: key-values, or associative retrieval.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rmtbench.analysis.stats.clustered import clustered_standard_error
from rmtbench.errors import UserError
from rmtbench.measure import synchroniser
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.gradient import reconstruction, windows_of
from rmtbench.rmt.key_value_recipe import PAIR_TASKS
from rmtbench.rmt.key_values import Pairs, PairTask, build_base, recall
from rmtbench.rmt.storage import Stored, from_pretrained, read_stored
from rmtbench.runs.provenance import surroundings

PUBLISHED = {"gradient": {"pairs": 96, "memory_tokens": 8, "accuracy": 0.884, "source": "arXiv:2603.13875"}}
"""What GradMem's paper reports for a model of 4 layers and width 128."""
TOGETHER = 1024
"""Pairs that are read side by side."""


def run(
    memories: Sequence[Path],
    *,
    pairs: Sequence[int],
    steps: Sequence[int],
    texts: int = 64,
    seed: int = 1,
    threads: int | None = None,
    device: str = "cpu",
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure memories that `rmtbench train rmt` has trained on pairs, those of one task on the same texts.

    Args:
        memories: Their folders.
        pairs: Of a text.
        steps: Gradient steps that write a text; of a memory that is written forward, how often it reads the text.
        texts: Of each number of pairs.
        seed: Decides the texts; trainings draw others.
        threads: CPU threads; None for torch's own choice.
        device: A torch device name.
        report: Told each row.

    Returns:
        `rows`: `memory`, `task`, `update`, `write`, `pairs`, `steps`, `accuracy` of values (all symbols right) with
        `standard_error`
        over texts, `nats` of a token of the text given the memory (None where it is written forward), `bytes` kept,
        `seconds` that writing a text took. `published`, and what measured.

    Raises:
        UserError: A folder holds no such memory, or a text does not fit its positions or has too many pairs.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    for folder in memories:
        for count in pairs:
            _task_of(folder).check(count, "--pairs")
    rows = []
    for folder in memories:
        stored, model = load(folder, device)
        task = _task_of(folder)
        for count in pairs:
            chance = random.Random(f"{seed}/{count}")  # noqa: S311 - reproducible is what is wanted
            drawn = task.draw(texts, count, chance)
            for number in steps:
                row = {
                    "memory": folder.name if folder.name != "model" else folder.resolve().parent.name,
                    "task": task.name,
                    "update": stored.config.update,
                    "write": stored.config.form.write,
                    "memory_tokens": stored.config.memory_tokens,
                    "trained_steps": stored.config.form.inner_steps if stored.config.by_gradient else 1,
                    **_measure(model, task, drawn, number),
                }
                report(f"{row['memory']}: {count} pairs, {number} steps: {row['accuracy']:.3f}")
                rows.append(row)
    return {"texts": texts, "seed": seed, "rows": rows, "published": PUBLISHED} | surroundings(device)


def load(folder: Path, device: str = "cpu") -> tuple[Stored, RecurrentDecoder]:
    """A trained memory on the base model that it was trained with.

    Raises:
        UserError: The folder holds no memory of pairs.
    """
    _task_of(folder)
    stored = read_stored(folder)
    base, identity = build_base(stored.base.id, int(stored.notes["seed"]))
    model = from_pretrained(folder, base.to(device), identity).eval()
    if not isinstance(model, RecurrentDecoder):  # pragma: no cover - the task has no other
        raise TypeError(type(model))
    return stored, model


def _task_of(folder: Path) -> PairTask:
    """The task that a memory was trained on.

    Raises:
        UserError: It is none of pairs.
    """
    name = str(read_stored(folder).notes.get("task"))
    if name not in PAIR_TASKS:
        raise UserError(
            f"this memory was trained on '{name}'",
            where=f"--memory {folder}",
            remedy=f"name one that `rmtbench train rmt --task {'|'.join(PAIR_TASKS)}` has written",
        )
    return PAIR_TASKS[name]


@torch.inference_mode()
def _measure(model: RecurrentDecoder, task: PairTask, drawn: Pairs, steps: int) -> dict[str, Any]:
    """One number of pairs, written in one number of steps."""
    config = model.config
    if config.by_gradient:
        model, times = model.with_form(replace(config.form, inner_steps=steps)), 1
    else:
        times = steps
    sync = synchroniser(str(model.device))
    right: list[list[float]] = []
    nats, seconds, kept = 0.0, 0.0, 0
    texts, count, length = drawn.written.shape
    together = max(1, TOGETHER // count)
    task.read(model, Pairs(drawn.written[:1], drawn.asked[:1]), times)  # the first call sets kernels up
    for some in (slice(first, first + together) for first in range(0, texts, together)):
        part = Pairs(drawn.written[some], drawn.asked[some])
        sync()
        began = time.perf_counter()
        memory = task.read(model, part, times)
        sync()
        seconds += time.perf_counter() - began
        kept = memory[0].nbytes
        right += recall(model, memory, part.asked, task.key_tokens)[1].float().tolist()
        if config.by_gradient:
            windows = windows_of(part.written.flatten(1).tolist(), config.form.window_tokens, model.device)
            nats += float(reconstruction(model, model.tokens_of(memory), windows)[0].sum())
    values = [value for text in right for value in text]
    return {
        "pairs": count,
        "steps": steps,
        "accuracy": sum(values) / len(values),
        "standard_error": clustered_standard_error(right),
        "nats": nats / (texts * count * length) if config.by_gradient else None,
        "bytes": kept,
        "seconds": seconds / texts,
    }
