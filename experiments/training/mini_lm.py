"""The mini model: an ordinary small Llama that learns to read the miniature world, and the recipes that train it.

What makes it learn in hours on two cores stands in `docs/explanation/mini-models.md`, with the ablations.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from experiments.training.mini_tokenizer import train_tokenizer
from experiments.training.reading import Example, ReadingPlan, make_example
from rmtbench.corpora.miniature.dataset import Miniature
from rmtbench.corpora.miniature.prose import ProsePlan
from rmtbench.corpora.miniature.styles import STYLES
from rmtbench.errors import UserError, nearest
from rmtbench.models.load import choose_device
from rmtbench.models.prompt import PromptContract, make_contract
from rmtbench.training.base import Objective, Promotion, Recipe, Stage, share_right

if TYPE_CHECKING:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LONGEST = 131_072
NEAR, FAR = 2_000, 96_000
"""How far positions leap in training: as far as contexts of 2k and 85k tokens reach, though texts are shorter."""

SHAPE: Mapping[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": LONGEST,
    "rms_norm_eps": 1e-6,
    "attention_bias": True,
    "tie_word_embeddings": True,
    # So wide a base leaves a third of the frequencies that turn within 85k tokens; the rest tell no position.
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e16},
}


@dataclass(frozen=True)
class Batch:
    """Rows padded to one length, and which positions predict what.

    Attributes:
        ids: ``[rows, length]``.
        positions: Same shape.
        scale: Attention scores are multiplied by it; a tensor, since a number would have layers compiled anew.
        predicts: Flat indexes into ``rows * length`` whose next token is learnt, ``[targets]``.
        expected: Those tokens, ``[targets]``.
        owner: Which question each target belongs to, ``[targets]``.
        kinds: Kind of each question.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    scale: torch.Tensor
    predicts: torch.Tensor
    expected: torch.Tensor
    owner: torch.Tensor
    kinds: Sequence[str]


class ReadingObjective:
    """An `Objective`: answer questions about contexts of the miniature world."""

    def __init__(self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._contract: PromptContract = make_contract(tokenizer, "bridge")

    @property
    def module(self) -> torch.nn.Module:
        """The whole model."""
        module: torch.nn.Module = self._model
        return module

    def sample(self, stage: Stage, chance: random.Random) -> Batch:
        """Write contexts and questions.

        Args:
            stage: Settings `context` (tokens), `rows`, `questions`, `lookups` and `judged` (a row), `least` and `most`
                (words a paragraph), `again` (share of full names), `plain` (share of plain statements), `backward`
                (see `ProsePlan`), `new` (share of new name words), `shared` (share of contexts whose names share
                words), `rivals` (share of contexts of one kind of entities), `parts` (share of contexts of pieces of
                pages), `aliases` (share of contexts of people with other names), `hard` (how many times likelier
                lookups of hard facts are), `untitled` (share of contexts without a title for each subject, above those
                that are so), `leaps` (share of batches whose positions leap), `reach` (how far they do). `backward`,
                `parts`, `judged`, `aliases`, `hard` and `untitled` may be left out.
            chance: Random numbers.
        """
        settings = stage.settings
        plan = ReadingPlan(
            context=int(settings["context"]),
            questions=int(settings["questions"]),
            lookups=int(settings["lookups"]),
            prose=ProsePlan(
                words=(int(settings["least"]), int(settings["most"])),
                again=settings["again"],
                plain=settings["plain"],
                backward=settings.get("backward", 0),
            ),
            new_names=settings["new"],
            shared_names=settings["shared"],
            rivals=settings["rivals"],
            judged=int(settings.get("judged", 0)),
            parts=settings.get("parts", 0),
            aliases=settings.get("aliases", 0),
            hard=settings.get("hard", 1),
            untitled=settings.get("untitled", 0),
            leap=int(settings["reach"]) if chance.random() < settings["leaps"] else 0,
        )
        examples = [make_example(plan, self._contract, chance) for _ in range(int(settings["rows"]))]
        return _stack(examples, chance.uniform(0.7, 1.0), self._tokenizer.pad_token_id, self._model.device)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, Mapping[str, float], int]:
        """Cross entropy over answer tokens; figures are the share of questions answered without an error, by kind."""
        with torch.autocast(batch.ids.device.type, torch.bfloat16):
            hidden = read(self._model, batch.ids, batch.positions, batch.scale)
            logits = self._model.lm_head(hidden.flatten(0, 1)[batch.predicts])
        loss = torch.nn.functional.cross_entropy(logits.float(), batch.expected)
        wrong = (logits.argmax(-1) != batch.expected).long()
        failed = torch.zeros(len(batch.kinds), dtype=torch.long, device=wrong.device).index_add_(0, batch.owner, wrong)
        return loss, share_right(batch.kinds, (failed == 0).tolist()), batch.ids.numel()

    def export(self, folder: Path) -> None:
        """Write weights in bfloat16 and the tokenizer, as transformers reads them."""
        state = {name: tensor.to(torch.bfloat16) for name, tensor in self._model.state_dict().items()}
        del state["lm_head.weight"]  # tied to the embeddings
        self._model.config.dtype = torch.bfloat16
        self._model.save_pretrained(folder, state_dict=state)
        self._tokenizer.save_pretrained(folder)


