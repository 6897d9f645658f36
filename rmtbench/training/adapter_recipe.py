"""From a plan to the training of a reading adapter: its stages, its rows, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.corpora.official import read_hotpotqa, read_squad
from rmtbench.errors import UserError
from rmtbench.files import file_sha256
from rmtbench.models.adapters import check_base, find_adapter
from rmtbench.models.architecture import plain_causal
from rmtbench.models.load import choose_device, load_model
from rmtbench.options import flag
from rmtbench.options.training import AdapterTraining
from rmtbench.training.adapter import TARGETS, ReadWithAdapter
from rmtbench.training.base import Recipe, Stage
from rmtbench.training.real_reading import Rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def recipe(tokens: int, rate: float, seed: int, data: str, *, further: bool = False) -> Recipe:
    """Short contexts first, then longer ones, and all lengths together at the end; or all lengths from the start.

    Args:
        tokens: Tokens to read in all, contexts and questions.
        rate: The highest learning rate.
        seed: Decides every batch.
        data: Names the training rows and the adapter's shape.
        further: For an adapter that reads already: it needs no curriculum.
    """
    stages = tuple(
        Stage(name, max(1, round(tokens * share / mean)), settings)
        for name, share, mean, settings in (_FURTHER if further else _STAGES)
    )
    return Recipe(
        "reading-adapter",
        stages,
        rate,
        warmup_steps=min(15, sum(stage.steps for stage in stages)),
        decay_from=0.3,
        floor=0.05,
        seed=seed,
        data=data,
    )


_STAGES: Sequence[tuple[str, float, int, Mapping[str, float]]] = (
    ("paragraphs", 0.28, 1250, {"tokens": 1000, "context": 350, "shortest": 0.4, "questions": 8}),
    ("pages", 0.26, 1700, {"tokens": 1100, "context": 1000, "shortest": 0.2, "questions": 16}),
    ("2k", 0.20, 2600, {"tokens": 1500, "context": 2200, "shortest": 0.3, "questions": 28}),
    ("4k", 0.12, 4200, {"tokens": 2500, "context": 4200, "shortest": 0.4, "questions": 30}),
    ("8k", 0.05, 7000, {"tokens": 4000, "context": 7400, "shortest": 0.6, "questions": 40}),
    ("all lengths", 0.09, 2600, {"tokens": 1500, "context": 4200, "shortest": 0.03, "questions": 20}),
)
"""Name, share of all tokens, tokens of a mean step, settings."""

_FURTHER: Sequence[tuple[str, float, int, Mapping[str, float]]] = (
    ("all lengths", 1.0, 4150, {"tokens": 1600, "context": 7400, "shortest": 0.018, "questions": 40, "log": 1}),
)
"""The same for an adapter that reads already: as many contexts near 250 tokens as near 1k or near 4k."""


def make(plan: AdapterTraining) -> tuple[ReadWithAdapter, Recipe]:
    """Return the objective and recipe behind ``rmtbench train adapter``.

    Raises:
        UserError: The base model cannot be loaded or adapted, or no file holds a question with an answer.
    """
    base = load_model(plan.base, device=choose_device(plan.device))
    _check_base_model(base.model, base.contract.tokenizer)
    articles = [article for path in plan.squad for article in read_squad(path) if article.paragraphs]
    if not any(question.answers for article in articles for each in article.paragraphs for question in each.questions):
        raise UserError(
            "no question has an answer",
            where=f"{flag.squad} {', '.join(map(str, plan.squad))}",
            remedy="give training articles of SQuAD v1.1, such as train-v1.1.json",
        )
    hotpot = [row for path in plan.hotpotqa for row in read_hotpotqa(path)]
    named = Path(plan.base).name
    weights = str(base.provenance["weights_sha256"])
    card = {"base": str(base.provenance["id"]), "base_weights_sha256": [weights]}
    files = ", ".join(f"{path.name} {file_sha256(path)[:16]}" for path in (*plan.squad, *plan.hotpotqa))
    start = None
    if plan.start is not None:
        start = find_adapter(plan.start, flag.start)
        check_base(start, plan.base, weights)
    data = f"{named} {weights[:16]}, rank {plan.rank}, skip {plan.skip}, {files}"
    if plan.mixed_precision:
        data += ", mixed precision"
    if start is not None:
        data += f", from {start.sha256[:16]}"
    objective = ReadWithAdapter(base.model, Rows(base.contract, articles, hotpot), plan, card, start)
    return objective, recipe(plan.tokens, plan.learning_rate, plan.seed, data, further=start is not None)


def _check_base_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a model of which packed questions, all of `TARGETS` or an answer's end cannot be learnt."""
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    missing = [target for target in TARGETS if target not in names]
    what = ""
    if not plain_causal(model):
        what = "has attention of its own, which packed questions cannot use"
    elif missing:
        what = f"has no {', '.join(missing)}, which the adapter would change"
    elif tokenizer.eos_token_id is None:
        what = "has a tokenizer without an end token, which ends every answer"
    if what:
        raise UserError(
            f"{type(model).__name__} {what}",
            where=flag.base,
            remedy="choose a model such as smollm2, Llama or Qwen2",
        )
