"""Key-value pairs: the texts, what counts as right, and a training that resumes to the bit, saves and is measured."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.benches.key_values import load, run
from experiments.benches.tables import key_values_table
from rmtbench.errors import UserError
from rmtbench.models.decode import greedy
from rmtbench.options.training import MemoryTraining
from rmtbench.rmt.key_value_recipe import make_recipe, make_training
from rmtbench.rmt.key_values import KEY_VALUE_TASK, PAIR, SYMBOLS, RecallPairs, build_base, draw_pairs, recall
from rmtbench.rmt.storage import read_stored
from rmtbench.training.base import Progress
from rmtbench.training.loop import train

PLAN = MemoryTraining(
    out=Path(), base="random:1x32", task="key-values", segments=(1, 2), steps=(3,), segment_tokens=2 * PAIR,
    memory_tokens=2, rows=4, update="overwrite", mixed_precision=False, device="cpu",
)  # fmt: skip
GRADIENT = {"write": "gradient", "inner_steps": 2, "window_tokens": PAIR}
FORMS = {"gradient": GRADIENT, "forward": {}, "accumulate": {**GRADIENT, "memory": "accumulate"}}


def of(name: str, out: Path = PLAN.out, **changes) -> MemoryTraining:
    return replace(PLAN, out=out, **FORMS[name], **changes)


def test_texts_hold_distinct_keys_and_values_of_other_symbols() -> None:
    texts = draw_pairs(3, 96, random.Random(0)).written
    assert texts.shape == (3, 96, PAIR)
    for text in texts.tolist():
        assert len({tuple(pair[:2]) for pair in text}) == 96
        assert all(0 <= symbol < SYMBOLS for pair in text for symbol in pair[:2])
        assert all(SYMBOLS <= symbol < 2 * SYMBOLS for pair in text for symbol in pair[2:])
    assert torch.equal(texts, draw_pairs(3, 96, random.Random(0)).written)
    assert not torch.equal(texts, draw_pairs(3, 96, random.Random(1)).written)


@pytest.mark.parametrize("name", FORMS)
def test_a_value_is_right_if_greedy_decoding_writes_it(name: str) -> None:
    model = make_training(of(name))[0].module.eval()
    assert not isinstance(model, RecallPairs)
    drawn = draw_pairs(2, 8, random.Random(0))
    pairs = drawn.written
    with torch.inference_mode():
        memory = KEY_VALUE_TASK.read(model, drawn)
        prompts = model.prompts(memory.repeat_interleave(8, 0), pairs.flatten(0, 1)[:, :2].tolist(), 2)
        written = [row.ids for row in greedy(prompts, 16, lambda _: None, 2)]
        told = torch.tensor(written).view(2, 8, 2)
        assert recall(model, memory, torch.cat([pairs[:, :, :2], told], -1))[1].all(), "its own answers"
        other = (told - SYMBOLS + 1) % SYMBOLS + SYMBOLS
        assert not recall(model, memory, torch.cat([pairs[:, :, :2], other], -1))[1].any()


def trained(plan: MemoryTraining, stop: int = 0) -> dict[str, torch.Tensor]:
    objective, recipe = make_training(plan)

    def report(progress: Progress) -> None:
        if progress.step == stop:
            raise KeyboardInterrupt

    train(objective, recipe, plan.out, report)
    return objective.module.state_dict()


@pytest.mark.parametrize("name", FORMS)
def test_an_interrupted_training_ends_in_the_same_weights(name: str, tmp_path: Path) -> None:
    whole = trained(of(name, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        trained(of(name, tmp_path / "parts"), stop=4)
    parts = trained(of(name, tmp_path / "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    lines = [(tmp_path / each / "log.jsonl").read_text().splitlines() for each in ("whole", "parts")]
    assert [json.loads(line)["loss"] for line in lines[0]] == [json.loads(line)["loss"] for line in lines[1]]


def test_a_loaded_memory_recalls_what_the_trained_one_does(tmp_path: Path) -> None:
    folders = []
    for name in ("gradient", "forward"):
        objective, recipe = make_training(of(name, tmp_path / name))
        train(objective, recipe, tmp_path / name, lambda _: None)
        stored, back = load(tmp_path / name / "model")
        folders.append(tmp_path / name / "model")
        pairs, ours = draw_pairs(3, 4, random.Random(5)), objective.module.eval()
        with torch.inference_mode():
            memories = [KEY_VALUE_TASK.read(model, pairs) for model in (ours, back)]
            assert torch.equal(*memories)
            assert torch.equal(recall(ours, memories[0], pairs.asked)[1], recall(back, memories[1], pairs.asked)[1])
        assert stored.notes["stages"] == read_stored(folders[-1]).notes["stages"]
        assert [stage["pairs"] for stage in stored.notes["stages"]] == [1, 2]
    figures = run(folders, pairs=(1, 4), steps=(1, 3), texts=3)
    assert [(row["memory"], row["pairs"], row["steps"]) for row in figures["rows"]] == [
        (name, pairs, steps) for name in ("gradient", "forward") for pairs in (1, 4) for steps in (1, 3)
    ]
    assert {row["bytes"] for row in figures["rows"]} == {2 * 32 * 4}
    assert all(0 <= row["accuracy"] <= 1 and row["seconds"] > 0 for row in figures["rows"])
    assert [row["nats"] is None for row in figures["rows"]] == [False] * 4 + [True] * 4
    table = key_values_table(json.loads(json.dumps(figures)))
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_stages_count_pairs_and_read_no_more_as_they_grow() -> None:
    plan = replace(of("gradient"), segments=(4, 16, 32, 96), steps=(5,), rows=64)
    stages = make_recipe(plan, "").stages
    assert [(stage.name, stage.settings["rows"]) for stage in stages] == [
        ("4 pairs", 64), ("16 pairs", 64), ("32 pairs", 32), ("96 pairs", 10)
    ]  # fmt: skip
    assert [stage.promotion is None for stage in stages] == [False, False, False, True]
    objective = RecallPairs(make_training(plan)[0].module)
    drawn, full = objective.sample(stages[2], random.Random(0))
    pairs = drawn.written
    assert pairs.shape == (32, 32 if full else pairs.shape[1], PAIR)
    assert {objective.sample(stages[2], random.Random(seed))[1] for seed in range(20)} == {True, False}


def test_without_curriculum_as_much_is_read_in_last_stage_alone() -> None:
    plan = replace(of("forward"), segments=(4, 16, 32, 96), steps=(40,), rows=64)
    whole, alone = make_recipe(plan, ""), make_recipe(replace(plan, curriculum=False), "")
    assert [stage.settings["pairs"] for stage in alone.stages] == [96]
    read = [
        sum(stage.steps * stage.settings["rows"] * stage.settings["pairs"] for stage in recipe.stages)
        for recipe in (whole, alone)
    ]
    assert read[1] == pytest.approx(read[0], rel=0.01)


def test_a_stage_without_a_text_of_its_length_has_no_accuracy(tmp_path: Path) -> None:
    plan = of("forward", tmp_path, mixed=1.0)
    trained(plan)
    notes = read_stored(tmp_path / "model").notes
    assert notes["stages"][0]["accuracy"] is not None, "a text of one pair cannot be shorter"
    assert (notes["stages"][1]["accuracy"], notes["accuracy"]) == (None, None)


@pytest.mark.parametrize(
    ("task", "most"), [("key-values", 3844), ("associative-retrieval", 62), ("associative-retrieval-rewrite", 124)]
)
def test_more_pairs_than_keys_are_refused(task: str, most: int) -> None:
    make_training(of("forward", task=task, segments=(most,)))
    with pytest.raises(
        UserError, match=f"{most + 1:,} pairs in a text of {task}, which has {most:,} at most"
    ) as caught:
        make_training(of("forward", task=task, segments=(1, most + 1)))
    assert caught.value.where == "--segments"


def test_a_pair_that_is_a_segment_has_to_fit_it() -> None:
    plan = of("forward", task="associative-retrieval", segment_tokens=1, memory_tokens=1)
    with pytest.raises(UserError, match="a pair of 2 tokens exceeds a segment of 1"):
        make_training(plan)


@pytest.mark.parametrize(
    ("changes", "where", "said"),
    [
        ({"base": "random:tiny"}, "--base", "does not know the symbols of key-values"),
        ({"base": "random:4x100"}, "--base", "does not know the symbols of key-values"),
        ({"segment_tokens": 10}, "--segment-tokens", "cut pairs of 4 in two"),
        ({"asked": 2}, "--asked", "every pair is asked for at its end"),
        ({"kind": "encoder"}, "--kind", "a decoder reads it"),
        ({"names": "all"}, "--names", "every pair is asked for at its end"),
        ({"along": 3}, "--along", "every pair is asked for at its end"),
        ({"style": "direct"}, "--answer-style", "every pair is asked for at its end"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict, where: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        make_training(of("gradient", **changes))
    assert caught.value.where == where


def test_the_bench_refuses_a_memory_of_another_task(tmp_path: Path) -> None:
    objective, recipe = make_training(of("forward", tmp_path))
    train(objective, recipe, tmp_path, lambda _: None)
    path = tmp_path / "model" / "rmt.json"
    path.write_text(path.read_text().replace('"task": "key-values"', '"task": "detect"'))
    with pytest.raises(UserError, match="this memory was trained on 'detect'"):
        load(tmp_path / "model")


def test_the_bench_refuses_more_pairs_than_there_are_keys(tmp_path: Path) -> None:
    plan = of("forward", tmp_path, task="associative-retrieval")
    trained(plan)
    with pytest.raises(UserError, match="64 pairs in a text of associative-retrieval, which has 62") as caught:
        run([tmp_path / "model"], pairs=(4, 64), steps=(1,), texts=2)
    assert caught.value.where == "--pairs"


def test_the_papers_geometry_is_four_layers_of_width_128() -> None:
    model, identity = build_base("random:4x128", 0)
    shape = model.config
    assert (shape.n_layer, shape.n_embd, shape.n_head, shape.vocab_size) == (4, 128, 4, 2 * SYMBOLS)
    assert identity.weights_sha256 == build_base("random:4x128", 0)[1].weights_sha256
    assert identity.weights_sha256 != build_base("random:4x128", 1)[1].weights_sha256
