"""The loop learns, and an interruption at any step leaves no trace in weights, log or exports."""

from __future__ import annotations

import json
import math
import os
import random
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from rmtbench.errors import UserError
from rmtbench.journal.lock import only_writer
from rmtbench.training.base import Recipe, Stage
from rmtbench.training.loop import train
from rmtbench.training.optimizers import make_optimizers, rate_at

RECIPE = Recipe(
    name="sine",
    stages=(Stage("short", 12, {"rows": 16}), Stage("long", 18, {"rows": 32})),
    learning_rate=0.02,
    warmup_steps=4,
    decay_from=0.5,
    floor=0.1,
    seed=3,
    snapshots={"short": "base"},
)


class Sine:
    """Two layers with dropout, so that torch's random numbers count too, learning a fixed function."""

    def __init__(self, at=lambda step: None) -> None:
        torch.manual_seed(0)
        layers = (torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Dropout(0.05), torch.nn.Linear(32, 1))
        self.module = torch.nn.Sequential(*layers)
        self.at, self.calls = at, 0

    def sample(self, stage, chance):
        rows = [[chance.uniform(-1, 1), chance.uniform(-1, 1)] for _ in range(int(stage.settings["rows"]))]
        return torch.tensor(rows)

    def loss(self, batch):
        self.calls += 1
        changed = self.at(self.calls)
        off = self.module(batch).squeeze(-1) - torch.sin(3 * batch[:, 0]) * batch[:, 1]
        loss = off.square().mean() * (1.0 if changed is None else changed)
        return loss, {"absolute": off.abs().mean().item()}, len(batch)

    def export(self, folder):
        self.module.eval()
        save_file(self.module.state_dict(), folder / "model.safetensors")


def interrupt_at(step):
    def at(call):
        if call == step:
            raise KeyboardInterrupt

    return at


def run(out, objective=None, recipe=RECIPE, **options):
    told = []
    done = train(objective or Sine(), recipe, out, told.append, log_every=5, **options)
    return done, told


def test_two_trainings_share_no_folder(tmp_path):
    with only_writer(tmp_path / ".lock"), pytest.raises(UserError) as caught:
        run(tmp_path)
    assert caught.value.what == f"another process (pid {os.getpid()}) is writing this training"
    assert caught.value.remedy == "wait for it to end, or choose another folder with --out"
    assert {path.name for path in tmp_path.iterdir()} <= {".lock", ".lock.lease"}


def log_of(out):
    lines = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


