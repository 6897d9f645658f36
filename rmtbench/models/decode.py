"""The one greedy decode loop of every system. Only the reader, which knows how context reached the cache, differs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rmtbench.core import Finish

if TYPE_CHECKING:
    import torch

Ids = Sequence[int]
Finishes = Callable[[Ids], Finish | None]
"""Tells from a row's tokens so far whether it has ended."""


class Reader(Protocol):
    """Feeds tokens to a model whose cache it owns; rows are the prompts of one batch."""

    def read(self) -> torch.Tensor:
        """Read what is left of every prompt.

        Returns:
            Logits after each prompt's last token, ``[rows, vocabulary]``.
        """
        ...

    def step(self, rows: Sequence[int], tokens: torch.Tensor) -> torch.Tensor:
        """Append one token to each of `rows`.

        Args:
            rows: The rows that are still being answered, ascending.
            tokens: Their tokens, ``[len(rows)]``.

        Returns:
            Their next logits, ``[len(rows), vocabulary]``.
        """
        ...


NOT_FINITE = "the model's logits are not finite (NaN or infinite)"
"""Why a row has no answer: its weights are damaged, or its numbers overflow the dtype."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One row's answer tokens (without the end-of-sequence token), and its seconds.

    `error` says why there is no answer where `finish` is ``error``.
    """

    ids: tuple[int, ...]
    finish: Finish
    prefill_seconds: float
    decode_seconds: float
    error: str | None = None


@dataclass(slots=True)
class Row:
    """A row in its place. Seconds are its share of the forwards; `first` and `end` are readings of the clock.

    `asked` counts the tokens that forwards were begun for.
    """

    key: int
    tail: Ids
    ids: list[int] = field(default_factory=list)
    prefill: float = 0.0
    decode: float = 0.0
    first: float = 0.0
    end: float = 0.0
    finish: Finish | None = None
    asked: int = 0

    def decoded(self, prefill: float, decode: float) -> Decoded:
        """Return its result with these seconds; the row has ended."""
        if self.finish is None:  # pragma: no cover - rows leave their places only when they have ended
            raise RuntimeError("a row has no end")
        if self.finish == "error":
            return Decoded((), "error", prefill, decode, f"{NOT_FINITE} after {len(self.ids)} tokens of the answer")
        kept = self.ids[:-1] if self.finish == "eos" else self.ids
        return Decoded(tuple(kept), self.finish, prefill, decode)


def never(_ids: Ids) -> None:
    """A `Finishes` that lets no answer end before its full length."""


def greedy(reader: Reader, rows: int, finish: Finishes, max_tokens: int) -> list[Decoded]:
    """Answer a batch greedily, each row until its own end.

    Args:
        reader: Holds the prompts.
        rows: How many there are.
        finish: Tells from a row's tokens so far whether it has ended.
        max_tokens: Most tokens of an answer.

    Returns:
        One result a row, in order. `prefill_seconds` runs to the first token of all rows, `decode_seconds` from there
        to the row's own end.
    """
    import torch

    start, ended = time.perf_counter(), list[Row]()
    batch = GreedyRows(((row, ()) for row in range(rows)), rows, finish, max_tokens)
    logits = reader.read()
    while (forward := batch.ask()) is not None:
        if forward.stepping:
            logits = reader.step(forward.stepping, torch.tensor(forward.last, device=logits.device))
        batch.take(forward, tokens_of(likeliest(logits).tolist()))
        ended += batch.ended()
    return [row.decoded(row.first - start, row.end - row.first) for row in sorted(ended, key=lambda row: row.key)]


@dataclass(frozen=True, slots=True)
class Forward:
    """What one forward reads: a token of each row that goes on, and all that is left to read of those that begin.

    Attributes:
        stepping: Places whose rows go on, ascending.
        entering: Places where rows begin, and what is left to read of their prompts.
        rows: The rows of both, in this order.
    """

    stepping: Sequence[int]
    entering: Sequence[tuple[int, Ids]]
    rows: Sequence[Row]

    @property
    def last(self) -> list[int]:
        """The last token of each row that goes on, as far as the forwards before this one have been taken in."""
        return [row.ids[-1] for row in self.rows[: len(self.stepping)]]


