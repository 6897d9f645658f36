"""Memory learns to carry a symbol over segments that do not hold it, under the suite's own training loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rmt_models import SEGMENT, wrapped

from rmtbench.rmt.storage import read_stored, save_pretrained
from rmtbench.rmt.walk import walk
from rmtbench.training.base import Recipe, Stage
from rmtbench.training.loop import train

SYMBOLS, FILLER, QUERY = 4, 50, 60


class Carry:
    """The first segment holds a symbol, others none, the last one asks for it."""

    def __init__(self, model) -> None:
        self.module = model

    def sample(self, stage, chance):
        rows, answers = [], []
        for _ in range(16):
            symbol, others = chance.randrange(SYMBOLS), chance.randrange(int(stage.settings["segments"]))
            rows.append([[symbol, FILLER, FILLER], *[[FILLER] * SEGMENT] * others, [QUERY]])
            answers.append(symbol)
        return rows, torch.tensor(answers)

    def loss(self, batch):
        rows, answers = batch
        *_, last = walk(self.module, rows)
        places = torch.tensor(last.rows)
        states = last.read.cue
        encoder = self.module.config.kind == "encoder"
        logits = states @ self.module.base.get_input_embeddings().weight.T if encoder else self.module.logits(states)
        loss = torch.nn.functional.cross_entropy(logits, answers[places])
        right = (logits.argmax(dim=-1) == answers[places]).float().mean().item()
        return loss, {"right": right}, sum(len(segment) for row in rows for segment in row)

    def export(self, folder):
        save_pretrained(self.module, folder, {"task": "carry"})


@pytest.mark.parametrize(
    ("name", "update", "steps", "segments", "rate"),
    # An encoder from random weights needs longer to find where the symbol stands.
    [("gpt2", "gated", 26, 2, 0.02), ("llama", "overwrite", 26, 2, 0.02), ("bert", "overwrite", 80, 1, 0.01)],
)
def test_training_steps_lower_the_loss_until_symbol_is_carried(
    name: str, update: str, steps: int, segments: int, rate: float, tmp_path: Path
) -> None:
    model, told = wrapped(name, update=update), []
    recipe = Recipe("carry", (Stage("only", steps, {"segments": segments}),), learning_rate=rate, warmup_steps=5)
    train(Carry(model), recipe, tmp_path, told.append)
    losses = [progress.loss for progress in told]
    assert sum(losses[:3]) / 3 > 1.39, "a symbol of four cannot be guessed"
    assert sum(losses[-5:]) / 5 < 0.2
    assert told[-1].metrics["right"] == 1.0
    assert read_stored(tmp_path / "model").notes == {"task": "carry"}
