"""Memory tokens: their values before any text, the tokens that write them, and how they are updated.

They are float32 whatever the base model is: steps of training would be lost in fewer bits, and so would old memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from rmtbench.rmt.config import RmtConfig, Update

STRETCH = 0.1
"""How far the gate of a latched memory reaches beyond 0 and 1 before it is cut off."""


class Memory(torch.nn.Module):
    """The paper's memory: learned embeddings at first, then the last hidden states at the written places."""

    by_adamw = True  # a gate, too: see `rmtbench.training.optimizers`

    def __init__(self, config: RmtConfig, embeddings: torch.Tensor) -> None:
        super().__init__()
        self.scale = float(embeddings.detach().float().std())
        self.tokens = self._table(config.memory_tokens, embeddings.shape[1])

    def initial(self, rows: int) -> torch.Tensor:
        """The memory before any text, ``[rows, memory tokens, hidden]``."""
        return self.tokens.weight.expand(rows, -1, -1)

    def written(self, memory: torch.Tensor) -> torch.Tensor:
        """Embeddings for the places that a decoder writes to, shaped like the memory that it reads."""
        return memory

    def renew(self, memory: torch.Tensor, states: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - a subclass needs it
        """The next memory from the last one and the last hidden states at the written places, all of one shape."""
        return states

    def _table(self, count: int, width: int) -> torch.nn.Embedding:
        return torch.nn.Embedding(count, width, _weight=torch.randn(count, width) * self.scale)


class GatedMemory(Memory):
    """A memory that keeps what its gate does not let be replaced; written places have learned embeddings of their own.

    New = (1 - gate) * old + gate * candidate, where the candidate is a linear map of the normed states back to the
    scale of embeddings, and the gate is a map of both.
    """

    def __init__(self, config: RmtConfig, embeddings: torch.Tensor) -> None:
        super().__init__(config, embeddings)
        width = embeddings.shape[1]
        self.places = self._table(config.memory_tokens, width) if config.kind == "decoder" else None
        self.norm = torch.nn.RMSNorm(width)
        self.candidate = torch.nn.Linear(width, width)
        self.gate = torch.nn.Linear(2 * width, width)
        with torch.no_grad():
            torch.nn.init.eye_(self.candidate.weight).mul_(self.scale)
            torch.nn.init.zeros_(self.candidate.bias)
            torch.nn.init.zeros_(self.gate.weight)
            torch.nn.init.constant_(self.gate.bias, -1.0)  # about a quarter is replaced at first

    def written(self, memory: torch.Tensor) -> torch.Tensor:
        """The learned embeddings of the written places, whatever the memory holds."""
        return memory if self.places is None else self.places.weight.expand(memory.shape[0], -1, -1)

    def renew(self, memory: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Old memory and candidate, mixed by the gate."""
        normed = self.norm(states)
        gate = self.opened(self.gate(torch.cat([normed, memory], dim=-1)))
        mixed: torch.Tensor = memory + gate * (self.candidate(normed) - memory)
        return mixed.float()  # in mixed precision too

    def opened(self, scores: torch.Tensor) -> torch.Tensor:
        """From the gate's scores to the share that is replaced, above 0 and below 1 always."""
        return torch.sigmoid(scores)


class LatchedMemory(GatedMemory):
    """A gated memory whose gate closes entirely, so that what it holds outlasts any number of segments to the last bit.

    The sigmoid is stretched to a little below 0 and above 1 and cut off there, as in the hard concrete distribution
    (Louizos et al., arXiv:1712.01312, section 2.2), without its noise: the same function in training and in use.
    """

    def opened(self, scores: torch.Tensor) -> torch.Tensor:
        """From the gate's scores to the share that is replaced, from 0 to 1 inclusive."""
        return opened_entirely(scores)


class FixedMemory(Memory):
    """Memory tokens that are the same in every segment, as in ARMT: what is kept is in the layers' associations."""

    def renew(self, memory: torch.Tensor, states: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - a superclass has it
        """The tokens as they were."""
        return memory


class GradientMemory(Memory):
    """The memory that gradient steps start from, with their rates; see `rmtbench.rmt.gradient`.

    Attributes:
        log_rates: Logarithm of each memory token's rate, ``[memory tokens, 1]``; training moves it.
        head: From last hidden states to the logits that reconstruct a text; None for the base model's own head.
    """

    def __init__(self, config: RmtConfig, embeddings: torch.Tensor, head: torch.Tensor | None = None) -> None:
        super().__init__(config, embeddings)
        first = math.log(config.form.inner_rate * self.scale**2)
        self.log_rates = torch.nn.Parameter(torch.full((config.memory_tokens, 1), first))
        self.head: torch.nn.Linear | None = None
        if config.form.write_head:
            table = embeddings if head is None else head
            self.head = torch.nn.Linear(table.shape[1], table.shape[0], bias=False)
            with torch.no_grad():
                self.head.weight.copy_(table)

    @property
    def rates(self) -> torch.Tensor:
        """Rate of each memory token, ``[memory tokens, 1]``."""
        return self.log_rates.exp()


def opened_entirely(scores: torch.Tensor) -> torch.Tensor:
    """A sigmoid that reaches 0 and 1: see `LatchedMemory`."""
    return (torch.sigmoid(scores) * (1 + 2 * STRETCH) - STRETCH).clamp(0, 1)


def make_memory(config: RmtConfig, embeddings: torch.Tensor, head: torch.Tensor | None = None) -> Memory:
    """Memory tokens for a base model, trainable and on its device.

    Args:
        config: How many, how renewed, and the seed; the caller's random state is left as it was.
        embeddings: The base model's token embeddings ``[vocabulary, hidden]``, whose spread the first memory has.
        head: The weight of the model's head, of the same shape; None where it has none.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        made = (
            GradientMemory(config, embeddings, head)
            if config.by_gradient
            else _UPDATES[config.update](config, embeddings)
        )
    return made.to(embeddings.device)  # drawn on the CPU: a seed means the same memory on every device


_UPDATES: Mapping[Update, type[Memory]] = {
    "overwrite": Memory,
    "gated": GatedMemory,
    "latched": LatchedMemory,
    "associative": LatchedMemory,
    "per-layer": FixedMemory,
}