def read(model: LlamaForCausalLM, ids: torch.Tensor, positions: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Hidden states of a causal read, layer by layer.

    The model's own forward would take leaping positions for packed sequences and part them.

    Args:
        model: A Llama.
        ids: Token ids ``[rows, length]``.
        positions: Same shape.
        scale: Multiplies attention scores; in training it varies, so that longer contexts stay sharp enough at 1.

    Returns:
        ``[rows, length, hidden]``, after the last norm.
    """
    inner = model.model
    hidden = inner.embed_tokens(ids)
    # Queries and keys both turn by it: its square root on each multiplies their product by it.
    turn = tuple(part * scale.sqrt() for part in inner.rotary_emb(hidden, position_ids=positions))
    for layer in inner.layers:
        hidden = layer(hidden, attention_mask=None, position_embeddings=turn)
    normed: torch.Tensor = inner.norm(hidden)
    return normed


def _stack(examples: Sequence[Example], scale: float, padding: int, device: torch.device) -> Batch:
    length = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), length), padding)
    positions = torch.zeros((len(examples), length), dtype=torch.long)
    predicts: list[int] = []
    expected: list[int] = []
    owner: list[int] = []
    kinds: list[str] = []
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        positions[row, : len(example.ids)] = torch.tensor(example.positions)
        for target in example.targets:
            predicts += range(row * length + target.start - 1, row * length + target.end - 1)
            expected += example.ids[target.start : target.end]
            owner += [len(kinds)] * (target.end - target.start)
            kinds.append(target.kind)
    return Batch(
        ids=ids.to(device),
        positions=positions.to(device),
        scale=torch.tensor(scale, device=device),
        predicts=torch.tensor(predicts, device=device),
        expected=torch.tensor(expected, device=device),
        owner=torch.tensor(owner, device=device),
        kinds=kinds,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A model before training, of shape `SHAPE`: its first layers look back by a few tokens, its later ones match.

    Args:
        tokenizer: For the size of the vocabulary and the special tokens.
        seed: Seed of the weights.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPE,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        _initialise(model, config)
    return model


@torch.no_grad()
def _initialise(model: LlamaForCausalLM, config: LlamaConfig) -> None:
    width, heads, head = config.hidden_size, config.num_attention_heads, config.head_dim
    turns = model.model.rotary_emb.inv_freq.double()
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=width**-0.5)
    for number, layer in enumerate(model.model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
            torch.nn.init.normal_(linear.weight, std=width**-0.5)
        torch.nn.init.normal_(mlp.down_proj.weight, std=0.3 * config.intermediate_size**-0.5 / math.sqrt(width))
        torch.nn.init.normal_(attention.o_proj.weight, std=(heads * head) ** -0.5 / math.sqrt(width))
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj):
            torch.nn.init.zeros_(linear.bias)
        if number < len(_LOCAL):
            attention.q_proj.weight.mul_(0.3)
            attention.k_proj.weight.mul_(0.3)
            for place, (offset, wide) in enumerate(_LOCAL[number]):
                _look_back(attention, slice(place * head, (place + 1) * head), turns, offset, wide=wide)
        else:
            for place in range(heads):
                _match(attention, slice(place * head, (place + 1) * head), turns, width, heads)


_LOCAL: Sequence[Sequence[tuple[int, bool]]] = (((1, False), (3, True)), ((2, False), (6, True)))
"""Heads of the first layers: how many tokens they look back, and whether over a wide stretch."""


def _look_back(attention: Any, rows: slice, turns: torch.Tensor, offset: int, *, wide: bool) -> None:  # noqa: ANN401
    """Biases alone make a head's score peak at `offset` tokens before before.

    The score at a distance is the sum over frequencies of ``cos((distance - offset) * turn)``.
    """
    half, strength = len(turns), 5.0 if wide else 6.0
    for place, turn in enumerate(turns.tolist()):
        if turn < 0.01 or (wide and turn > 0.5):
            continue
        first = rows.start + place
        attention.k_proj.bias[first] = strength
        attention.q_proj.bias[first] = strength * math.cos(offset * turn)
        attention.q_proj.bias[first + half] = -strength * math.sin(offset * turn)


def _match(attention: Any, rows: slice, turns: torch.Tensor, width: int, heads: int) -> None:  # noqa: ANN401
    """Queries and keys start alike where frequencies tell no place, values near their way back: like finds like."""
    weight = torch.where(turns > 1e-4, 0.1, 1.0).float().repeat(2)[:, None]
    query, key = attention.q_proj.weight, attention.k_proj.weight
    query[rows] *= 0.7 * weight
    key[rows] = 0.7 * query[rows] + 0.49 * key[rows] * weight
    attention.o_proj.weight[:, rows] += 1.2 * attention.v_proj.weight[rows].T / math.sqrt(width * heads)


def _stage(name: str, steps: int, promote: float = 0, **settings: float) -> Stage:
    return Stage(name, steps, settings, Promotion("lookup", promote, 20) if promote else None)


# A text gets harder only once lookups are right: with everything at once a model finds the relation, not the name.
_PLAIN = {"least": 0, "most": 20, "again": 1, "plain": 1, "new": 0, "shared": 0, "rivals": 0}
_NAMES = {**_PLAIN, "new": 0.5, "shared": 0.5, "rivals": 0.5}
_DENSE = {"least": 0, "most": 40, "again": 0.5, "plain": 0.3, "new": 0.8, "shared": 0.6, "rivals": 0.3}
_MIXED = {"least": 8, "most": 60, "again": 0.4, "plain": 0.1, "new": 1, "shared": 0.7, "rivals": 0.2}
_PROSE = {"least": 20, "most": 150, "again": 0.35, "plain": 0, "new": 1, "shared": 0.7, "rivals": 0.1}
_NEAR, _FAR = {"leaps": 0.5, "reach": NEAR}, {"leaps": 0.7, "reach": FAR}
_SHORT = (
    _stage("lookups", 500, 0.93, context=128, rows=12, questions=0, lookups=60, **_PLAIN, **_NEAR),
    _stage("names", 400, 0.92, context=192, rows=8, questions=0, lookups=60, **_NAMES, **_NEAR),
    _stage("dense", 800, 0.92, context=256, rows=6, questions=0, lookups=80, **_DENSE, **_NEAR),
    _stage("questions", 1000, 0.94, context=256, rows=6, questions=10, lookups=40, **_DENSE, **_NEAR),
    _stage("512", 1200, 0.96, context=512, rows=4, questions=16, lookups=60, **_MIXED, **_NEAR),
    _stage("1k", 1000, context=1024, rows=2, questions=24, lookups=80, **_PROSE, **_NEAR),
    _stage("2k", 600, context=2048, rows=1, questions=40, lookups=100, **_PROSE, **_NEAR),
)
_LONG = (
    _stage("2k leaping", 800, context=2048, rows=1, questions=50, lookups=20, **_PROSE, **_FAR),
    _stage("4k", 350, context=4096, rows=1, questions=70, lookups=40, **_PROSE, **_FAR),
    _stage("8k", 150, context=8192, rows=1, questions=80, lookups=100, **_PROSE, **_FAR),
    _stage("16k", 40, context=16384, rows=1, questions=80, lookups=150, **_PROSE, **_FAR),
)
# Comparing is one step among many that only copy, and is learnt where those are given.
_PIECES = {**_PROSE, "new": 1.5, "parts": 0.5, "aliases": 0.4, "hard": 4}
_SHORT_JUDGED = (
    _stage("256 judged", 900, context=256, rows=8, questions=3, lookups=24, judged=10, **_PIECES, **_NEAR),
    _stage("1k judged", 700, context=1024, rows=3, questions=8, lookups=60, judged=8, **_PIECES, **_NEAR),
    _stage("2k judged", 180, context=2048, rows=2, questions=16, lookups=100, judged=8, **_PIECES, **_NEAR),
    _stage("1k as asked", 200, context=1024, rows=5, questions=3, lookups=0, judged=3, **_PIECES, **_NEAR),
    _stage("256 as asked", 260, context=256, rows=10, questions=2, lookups=0, judged=3, **_PIECES, **_NEAR),
)
# Where the object stands first, whose it is cannot be known yet: what was missed most.
_BACKWARD, _ASKED = {**_PIECES, "backward": 0.35}, {**_PIECES, "backward": 0.2}
_LONG_JUDGED = (
    _stage("1k judged leaping", 1600, context=1024, rows=3, questions=12, lookups=70, judged=4, **_BACKWARD, **_FAR),
    _stage("4k judged", 860, context=4096, rows=1, questions=40, lookups=200, judged=6, **_BACKWARD, **_FAR),
    _stage("8k judged", 430, context=8192, rows=1, questions=60, lookups=350, judged=6, **_ASKED, **_FAR),
    _stage("16k judged", 120, context=16384, rows=1, questions=80, lookups=500, judged=6, **_ASKED, **_FAR),
    _stage("1k at last", 1000, context=1024, rows=5, questions=3, lookups=0, judged=3, **_ASKED, **_FAR),
    _stage("256 at last", 650, context=256, rows=10, questions=2, lookups=0, judged=3, **_ASKED, **_NEAR),
)
RECIPES: Mapping[str, Recipe] = {
    "mini": Recipe(
        name="mini",
        stages=(*_SHORT, *_SHORT_JUDGED, *_LONG, *_LONG_JUDGED),
        learning_rate=5e-3,
        warmup_steps=40,
        decay_from=0.35,
        floor=0.25,
        settle_steps=sum(stage.steps for stage in _LONG_JUDGED),
        snapshots={"256 as asked": "mini-short"},
    ),
}


def make(recipe: str, device: str, *, fused: bool = True) -> tuple[Objective, Recipe]:
    """The objective and recipe behind ``python -m experiments.training --recipe NAME``.

    Args:
        recipe: One of `RECIPES`.
        device: A torch device name, or ``auto``.
        fused: Whether layers are compiled, which needs a C++ compiler on the CPU and takes a minute at the start.

    Raises:
        UserError: No recipe has that name.
    """
    if recipe not in RECIPES:
        raise UserError(f"no recipe '{recipe}'", where="--recipe", remedy=nearest(recipe, RECIPES))
    chosen = replace(RECIPES[recipe], data=_data_hash())
    tokenizer = train_tokenizer()
    model = build_model(tokenizer, chosen.seed).to(choose_device(device))
    if fused:
        for layer in model.model.layers:
            layer.forward = torch.compile(layer.forward, dynamic=True)
    return ReadingObjective(model, tokenizer), chosen


def _data_hash() -> str:
    """Over all that examples are made of: a training is not gone on with where they have changed."""
    return ", ".join(Miniature(style).source.sha256[:16] for style in STYLES)
