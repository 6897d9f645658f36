"""A LoRA adapter that teaches a pretrained model to read: short answers from documents, `unknown` where they say none.

All contexts of a step are one line of tokens. Each context is read once, and its questions attend to it and to
themselves only, so a question costs its own few tokens (the layout of `kvcache`, with a gradient).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from rmtbench.corpora.official import read_hotpotqa, read_squad
from rmtbench.errors import UserError
from rmtbench.files import file_sha256
from rmtbench.models.adapters import AdapterFiles, check_base, find_adapter
from rmtbench.models.architecture import plain_causal, register_attention
from rmtbench.models.load import choose_device, load_model
from rmtbench.options.training import AdapterTraining
from rmtbench.training.base import Recipe, Stage
from rmtbench.training.real_reading import Packed, PackPlan, Rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NAME = "rmtbench_packed"
"""The attention's name among those of transformers."""

CHECKPOINT_ABOVE = 6_000
"""Tokens of a step above which layers are computed again for the gradient: activations take 1 to 2 MB a token."""

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Extent:
    """Where one context and its questions are in the line of a step.

    Attributes:
        start: First token of the context.
        questions: First token of the questions.
        end: First token after them.
        visible: Which tokens each question token sees, ``[1, 1, end - questions, end - start]``.
    """

    start: int
    questions: int
    end: int
    visible: torch.Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's line of tokens.

    Attributes:
        ids: ``[1, tokens]``.
        positions: Same shape; each question continues its own context's positions.
        extents: One for each context.
        predicts: Indexes of the tokens whose next token is learnt, ``[targets]``.
        expected: Those next tokens, ``[targets]``.
        owner: The question that each target belongs to, ``[targets]``.
        kinds: Kind of each question.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    extents: Sequence[Extent]
    predicts: torch.Tensor
    expected: torch.Tensor
    owner: torch.Tensor
    kinds: Sequence[str]


class ReadWithAdapter:
    """An `Objective`: answer questions about documents with low-rank changes of frozen weights (Hu et al., 2021)."""

    def __init__(
        self,
        model: PreTrainedModel,
        rows: Rows,
        plan: AdapterTraining,
        card: Mapping[str, Any],
        start: AdapterFiles | None = None,
    ) -> None:
        from peft import LoraConfig, get_peft_model

        layers = int(model.config.num_hidden_layers)
        config = LoraConfig(
            r=plan.rank,
            lora_alpha=2 * plan.rank,
            target_modules=list(TARGETS),
            # No gradient goes back through the first ones, which stay as they are.
            layers_to_transform=list(range(round(layers * plan.skip), layers)),
            task_type="CAUSAL_LM",
        )
        # For good, and not for the forward only: layers that are computed again attend during the backward.
        model.set_attn_implementation(NAME)
        self._model: Any = get_peft_model(model, config)
        if start is not None:
            _begin_from(self._model, start)
        self._model.train()
        self._rows, self._card, self._mixed_precision = rows, card, plan.mixed_precision
        if plan.mixed_precision:
            for weight in self._model.parameters():
                if not weight.requires_grad:
                    weight.data = weight.data.to(torch.bfloat16)
        # The loop saves what this holds: the adapter only, since the other weights do not change.
        self._module = torch.nn.ModuleList(
            each for name, each in self._model.named_modules() if name.endswith(("lora_A.default", "lora_B.default"))
        )
        for each in self._module:
            # Not by Muon: its steps are of full size in every direction, too much for thin factors.
            each.by_adamw = True  # type: ignore[assignment]

    @property
    def module(self) -> torch.nn.Module:
        """The adapter's factors."""
        return self._module

    @property
    def base(self) -> PreTrainedModel:
        """The model with the adapter's factors in its layers."""
        model: PreTrainedModel = self._model.get_base_model()
        return model

    def sample(self, stage: Stage, chance: random.Random) -> Batch:
        """Draw contexts until a step is full.

        Args:
            stage: Settings `tokens` (of a step, at least), `context` (most tokens of documents), `questions` (most
                questions of a context that its documents answer), `shortest` and `log` (how a context's length is
                drawn, see `PackPlan`).
            chance: Random numbers.
        """
        settings = stage.settings
        plan = PackPlan(
            int(settings["context"]),
            int(settings["questions"]),
            shortest=settings["shortest"],
            even_by="log" if settings.get("log") else "tokens",
        )
        packs: list[Packed] = []
        while sum(pack.tokens for pack in packs) < settings["tokens"] or not any(pack.questions for pack in packs):
            packs.append(self._rows.pack(plan, chance))
        return line_up(packs, self._model.device)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, Mapping[str, float], int]:
        """Mean over questions of each answer's mean cross entropy; figures are shares of answers without an error."""
        inner = self.base
        with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=self._mixed_precision):
            hidden = read(inner, batch)
            logits = inner.lm_head(hidden[batch.predicts])  # [targets, vocabulary]
        logits = logits.float()
        questions = len(batch.kinds)
        counts = torch.bincount(batch.owner, minlength=questions)
        loss = (cross_entropy(logits, batch.expected, reduction="none") / counts[batch.owner]).sum() / questions
        wrong = (logits.argmax(-1) != batch.expected).long()
        failed = torch.zeros_like(counts).index_add_(0, batch.owner, wrong).tolist()
        right: dict[str, list[float]] = {}
        for kind, errors in zip(batch.kinds, failed, strict=True):
            right.setdefault(kind, []).append(float(errors == 0))
        figures = {kind: sum(each) / len(each) for kind, each in right.items()}
        return loss, {**figures, "questions": float(questions)}, batch.ids.shape[1]

    def export(self, folder: Path) -> None:
        """Write the adapter in bfloat16, as peft reads it, and what it belongs to."""
        import json

        from safetensors.torch import load_file, save_file

        for config in self._model.peft_config.values():
            config.base_model_name_or_path = self._card.get("base")  # a name, and no path of this machine
        self._model.save_pretrained(folder)
        weights = folder / "adapter_model.safetensors"
        halved = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(weights).items()}
        save_file(halved, weights, metadata={"format": "pt"})
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty form of a card
        (folder / "rmtbench.json").write_text(json.dumps(dict(self._card), indent=1) + "\n")