def assert_same_training(one, other):
    for name in ("base", "model"):
        left, right = (load_file(out / name / "model.safetensors") for out in (one, other))
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left)
    assert log_of(one) == log_of(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training."""
    out = tmp_path_factory.mktemp("whole")
    run(out)
    return out


def test_it_learns(tmp_path):
    recipe = replace(RECIPE, stages=(Stage("only", 300, {"rows": 64}),), snapshots={})
    run(tmp_path, recipe=recipe)
    lines = log_of(tmp_path)
    assert lines[-1]["loss"] < lines[0]["loss"] / 3


def test_a_training_tells_every_step_and_says_what_it_did(tmp_path):
    done, told = run(tmp_path)
    assert [(each.step, each.stage) for each in told] == [(n, "short" if n <= 12 else "long") for n in range(1, 31)]
    assert (done.steps, done.new_steps, done.tokens, done.folder) == (30, 30, 12 * 16 + 18 * 32, tmp_path / "model")
    assert told[-1].seconds_left == 0
    assert all(each.tokens_per_second > 0 and each.metrics["absolute"] > 0 for each in told)


def test_log_has_a_line_every_few_steps_and_at_each_end_of_stage(tmp_path):
    _, told = run(tmp_path)
    lines = log_of(tmp_path)
    assert [(line["step"], line["stage"]) for line in lines] == [
        *((5, "short"), (10, "short"), (12, "short"), (15, "long"), (20, "long"), (25, "long"), (30, "long"))
    ]
    window = told[10:12]
    assert lines[2]["loss"] == pytest.approx(sum(each.loss for each in window) / 2)
    assert lines[2]["metrics"]["absolute"] == pytest.approx(sum(each.metrics["absolute"] for each in window) / 2)
    assert lines[2]["tokens"] == 12 * 16
    assert lines[3]["learning_rate"] == rate_at(RECIPE, 14)


@pytest.mark.parametrize("step", [1, 2, 7, 12, 13, 29, 30])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, whole, step):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Sine(interrupt_at(step)))
    done, told = run(tmp_path)
    assert told[0].step == step
    assert done.new_steps == 31 - step
    assert_same_training(whole, tmp_path)


@pytest.mark.parametrize("name", ["base", "model"])
def test_interrupted_export_leaves_no_folder(tmp_path, whole, name):
    class Stopped(Sine):
        def export(self, folder):
            super().export(folder)
            if name in folder.name:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Stopped())
    assert not (tmp_path / name).exists()
    run(tmp_path)
    assert_same_training(whole, tmp_path)


def test_a_signal_in_the_middle_of_a_step_waits_for_its_end(tmp_path, whole):
    heard = []

    def at(call):
        if call == 6:
            os.kill(os.getpid(), signal.SIGINT)
            heard.append("the step goes on")

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Sine(at))
    assert heard
    assert json.loads((tmp_path / "checkpoint" / "state.json").read_text())["state"]["step"] == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run(tmp_path)
    assert_same_training(whole, tmp_path)


def test_steps_after_checkpoint_are_repeated_without_doubling(tmp_path, whole):
    def crash(call):
        if call == 4:
            raise RuntimeError("crash")

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Sine(interrupt_at(8)))
    with pytest.raises(RuntimeError, match="crash"):
        run(tmp_path, Sine(crash))
    assert log_of(tmp_path)[-1]["step"] == 10, "a line of a step that the checkpoint does not have"
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"step": 12, "to')
    _, told = run(tmp_path)
    assert told[0].step == 8
    assert_same_training(whole, tmp_path)


def test_kill_between_checkpoint_renames_costs_only_time(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Sine(interrupt_at(9)))
    (tmp_path / "checkpoint").rename(tmp_path / ".checkpoint.old")
    (tmp_path / ".checkpoint.new").mkdir()
    _, told = run(tmp_path)
    assert told[0].step == 9
    assert_same_training(whole, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "checkpoint", "log.jsonl", "base", "model"}


def test_a_checkpoint_that_cannot_be_written_leaves_one_before(tmp_path, whole, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Sine(interrupt_at(9)))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(UserError, match="the disk is full"):
            run(tmp_path, checkpoint_every_seconds=0)
    _, told = run(tmp_path)
    assert told[0].step == 9
    assert_same_training(whole, tmp_path)


def test_a_finished_training_is_left_alone(tmp_path):
    run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    done, told = run(tmp_path)
    assert (done.steps, done.new_steps, told) == (30, 0, [])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_finished_model_that_was_removed_is_written_again(tmp_path, whole):
    run(tmp_path)
    (tmp_path / "model" / "model.safetensors").unlink()
    (tmp_path / "model").rmdir()
    assert run(tmp_path)[0].new_steps == 0
    assert_same_training(whole, tmp_path)


def test_snapshot_is_model_at_its_stages_end_and_not_last_one(tmp_path, whole):
    only = replace(RECIPE, stages=RECIPE.stages[:1], snapshots={}, decay_from=1.0)
    longer = replace(RECIPE, decay_from=1.0)
    run(tmp_path / "only", recipe=only)
    run(tmp_path / "longer", recipe=longer)
    folders = ("only/model", "longer/base", "longer/model")
    first, base, last = (load_file(tmp_path / name / "model.safetensors") for name in folders)
    assert all(torch.equal(first[key], base[key]) for key in first)
    assert not torch.equal(base["0.weight"], last["0.weight"])


@pytest.mark.parametrize("name", ["tensors.pt", "state.json"])
@pytest.mark.parametrize("damage", ["removed", "cut", "a flipped bit"])
def test_a_damaged_checkpoint_is_refused_with_file_and_remedy(tmp_path, name, damage):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Sine(interrupt_at(4)))
    path = tmp_path / "checkpoint" / name
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage != "removed":
        data[0 if name == "state.json" else len(data) // 2] ^= 1
        path.write_bytes(data[:-20] if damage == "cut" else data)
    with pytest.raises(UserError, match="damaged") as refused:
        run(tmp_path)
    assert refused.value.where == str(path)
    assert str(path.parent) in refused.value.remedy
    assert "--out" in refused.value.remedy


def test_a_checkpoint_holds_tensors_alone(whole):
    assert torch.load(whole / "checkpoint" / "tensors.pt", weights_only=True).keys() == {"module", "optimizers"}


def test_another_recipe_is_refused_and_both_are_named(tmp_path, whole):
    with pytest.raises(UserError, match=r"of recipe 'sine' \(\w{8}\), and this is recipe 'cosine'") as refused:
        run(whole, recipe=replace(RECIPE, name="cosine"))
    assert "--out" in refused.value.remedy


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run(tmp_path)
    other = Sine()
    other.module = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    with pytest.raises(UserError, match="does not fit this model"):
        run(tmp_path, other)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_loss_that_is_no_number_stops_and_keeps_last_checkpoint(tmp_path, whole, bad):
    with pytest.raises(UserError, match=r"step 9 of 30 \(stage short\).*checkpoint of step 8 is kept") as stopped:
        run(tmp_path, Sine(lambda call: bad if call == 9 else None), checkpoint_every_seconds=0)
    assert "resume" in stopped.value.remedy
    assert "lower learning rate" in stopped.value.remedy
    _, told = run(tmp_path)
    assert told[0].step == 9
    assert_same_training(whole, tmp_path)


def test_failed_batch_stops_and_keeps_every_earlier_step(tmp_path, whole):
    class Dry(Sine):
        def sample(self, stage, chance):
            if self.calls == 8:
                raise UserError("no more texts")
            return super().sample(stage, chance)

    with pytest.raises(UserError, match="no more texts"):
        run(tmp_path, Dry(), checkpoint_every_seconds=1e9)
    _, told = run(tmp_path)
    assert told[0].step == 9
    assert_same_training(whole, tmp_path)


def test_a_loss_that_is_no_number_before_any_checkpoint_says_so(tmp_path):
    with pytest.raises(UserError, match="no checkpoint was written yet"):
        run(tmp_path, Sine(lambda call: math.nan))


def test_the_rate_rises_stays_and_falls_linearly():
    recipe = Recipe("r", (Stage("a", 60), Stage("b", 40)), 0.5, warmup_steps=10, decay_from=0.6, floor=0.2)
    assert [rate_at(recipe, step) for step in (0, 4, 9, 10, 60)] == pytest.approx([0.05, 0.25, 0.5, 0.5, 0.5])
    assert [rate_at(recipe, step) for step in (70, 80, 100)] == pytest.approx([0.4, 0.3, 0.1])
    assert rate_at(Recipe("r", (Stage("a", 10),), 0.5), 9) == 0.5


def test_settling_steps_go_from_floor_to_nothing():
    falling = Recipe("r", (Stage("a", 100),), 0.5, decay_from=0.6, floor=0.2)
    settling = replace(falling, stages=(Stage("a", 100), Stage("b", 20)), settle_steps=20)
    assert [rate_at(settling, step) for step in range(100)] == [rate_at(falling, step) for step in range(100)]
    assert [rate_at(settling, step) for step in (100, 110, 119)] == pytest.approx([0.1, 0.05, 0.005])
    with pytest.raises(ValueError, match="120 of 120 steps cannot all settle"):
        replace(settling, settle_steps=120)
    for wrong in ({"decay_from": 1.0}, {"floor": 0.0}):
        with pytest.raises(ValueError, match="to settle, the rate must have fallen to a floor above 0"):
            replace(settling, **wrong)


def test_muon_gets_hidden_matrices_and_adamw_all_else():
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.Embedding(11, 4)
            self.hidden = torch.nn.Linear(4, 4)
            self.frozen = torch.nn.Linear(4, 4).requires_grad_(False)
            self.norm = torch.nn.LayerNorm(4)
            self.head = torch.nn.Linear(4, 11, bias=False)
            self.head.weight = self.words.weight

    module = Tied()
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    muon, adam = make_optimizers(module, 0.1)
    got = [[names[id(each)] for group in one.param_groups for each in group["params"]] for one in (muon, adam)]
    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adam, torch.optim.AdamW)
    assert got == [["hidden.weight"], ["words.weight", "hidden.bias", "norm.weight", "norm.bias"]]
    with pytest.raises(ValueError, match="no parameter"):
        make_optimizers(module.frozen, 0.1)


def test_recipes_differ_by_every_field_not_by_order():
    settings = {"rows": 16, "tokens": 8.0}
    one = replace(RECIPE, stages=(Stage("short", 12, settings),))
    assert one.identity == replace(one, stages=(Stage("short", 12, {"tokens": 8, "rows": 16.0}),)).identity
    other = {
        "name": "x", "learning_rate": 0.1, "warmup_steps": 5, "decay_from": 0.6, "floor": 0.2, "gradient_clip": 2.0,
        "settle_steps": 3,
        "seed": 4, "data": "other texts", "snapshots": {}, "stages": (Stage("short", 12, {**settings, "rows": 17}),),
    }  # fmt: skip
    assert other.keys() == set(Recipe.__slots__)
    assert len({one.identity, *(replace(one, **{name: value}).identity for name, value in other.items())}) == 12


@pytest.mark.parametrize(
    "wrong", [{"stages": ()}, {"snapshots": {"none": "base"}}, {"snapshots": {"short": "model"}}, {"decay_from": 1.5}]
)
def test_a_recipe_that_makes_no_sense_cannot_be_made(wrong):
    with pytest.raises(ValueError, match="recipe sine"):
        replace(RECIPE, **wrong)


def test_batches_differ_from_step_to_step_and_by_seed(tmp_path):
    def drawn(seed):
        objective, seen = Sine(), []
        objective.sample = lambda stage, chance: (
            seen.append(chance.random()) or Sine.sample(objective, stage, random.Random(1))
        )
        run(tmp_path / str(seed), objective, replace(RECIPE, seed=seed))
        return seen

    assert len({*drawn(0), *drawn(1)}) == 60


def test_optimizers_step_at_scheduled_rate(tmp_path):
    recipe = Recipe("one", (Stage("only", 1, {"rows": 16}),), 0.02, warmup_steps=4, gradient_clip=1e-3)
    plain = Sine()
    before = plain.module[0].bias.detach().clone()
    run(tmp_path, plain, recipe)
    # AdamW's first step has the length of the rate for every parameter whose gradient is not tiny.
    assert (plain.module[0].bias - before).abs().max().item() == pytest.approx(0.02 / 4, rel=1e-2)
    squares = sum(each.grad.square().sum().item() for each in plain.module.parameters())
    assert math.sqrt(squares) == pytest.approx(1e-3, rel=1e-2)
    assert log_of(tmp_path)[0]["gradient_norm"] > 1e-3, "the log has the norm before clipping"
