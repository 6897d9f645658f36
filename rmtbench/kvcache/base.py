"""The seam of all prefix caches: a context that was read once, and answers that continue it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from rmtbench.models.base import Generation


class Prefix(Protocol):
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