def _begin_from(model: Any, start: AdapterFiles) -> None:  # noqa: ANN401 - peft's model
    """Copy a trained adapter's factors into a new one of the same shape.

    Raises:
        UserError: Its rank, scale or layers differ.
    """
    from peft import set_peft_model_state_dict
    from peft.utils import load_peft_weights

    made = model.peft_config["default"]
    wanted = {"r": made.r, "lora_alpha": made.lora_alpha, "layers_to_transform": list(made.layers_to_transform)}
    wanted["target_modules"] = sorted(made.target_modules)
    found = {**start.config, "target_modules": sorted(start.config.get("target_modules") or ())}
    differ = [
        f"{name} is {found.get(name)} there and {value} here"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
    if differ:
        raise UserError(
            f"the adapter has another shape: {'; '.join(differ)}",
            where=f"--start {start.name}",
            remedy="give the --rank and --skip that it was trained with",
        )
    set_peft_model_state_dict(model, load_peft_weights(str(start.folder), device="cpu"))


def read(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Hidden states of all tokens, each question after its own context.

    Args:
        model: A causal language model whose attention is plain and whose attention implementation is `NAME`.
        batch: What to read.

    Returns:
        ``[tokens, hidden]``, after the last norm.
    """
    if batch.ids.shape[1] > CHECKPOINT_ABOVE and model.training:
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:
        model.activation_checkpointing_disable()
    states = model.base_model(input_ids=batch.ids, position_ids=batch.positions, use_cache=False, packing=batch.extents)
    hidden: torch.Tensor = states.last_hidden_state[0]
    return hidden


def line_up(packs: Sequence[Packed], device: torch.device | str) -> Batch:
    """Put contexts and their questions in one line.

    Args:
        packs: At least one.
        device: Where the tensors are made.
    """
    ids: list[int] = []
    positions: list[int] = []
    predicts: list[int] = []
    expected: list[int] = []
    owner: list[int] = []
    kinds: list[str] = []
    extents = []
    for pack in packs:
        start, context = len(ids), len(pack.context)
        ids += pack.context
        positions += range(context)
        lengths = []
        for (question, answer), kind in zip(pack.questions, pack.kinds, strict=True):
            first = len(ids) + len(question)
            ids += [*question, *answer]
            positions += range(context, context + len(question) + len(answer))
            lengths.append(len(question) + len(answer))
            predicts += range(first - 1, first - 1 + len(answer))
            expected += answer
            owner += [len(kinds)] * len(answer)
            kinds.append(kind)
        extents.append(Extent(start, start + context, len(ids), _visible(context, lengths, device)))
    return Batch(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        extents,
        torch.tensor(predicts, device=device),
        torch.tensor(expected, device=device),
        torch.tensor(owner, device=device),
        kinds,
    )


def _visible(context: int, lengths: Sequence[int], device: torch.device | str) -> torch.Tensor:
    """``[1, 1, questions, context + questions]``: the whole context, and the earlier tokens of one's own question."""
    owners = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths, dtype=torch.long))
    own = (owners[:, None] == owners[None, :]).tril()
    return torch.nn.functional.pad(own, (context, 0), value=True)[None, None].to(device)


def _attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    packing: Sequence[Extent],
    **_rest: object,
) -> torch.Tensor:
    """Contexts in causal order, then their questions over both; ``[1, tokens, heads, width]``."""
    group = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(group, 1) if group > 1 else each for each in (key, value))
    parts = []
    for extent in packing:
        before, asked, whole = (
            slice(extent.start, extent.questions),
            slice(extent.questions, extent.end),
            slice(extent.start, extent.end),
        )
        parts.append(
            scaled_dot_product_attention(
                query[:, :, before], key[:, :, before], value[:, :, before], is_causal=True, scale=scale
            )
        )
        if extent.end > extent.questions:
            parts.append(
                scaled_dot_product_attention(
                    query[:, :, asked], key[:, :, whole], value[:, :, whole], attn_mask=extent.visible, scale=scale
                )
            )
    return torch.cat(parts, 2).transpose(1, 2).contiguous()


register_attention(NAME, _attention)


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
            where=f"--squad {', '.join(map(str, plan.squad))}",
            remedy="give training articles of SQuAD v1.1, such as train-v1.1.json",
        )
    hotpot = [row for path in plan.hotpotqa for row in read_hotpotqa(path)]
    named = Path(plan.base).name
    weights = str(base.provenance["weights_sha256"])
    card = {"base": str(base.provenance["id"]), "base_weights_sha256": [weights]}
    files = ", ".join(f"{path.name} {file_sha256(path)[:16]}" for path in (*plan.squad, *plan.hotpotqa))
    start = None
    if plan.start is not None:
        start = find_adapter(plan.start, "--start")
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
            where="--base",
            remedy="choose a model such as smollm2, Llama or Qwen2",
        )
