"""Memory tokens: what they are before any text, what stands in their place for writing, and how they are renewed.

They are float32 whatever the base model is: steps of training would be lost in fewer bits, and so would old memory.
"""

from __future__ import annotations

import torch

from rmtbench.rmt.config import RmtConfig


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
        gate = torch.sigmoid(self.gate(torch.cat([normed, memory], dim=-1)))
        mixed: torch.Tensor = memory + gate * (self.candidate(normed) - memory)
        return mixed.float()  # in mixed precision too


def make_memory(config: RmtConfig, embeddings: torch.Tensor) -> Memory:
    """Memory tokens for a base model, trainable and on its device.

    Args:
        config: How many, how renewed, and the seed; the caller's random state is left as it was.
        embeddings: The base model's token embeddings ``[vocabulary, hidden]``, whose spread the first memory has.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        made = (GatedMemory if config.update == "gated" else Memory)(config, embeddings)
    return made.to(embeddings.device)  # drawn on the CPU: a seed means the same memory on every device
