"""The seam of all prefix caches: a context that was read once, and answers that continue it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rmtbench.models.base import Generation

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PrefixKV:
    """What reading a context leaves behind: what a prefill yields, the store keeps and the shared prefix reads.

    Attributes:
        keys: One tensor a layer, ``[key-value heads, tokens, head width]``, positions already rotated in.
        values: The same of the values.
        token_ids: The context's token ids.
    """

    keys: Sequence[torch.Tensor]
    values: Sequence[torch.Tensor]
    token_ids: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens of the context."""
        return len(self.token_ids)

    @property
    def bytes(self) -> int:
        """Bytes of keys and values."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def cut(self, start: int, end: int) -> PrefixKV:
        """Views of the tokens from `start` to before `end`."""
        keys, values = (tuple(tensor[:, start:end] for tensor in side) for side in (self.keys, self.values))
        return PrefixKV(keys, values, self.token_ids[start:end])


class PrefixCache(Protocol):
    """A context held ready. Answering leaves it as it was; leaving the block gives its memory back."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def tokens(self) -> int:
        """Tokens held."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes held, the room for questions and answers included."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """What making it cost, by part."""
        ...

    def generate(self, questions: Sequence[str]) -> list[Generation]:
        """Answer questions that continue the context; several make one batch."""
        ...
