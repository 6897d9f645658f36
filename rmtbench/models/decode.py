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


class Places(Protocol):
    """Feeds tokens to a model whose cache it owns; a row can begin while others go on."""

    def advance(self, stepping: Sequence[int], tokens: Ids, entering: Sequence[tuple[int, Ids]]) -> torch.Tensor:
        """One forward.

        Args:
            stepping: Places whose rows go on, ascending.
            tokens: Their next tokens.
            entering: Places where rows begin, and what is left to read of their prompts.

        Returns:
            The next logits of the stepping rows, then of those that entered, ``[rows, vocabulary]``.
        """
        ...

    def clear(self, place: int) -> None:
        """Forget what a failed row left in its place: a number that is not finite would spoil the next row there."""
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
class _Row:
    """A row in its place. Seconds are its share of the forwards; `first` and `end` are readings of the clock."""

    key: int
    tail: Ids
    ids: list[int] = field(default_factory=list)
    prefill: float = 0.0
    decode: float = 0.0
    first: float = 0.0
    end: float = 0.0
    finish: Finish | None = None

    def decoded(self, prefill: float, decode: float) -> Decoded:
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
    start = time.perf_counter()
    ended = _loop(_Whole(reader), ((row, ()) for row in range(rows)), rows, finish, max_tokens)
    return [row.decoded(row.first - start, row.end - row.first) for row in sorted(ended, key=lambda ended: ended.key)]


def greedy_continuous(
    places: Places, prompts: Iterator[tuple[int, Ids]], count: int, finish: Finishes, max_tokens: int
) -> Iterator[tuple[int, Decoded]]:
    """Answer greedily as many prompts as there come: when a row ends, the next prompt takes its place.

    Args:
        places: Holds what all prompts continue.
        prompts: A key and what is left to read, at least one token, of each; asked for when a place is free.
        count: How many places there are.
        finish: Tells from a row's tokens so far whether it has ended.
        max_tokens: Most tokens of an answer.

    Yields:
        Key and result of each row as it ends. The seconds between one forward's end and the next one's are shared by
        the tokens that it reads: a question's are prefill, those of an answer decode. So all rows' seconds add up to
        the loop's, without those that whoever takes the results spends between them.
    """
    for row in _loop(places, prompts, count, finish, max_tokens):
        yield row.key, row.decoded(row.prefill, row.decode)


def _loop(
    places: Places, prompts: Iterator[tuple[int, Ids]], count: int, finish: Finishes, max_tokens: int
) -> Iterator[_Row]:
    """The one loop: forward, choose, end; rows come out as they end."""
    live: dict[int, _Row] = {}
    mark = time.perf_counter()
    while True:
        entering = [
            (place, _Row(key, tail))
            for place, (key, tail) in zip([place for place in range(count) if place not in live], prompts, strict=False)
        ]
        stepping = sorted(live)
        if not stepping and not entering:
            return
        logits = places.advance(
            stepping, [live[place].ids[-1] for place in stepping], [(place, row.tail) for place, row in entering]
        )
        chosen = _choose(logits)  # waits for the device: the tokens are known from here on
        now = time.perf_counter()
        share = (now - mark) / max(1, len(stepping) + sum(len(row.tail) for _, row in entering))
        mark = now
        for place in stepping:
            live[place].decode += share
        for place, row in entering:
            row.prefill, row.first = share * len(row.tail), now
            live[place] = row
        order = [*stepping, *(place for place, _ in entering)]
        for place, token in zip(order, chosen, strict=True):
            row = live[place]
            if token is None:
                row.finish = "error"
                places.clear(place)
            else:
                row.ids.append(token)
                row.finish = finish(row.ids) or ("length" if len(row.ids) == max_tokens else None)
            row.end = time.perf_counter()
        ended = [live.pop(place) for place in order if live[place].finish is not None]
        for row in ended:
            before = time.perf_counter()
            yield row
            mark += time.perf_counter() - before


def _choose(logits: torch.Tensor) -> list[int | None]:
    """Each row's likeliest token; None where the best logit is not finite, as it is if any logit is NaN.

    Both come in one transfer, as float32, in which every token id below 2^24 is exact.
    """
    import torch

    best = logits.argmax(dim=-1, keepdim=True)
    values = torch.cat([best.float(), logits.gather(-1, best).float()], dim=-1).tolist()
    return [int(token) if math.isfinite(value) else None for token, value in values]


class _Whole:
    """A `Reader`, all of whose rows begin at once, as `Places`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def advance(self, stepping: Sequence[int], tokens: Ids, entering: Sequence[tuple[int, Ids]]) -> torch.Tensor:
        import torch

        if entering:
            logits = self._reader.read()
            self._device = logits.device
            return logits
        return self._reader.step(stepping, torch.tensor(tokens, device=self._device))

    def clear(self, place: int) -> None:
        """Nothing: no row begins in the place of another."""
