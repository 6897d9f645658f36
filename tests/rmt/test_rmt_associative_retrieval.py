"""Associative retrieval: one pair a segment, keys once or again, and two kinds of memory of the same bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from experiments.benches.key_values import run
from rmtbench.options.training import MemoryTraining
from rmtbench.rmt.associative_retrieval import ASSOCIATIVE_RETRIEVAL, REWRITE, VALUES
from rmtbench.rmt.key_value_recipe import make_training
from rmtbench.rmt.key_values import SYMBOLS, PairTask, recall
from rmtbench.rmt.walk import read_rows
from rmtbench.training.loop import train

TASKS = (ASSOCIATIVE_RETRIEVAL, REWRITE)
PLAIN = 2 + 1 * (12 + 1)
"""Memory tokens of a plain memory as large as the per-layer one: its 2, and 12 features and their amounts a layer."""


def plan_of(task: PairTask, update: str, out: Path) -> MemoryTraining:
    apart = {"memory_tokens": 2, "associative_keys": 2} if update == "per-layer" else {}
    settings = {"memory_tokens": PLAIN, "segment_tokens": 16, "rows": 4, "mixed_precision": False, **apart}
    return MemoryTraining(
        out=out,
        base="random:1x32",
        task=task.name,
        segments=(1, 3),
        steps=(2,),
        update=update,
        device="cpu",
        **settings,
    )


def test_a_key_is_a_symbol_and_a_value_another() -> None:
    drawn = ASSOCIATIVE_RETRIEVAL.draw(3, 20, random.Random(0))
    assert torch.equal(drawn.written, drawn.asked)
    assert drawn.written.shape == (3, 20, 2)
    for text in drawn.written.tolist():
        assert len({key for key, _ in text}) == 20
        assert all(key < SYMBOLS <= value < SYMBOLS + VALUES for key, value in text)


@pytest.mark.parametrize("pairs", [1, 2, 7, 20])
def test_of_a_key_that_is_written_again_the_last_pair_is_asked(pairs: int) -> None:
    drawn = REWRITE.draw(5, pairs, random.Random(0))
    assert drawn.written.shape == (5, pairs, 2)
    for written, asked in zip(drawn.written.tolist(), drawn.asked.tolist(), strict=True):
        assert dict(written) == dict(asked)
        assert len(asked) == len(dict(written)) == -(-pairs // 2)


def test_each_pair_is_a_segment(tmp_path: Path) -> None:
    model = make_training(plan_of(REWRITE, "overwrite", tmp_path))[0].module.eval()
    drawn = REWRITE.draw(2, 4, random.Random(0))
    with torch.inference_mode():
        assert torch.equal(REWRITE.read(model, drawn), read_rows(model, drawn.written.tolist()))


@pytest.mark.parametrize("update", ["associative", "per-layer"])
def test_answers_read_the_associations(update: str, tmp_path: Path) -> None:
    model = make_training(plan_of(ASSOCIATIVE_RETRIEVAL, update, tmp_path))[0].module.eval()
    with torch.no_grad():
        model.associations.layers[0].value.weight.normal_(std=0.5)
    drawn = ASSOCIATIVE_RETRIEVAL.draw(2, 3, random.Random(0))
    with torch.inference_mode():
        memory = ASSOCIATIVE_RETRIEVAL.read(model, drawn)
        without = memory.clone()
        without[:, model.config.memory_tokens :] = 0
        nats = [float(recall(model, each, drawn.asked, 1)[0]) for each in (memory, without)]
    assert abs(nats[0] - nats[1]) > 1e-3


def test_two_kinds_of_memory_of_equal_bytes_are_measured(tmp_path: Path) -> None:
    folders = []
    for task in TASKS:
        for update in ("per-layer", "overwrite"):
            out = tmp_path / f"{task.name}-{update}"
            objective, recipe = make_training(plan_of(task, update, out))
            train(objective, recipe, out, lambda _: None)
            folders.append(out / "model")
    rows = run(folders, pairs=(1, 4), steps=(1,), texts=3)["rows"]
    assert {row["bytes"] for row in rows} == {PLAIN * 32 * 4}
    assert [(row["task"], row["update"]) for row in rows[::2]] == [
        (task.name, update) for task in TASKS for update in ("per-layer", "overwrite")
    ]
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
