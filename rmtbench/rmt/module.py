"""What decoder and encoder share: the base model, its memory, and which of all weights train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import torch

from rmtbench.rmt.associative import AssociationPass, Associations
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.memory import make_memory
from rmtbench.training.optimizers import adapter_factors

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class RecurrentModule(torch.nn.Module):
    """A base model with memory tokens; weights that do not train are frozen, the memory always trains.

    Attributes:
        config: Its settings.
        identity: Its base model.
        base: The transformers model, its code unchanged.
        memory: The memory tokens.
        associations: The associative memory of its layers; None where there is none.
    """

    def __init__(self, model: PreTrainedModel, config: RmtConfig, identity: BaseIdentity) -> None:
        super().__init__()
        self.config, self.identity = config, identity
        self.base = model.eval()
        head = getattr(model.get_output_embeddings(), "weight", None)
        self.memory = make_memory(config, model.get_input_embeddings().weight, head)
        keys = config.form.associative_keys
        self.associations = Associations(model, config.seed, keys) if config.associates else None
        model.requires_grad_(config.trained in ("layers", "all"))
        if config.trained == "layers":
            for part in (model.get_input_embeddings(), model.get_output_embeddings()):
                if part is not None:
                    part.requires_grad_(False)
        if config.trained == "lora":
            _add_adapters(model, config)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the base model: nothing in it drops out, so that training reads as use does."""
        super().train(mode)
        self.base.eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.memory.tokens.weight.device

    def initial_memory(self, rows: int) -> torch.Tensor:
        """The learned memory before any text, ``[rows, memory tokens, hidden]``; associations, none yet, behind it.

        A memory that accumulates is empty before any text, ``[rows, 0, hidden]``: the learned one is read in its place.
        """
        tokens = self.memory.initial(rows)
        if self.config.accumulates:
            return tokens[:, :0]
        if self.associations is None:
            return tokens
        return torch.nn.functional.pad(tokens, (0, 0, 0, self.associations.rows))

    def tokens_of(self, memory: torch.Tensor) -> torch.Tensor:
        """The memory tokens ``[rows, memory tokens, hidden]`` of a memory, without associations.

        Of one that accumulates those of all kept segments, oldest first; the learned ones where none is kept.
        """
        if self.config.accumulates:
            return memory if memory.shape[1] else self.memory.initial(len(memory))
        return memory[:, : self.config.memory_tokens]

    def newest_of(self, memory: torch.Tensor) -> torch.Tensor:
        """The last segment's memory tokens ``[rows, memory tokens, hidden]``; the learned ones before any."""
        return self.tokens_of(memory)[:, -self.config.memory_tokens :]

    def kept(self, memory: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The memory after a segment whose own memory tokens are ``[rows, memory tokens, hidden]``.

        They take the place of the last ones, or, where memory accumulates, stand behind them; of more than
        `memory_last` segments the oldest goes.
        """
        if not self.config.accumulates:
            return tokens
        last = self.config.form.memory_last
        both = torch.cat([memory, tokens], dim=1)
        return both if last is None else both[:, -last * self.config.memory_tokens :]

    @contextmanager
    def using(self, memory: torch.Tensor, places: int = 0) -> Iterator[AssociationPass | None]:
        """Have the base model's layers use a memory's associations, if it has any, while the block lasts.

        Args:
            memory: As it was passed in, a row for each of the input.
            places: How many tokens at the end of the input are written places.
        """
        if self.associations is None:
            yield None
            return
        with self.associations.during(memory[:, self.config.memory_tokens :], places) as passed:
            yield passed

    def joined(self, *parts: torch.Tensor) -> torch.Tensor:
        """Memory and embeddings ``[rows, ..., hidden]`` side by side, in the base model's type."""
        return torch.cat([part.to(self.base.get_input_embeddings().weight.dtype) for part in parts], dim=1)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token embeddings ``[..., hidden]`` of ids ``[...]``."""
        embedded: torch.Tensor = self.base.get_input_embeddings()(ids)
        return embedded

    def renewed(
        self, memory: torch.Tensor, states: torch.Tensor, passed: AssociationPass | None = None
    ) -> torch.Tensor:
        """The memory after a segment.

        Args:
            memory: Before it, associations included.
            states: Last hidden states at the written places, ``[rows, memory tokens, hidden]``.
            passed: What the layers wrote, if they did.

        Returns:
            Of the shape of `memory`, or longer by one segment's tokens where it accumulates; float32.
        """
        tokens = self.memory.renew(self.newest_of(memory), states.float())
        if self.associations is None or passed is None:
            return self.kept(memory, tokens)
        return torch.cat([tokens, self.associations.packed(passed)], dim=1)

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The weights that train, by name."""
        return {name: weight for name, weight in self.named_parameters() if weight.requires_grad}

    def check_lengths(self, lengths: list[int]) -> None:
        """Refuse segments that are empty or longer than the configured number of tokens.

        Raises:
            ValueError: One is.
        """
        if not all(1 <= length <= self.config.segment_tokens for length in lengths):
            raise ValueError(f"segments of {lengths} tokens, where 1 to {self.config.segment_tokens} can be read")


def _add_adapters(model: PreTrainedModel, config: RmtConfig) -> None:
    """Put a trainable adapter on every linear layer but the head, in place."""
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    adapters = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        target_modules="all-linear",
        fan_in_fan_out=any(isinstance(each, Conv1D) for each in model.modules()),  # as GPT-2 lays its weights out
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        inject_adapter_in_model(adapters, model)
    adapter_factors(model)  # by AdamW
