"""What whoever waits for a cache is told: how far the reading is, and why a stored cache was not used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """How far a context has been read.

    Attributes:
        done: Tokens read, those that stood ready included.
        total: Tokens of the context.
        tokens_per_second: Of those that were read now.
    """

    done: int
    total: int
    tokens_per_second: float


def _ignore(_told: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Watch:
    """Callbacks of whoever waits; by default nobody does.

    Attributes:
        reading: Gets one entry a chunk.
        notice: Gets one line of words.
    """

    reading: Callable[[ReadProgress], None] = _ignore
    notice: Callable[[str], None] = _ignore


NOBODY = Watch()