class GreedyRows:
    """Rows that are answered greedily, each in a place: when a row ends, the next prompt takes its place.

    It calls no model. `ask` says what the next forward reads, and `take` gets the tokens that come of it; a second
    forward may be asked for before. `ended` gives the rows that have ended.

    The seconds between one forward's end and the next one's are shared by the tokens that it reads: a question's are
    prefill, those of an answer decode. So all rows' seconds add up to the loop's, without those that its caller spends
    between two results.

    Args:
        prompts: A key and what is left to read of each; asked for when a place is free.
        places: How many places there are.
        finish: Tells from a row's tokens so far whether it has ended.
        max_tokens: Most tokens of an answer.
    """

    def __init__(self, prompts: Iterator[tuple[int, Ids]], places: int, finish: Finishes, max_tokens: int) -> None:
        self._prompts, self._places, self._finish, self._most = prompts, places, finish, max_tokens
        self._live: dict[int, Row] = {}
        self._ended: list[Row] = []
        self._mark = time.perf_counter()

    def ask(self) -> Forward | None:
        """Begin a forward; None while rows that have ended are not taken, and where there is nothing to read."""
        if self._ended:
            return None
        free = [place for place in range(self._places) if place not in self._live]
        entering = {place: Row(key, tail) for place, (key, tail) in zip(free, self._prompts, strict=False)}
        stepping = [place for place in sorted(self._live) if self._live[place].asked < self._most]
        if not stepping and not entering:
            return None
        rows = [*(self._live[place] for place in stepping), *entering.values()]
        for row in rows:
            row.asked += 1
        self._live |= entering
        return Forward(stepping, [(place, row.tail) for place, row in entering.items()], rows)

    def take(self, forward: Forward, tokens: Sequence[int | None]) -> list[int]:
        """Append the tokens that a forward has chosen, and end rows.

        Args:
            forward: The one that was asked for first of those that have not been taken in.
            tokens: Of its rows, in order; None where the logits are not finite.

        Returns:
            Places of rows that have failed: a number that is not finite would spoil the next row there.
        """
        now, steps, failed = time.perf_counter(), len(forward.stepping), list[int]()
        share = (now - self._mark) / max(1, steps + sum(len(tail) for _, tail in forward.entering))
        self._mark = now
        for row in forward.rows[:steps]:
            row.decode += share
        for row in forward.rows[steps:]:
            row.prefill, row.first = share * len(row.tail), now
        places = [*forward.stepping, *(place for place, _ in forward.entering)]
        for place, row, token in zip(places, forward.rows, tokens, strict=True):
            if row.finish is not None:  # it had ended when this forward began
                continue
            row.finish = self._end(row, token)
            if token is None:
                failed.append(place)
            if row.finish is not None:
                self._ended.append(self._live.pop(place))
        return failed

    def ended(self) -> Iterator[Row]:
        """Yield the rows that have ended, and forget them. To be taken while no forward runs."""
        while self._ended:
            before = time.perf_counter()
            yield self._ended.pop(0)
            self._mark += time.perf_counter() - before

    def _end(self, row: Row, token: int | None) -> Finish | None:
        """Append a row's next token; return why it ends with it, or None if it goes on."""
        ended: Finish | None = "error"
        if token is not None:
            row.ids.append(token)
            ended = self._finish(row.ids) or ("length" if len(row.ids) == self._most else None)
        row.end = time.perf_counter()
        return ended


def likeliest(logits: torch.Tensor) -> torch.Tensor:
    """Each row's likeliest token beside its logit, ``[rows, 2]`` in float32, in which ids below 2^24 are exact.

    Both come to the host in one transfer: see `tokens_of`.
    """
    import torch

    best = logits.argmax(dim=-1, keepdim=True)
    return torch.cat([best.float(), logits.gather(-1, best).float()], dim=-1)


def tokens_of(found: Sequence[tuple[float, float]]) -> list[int | None]:
    """Tokens from what `likeliest` found; None where the best logit is not finite, as it is if any logit is NaN."""
    return [int(token) if math.isfinite(value) else None for token, value in found]
