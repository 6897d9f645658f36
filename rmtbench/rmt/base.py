"""The seam of recurrent memory: one functional step from a memory and a segment to a new memory, and what it yields.

No module keeps a state between two steps: memory is a tensor that is passed in and comes out. Behind its memory tokens
lie a model's associations, where it has any: ``[rows, memory tokens + rows of associations, hidden]``. Memory that
accumulates has the tokens of every kept segment in place of one's, and none before any text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.rmt.config import RmtConfig

if TYPE_CHECKING:
    import torch

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class BaseIdentity:
    """Which pretrained weights a memory was made for.

    Attributes:
        id: Hub id or name.
        weights_sha256: Hash of the weights before any training here: see `rmtbench.models.weights`.
        tokenizer_sha256: Hash of the tokenizer whose ids are read; None if the ids are of no tokenizer.
        configuration_sha256: Hash of the configuration that decides what the weights compute, such as rotary
            positions; None where it was not recorded.

    Raises:
        UserError: The weights have no hash, so that no other could be refused.
    """

    id: str
    weights_sha256: str
    tokenizer_sha256: str | None = None
    configuration_sha256: str | None = None

    def __post_init__(self) -> None:
        if len(self.weights_sha256) != 64:
            raise UserError(
                f"the weights of base model '{self.id}' have no hash ({self.weights_sha256})",
                where=flag.base,
                remedy="load the base model from a folder, or from a hub cache that holds its files",
            )

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> BaseIdentity:
        """The identity of a loaded model, from its `LanguageModel.provenance`."""
        configuration = provenance.get("identity_parts", {}).get("configuration")
        return cls(provenance["id"], provenance["weights_sha256"], provenance["tokenizer_sha256"], configuration)


@dataclass(frozen=True, slots=True)
class SegmentRead:
    """What the reading of one segment a row left.

    Attributes:
        memory: After it, ``[rows, memory tokens, hidden]``, float32.
        text: Last hidden states of the text, ``[rows, longest, hidden]``; behind a row's own end they mean nothing.
        cue: The state that an answer is predicted from, ``[rows, hidden]``: of the last text token (decoder) or
            of [CLS] (encoder).
    """

    memory: torch.Tensor
    text: torch.Tensor
    cue: torch.Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """One segment of each row that had one to read, all read at once.

    Attributes:
        rows: Which rows; row ``rows[i]`` has place i in everything else.
        numbers: Which segment of its row each is, from 0.
        segments: Their token ids.
        read: What was left of them.
    """

    rows: tuple[int, ...]
    numbers: tuple[int, ...]
    segments: tuple[Ids, ...]
    read: SegmentRead


class Recurrent(Protocol):
    """A pretrained model that reads by segments; a `torch.nn.Module` besides."""

    @property
    def config(self) -> RmtConfig:
        """Its settings."""
        ...

    @property
    def identity(self) -> BaseIdentity:
        """Its base model."""
        ...

    def initial_memory(self, rows: int) -> torch.Tensor:
        """The learned memory before any text, ``[rows, memory tokens, hidden]``, float32."""
        ...

    def read_segment(self, memory: torch.Tensor, segments: Sequence[Ids]) -> SegmentRead:
        """Read one segment a row. A row's result does not depend on the other rows.

        Args:
            memory: ``[rows, memory tokens, hidden]``.
            segments: Token ids of each row, from one to the configured number.

        Raises:
            ValueError: A segment is empty or too long.
        """
        ...
