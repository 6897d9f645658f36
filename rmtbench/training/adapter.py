"""A LoRA adapter that teaches a pretrained model to read: short answers from documents, else `unknown`."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from rmtbench.errors import UserError
from rmtbench.models.adapters import AdapterFiles
from rmtbench.options import flag
from rmtbench.options.training import AdapterTraining
from rmtbench.training.base import Stage, share_right
from rmtbench.training.optimizers import adapter_factors
from rmtbench.training.packed_attention import NAME
from rmtbench.training.packing import Batch, line_up
from rmtbench.training.real_reading import Packed, PackPlan, Rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHECKPOINT_ABOVE = 12_000
"""Tokens of a step above which layers are computed again for the gradient: activations of smollm2 take 1 MB a token."""

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


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
        self._factors = adapter_factors(self._model)

    @property
    def module(self) -> torch.nn.Module:
        """The adapter's factors, which are all that the loop trains and saves."""
        return self._factors

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
        right = (torch.zeros_like(counts).index_add_(0, batch.owner, wrong) == 0).tolist()
        return loss, {**share_right(batch.kinds, right), "questions": float(questions)}, batch.ids.shape[1]

    def export(self, folder: Path) -> None:
        """Write the adapter in bfloat16, as peft reads it, and what it belongs to."""
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
