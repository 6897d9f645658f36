"""Callbacks while a cache is read or loaded: how far it is, and why a stored cache was not used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """How far a context has been read.

    Attributes:
        done: Tokens read or loaded so far.
        total: Tokens of the context.
        tokens_per_second: Speed of reading, without the tokens that were loaded.
    """

    done: int
    total: int
    tokens_per_second: float


def _ignore(_told: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Watch:
    """Callbacks; by default, they do nothing.

    Attributes:
        reading: Gets the progress after each chunk.
        notice: Gets one line of text.
    """

    reading: Callable[[ReadProgress], None] = _ignore
    notice: Callable[[str], None] = _ignore


NOBODY = Watch()
