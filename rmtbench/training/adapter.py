"""A LoRA adapter that teaches a pretrained model to read: short answers from documents, `unknown` where they say none.

All contexts of a step are one line of tokens. Each context is read once, and its questions attend to it and to
themselves only, so a question costs its own few tokens (the layout of `kvcache`, with a gradient).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from rmtbench.corpora.official import read_hotpotqa, read_squad
from rmtbench.errors import UserError
from rmtbench.files import file_sha256
from rmtbench.models.adapters import AdapterFiles, check_base, find_adapter
from rmtbench.models.architecture import plain_causal, register_attention
from rmtbench.models.load import choose_device, load_model
from rmtbench.options import flag
from rmtbench.options.training import AdapterTraining
from rmtbench.training.base import Recipe, Stage
from rmtbench.training.real_reading import Packed, PackPlan, Rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NAME = "rmtbench_packed"
"""The attention's name among those of transformers."""

CHECKPOINT_ABOVE = 12_000
"""Tokens of a step above which layers are computed again for the gradient: activations of smollm2 take 1 MB a token."""

BLOCK = 512
"""Tokens that attend together, at most: half of their scores with each other are made for nothing."""

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Block:
    """Tokens that attend together.

    Attributes:
        context: Earlier tokens, all of which they see.
        rows: The tokens themselves.
        hidden: Which of themselves each does not see, ``[rows, rows]``.
    """

    context: slice
    rows: slice
    hidden: torch.Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's line of tokens.

    Attributes:
        ids: ``[1, tokens]``.
        positions: Same shape; each question continues its own context's positions.
        blocks: All tokens, in order.
        predicts: Indexes of the tokens whose next token is learnt, ``[targets]``.
        expected: Those next tokens, ``[targets]``.
        owner: The question that each target belongs to, ``[targets]``.
        kinds: Kind of each question.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    blocks: Sequence[Block]
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
            config.target_modules = sorted(config.target_modules)  # a set: its order would change
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
            where=f"{flag.start} {start.name}",
            remedy=f"give the {flag.rank} and {flag.skip} that it was trained with",
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
    # Asked for by both libraries for the other kind of checkpoint; it sends the gradient through the frozen layers too.
    model.disable_input_require_grads()
    states = model.base_model(input_ids=batch.ids, position_ids=batch.positions, use_cache=False, packing=batch.blocks)
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
    blocks: list[Block] = []
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
        blocks += _context_blocks(start, start + context, device)
        blocks += _question_blocks(slice(start, start + context), lengths, device)
    return Batch(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        blocks,
        torch.tensor(predicts, device=device),
        torch.tensor(expected, device=device),
        torch.tensor(owner, device=device),
        kinds,
    )


def _context_blocks(start: int, end: int, device: torch.device | str) -> Iterator[Block]:
    """A context in causal order."""
    for first in range(start, end, BLOCK):
        last = min(first + BLOCK, end)
        later = torch.ones(last - first, last - first, dtype=torch.bool, device=device).triu(1)
        yield Block(slice(start, first), slice(first, last), later)


def _question_blocks(context: slice, lengths: Sequence[int], device: torch.device | str) -> Iterator[Block]:
    """Whole questions, each of which sees its context and its own earlier tokens."""
    first = context.stop
    waiting: list[int] = []
    for number, length in enumerate(lengths):
        waiting.append(length)
        if number + 1 < len(lengths) and sum(waiting) + lengths[number + 1] <= BLOCK // 2:
            continue
        owners = torch.repeat_interleave(torch.arange(len(waiting)), torch.tensor(waiting))
        own = (owners[:, None] == owners[None, :]).tril()
        yield Block(context, slice(first, first + len(owners)), ~own.to(device))
        first += len(owners)
        waiting = []


def _attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    packing: Sequence[Block],
    **_rest: object,
) -> torch.Tensor:
    """Every block over its context and itself; ``[1, tokens, heads, width]``."""
    tokens, width = query.shape[2:]
    grouped = (query[0] * scale).view(key.shape[1], -1, tokens, width).to(value.dtype)  # [key heads, group, ...]
    attended: torch.Tensor = _Attend.apply(grouped, key[0].to(value.dtype), value[0], packing)  # type: ignore[no-untyped-call]
    return attended.flatten(0, 1).transpose(0, 1)[None].contiguous()


class _Attend(torch.autograd.Function):
    """Two matrix products and a softmax a block, made again for the gradient.

    In bfloat16 a CPU needs half of the time of torch's fused attention for it, or less. Query heads that share a key
    head are rows of one product. The gradient is that of FlashAttention (Dao et al., 2022, algorithm 4).
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        blocks: Sequence[Block],
    ) -> torch.Tensor:
        """Query and result are ``[key heads, group, tokens, width]``, key and value ``[key heads, tokens, width]``."""
        attended = torch.empty_like(query)
        for block in blocks:
            shares = _shares(query, key, block)
            attended[:, :, block.rows] = (shares @ _seen(value, block)).view_as(query[:, :, block.rows])
        ctx.save_for_backward(query, key, value, attended)
        ctx.blocks = blocks
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:  # noqa: ANN401
        """Return the gradients of query, key and value."""
        query, key, value, attended = ctx.saved_tensors
        along = (gradient * attended).sum(-1, keepdim=True)  # [key heads, group, tokens, 1]
        of_query = torch.empty_like(query)
        of_key, of_value = (torch.zeros_like(each, dtype=torch.float32) for each in (key, value))
        for block in ctx.blocks:
            shares = _shares(query, key, block)  # [key heads, group x rows, seen]
            rows = gradient[:, :, block.rows].flatten(1, 2)
            _add_seen(of_value, shares.transpose(1, 2) @ rows, block)
            of_scores = rows @ _seen(value, block).transpose(1, 2)
            of_scores.sub_(along[:, :, block.rows].flatten(1, 2)).mul_(shares)
            of_query[:, :, block.rows] = (of_scores @ _seen(key, block)).view_as(query[:, :, block.rows])
            _add_seen(of_key, of_scores.transpose(1, 2) @ query[:, :, block.rows].flatten(1, 2), block)
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype), None


def _shares(query: torch.Tensor, key: torch.Tensor, block: Block) -> torch.Tensor:
    """Attention of a block's rows to what they see, ``[key heads, group x rows, seen]``."""
    rows = query[:, :, block.rows]
    scores = rows.flatten(1, 2) @ _seen(key, block).transpose(1, 2)
    within = scores.view(*rows.shape[:3], -1)[..., -rows.shape[2] :]
    within.masked_fill_(block.hidden, float("-inf"))
    return scores.softmax(-1)


def _seen(tensor: torch.Tensor, block: Block) -> torch.Tensor:
    """The context's and the block's own rows of ``[key heads, tokens, width]``."""
    if block.context.stop == block.rows.start:
        return tensor[:, block.context.start : block.rows.stop]
    return torch.cat((tensor[:, block.context], tensor[:, block.rows]), 1)


def _add_seen(total: torch.Tensor, part: torch.Tensor, block: Block) -> None:
    """Add ``[key heads, seen, width]`` to where it belongs."""
    context = block.context.stop - block.context.start
    total[:, block.context] += part[:, :context]
    total[:, block.rows] += part[:, context:]


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
