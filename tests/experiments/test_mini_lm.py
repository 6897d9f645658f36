"""The mini model's recipe: what it exports is read back by transformers, and a training step teaches."""

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from experiments.training.mini_lm import ReadingObjective, build_model, make, read
from experiments.training.mini_tokenizer import train_tokenizer
from rmtbench.errors import UserError
from rmtbench.models.load import load_model
from rmtbench.training.base import Stage
from rmtbench.training.optimizers import make_optimizers

STAGE = Stage("tiny", 1, {"context": 100, "rows": 2, "questions": 4, "lookups": 6, "least": 8, "most": 16, "again": 1,
                          "plain": 1, "new": 0, "shared": 0, "rivals": 0, "leaps": 1, "reach": 500})  # fmt: skip


@pytest.fixture(scope="module")
def reading() -> ReadingObjective:
    tokenizer = train_tokenizer()
    return ReadingObjective(build_model(tokenizer, 0), tokenizer)


def test_export_is_bfloat16_with_tied_head_once(reading: ReadingObjective, tmp_path: Path) -> None:
    reading.export(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    for name, weight in reading.module.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.to(torch.bfloat16).float()), name
    assert (tmp_path / "model.safetensors").stat().st_size < 2.1 * loaded.num_parameters()
    assert load_model(str(tmp_path), style="bridge").context_limit == 131_072


def test_layerwise_reading_is_forward_without_leaps(
    reading: ReadingObjective,
) -> None:
    model = reading.module.eval()
    ids = torch.randint(3, 5000, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = model.lm_head(read(model, ids, torch.arange(40).expand(2, -1), torch.tensor(1.0)))
        torch.testing.assert_close(ours, model(ids).logits, atol=1e-5, rtol=1e-5)


def test_same_chance_gives_same_batch_and_steps_on_it_lower_loss(reading: ReadingObjective) -> None:
    one, other = (reading.sample(STAGE, random.Random(1)) for _ in range(2))
    assert torch.equal(one.ids, other.ids)
    assert torch.equal(one.positions, other.positions)
    assert (one.positions.diff(dim=1) > 1).any()
    optimizers = make_optimizers(reading.module, 2e-3)
    losses = []
    for _ in range(4):
        loss, metrics, tokens = reading.loss(one)
        losses.append(loss.item())
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert losses[-1] < losses[0]
    assert tokens == one.ids.numel()
    assert set(metrics) >= {"lookup"}


def test_recipe_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError, match="no recipe 'maxi'") as refused:
        make("maxi", "cpu")
    assert "mini" in refused.value.remedy
