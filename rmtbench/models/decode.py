"""The one greedy decode loop of every system. Only the reader, which knows how context reached the cache, differs."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

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


Tokens = Callable[[], Sequence[int | None]]
"""Waits until a forward has ended, and returns its rows' next tokens; None where the logits are not finite."""


@runtime_checkable
class DevicePlaces(Protocol):
    """Places that keep their rows' last tokens on the device: a forward begins before the host knows them."""

    def start(self, stepping: Sequence[int], entering: Sequence[tuple[int, Ids]]) -> Tokens:
        """Begin one forward; rows that step read the token that was chosen for them last.

        Args:
            stepping: Places whose rows go on, ascending.
            entering: Places where rows begin, and what is left to read of their prompts.

        Returns:
            What waits for the tokens of the stepping rows, then of those that entered.
        """
        ...

    def clear(self, place: int) -> None:
        """Forget what a failed row left in its place: see `Places`."""
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
        if self.finish is None:  # pragma: no cover - rows leave their places only when they have ended
            raise RuntimeError("a row has no end")
        if self.finish == "error":
            return Decoded((), "error", prefill, decode, f"{NOT_FINITE} after {len(self.ids)} tokens of the answer")
        kept = self.ids[:-1] if self.finish == "eos" else self.ids
        return Decoded(tuple(kept), self.finish, prefill, decode)


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
    start, places = time.perf_counter(), _AtOnce(_Whole(reader))
    ended = _loop(places, ((row, ()) for row in range(rows)), rows, finish, max_tokens)
    return [row.decoded(row.first - start, row.end - row.first) for row in sorted(ended, key=lambda ended: ended.key)]


def greedy_continuous(
    places: Places | DevicePlaces, prompts: Iterator[tuple[int, Ids]], count: int, finish: Finishes, max_tokens: int
) -> Iterator[tuple[int, Decoded]]:
    """Answer greedily as many prompts as there come: when a row ends, the next prompt takes its place.

    Over `DevicePlaces` the host is one forward behind: while it looks whether a row has ended, the next forward runs.
    So a row that ends by a token, and not by `max_tokens`, has read one token in vain.

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
    if isinstance(places, DevicePlaces):
        ended = _loop(places, prompts, count, finish, max_tokens, behind=True)
    else:
        ended = _loop(_AtOnce(places), prompts, count, finish, max_tokens)
    for row in ended:
        yield row.key, row.decoded(row.prefill, row.decode)


@dataclass(frozen=True, slots=True)
class _Forward:
    """A forward that has begun: its rows with their places, in the order of its tokens."""

    rows: Sequence[tuple[int, _Row]]
    entering: int
    tokens: Tokens

    def reads(self, number: int) -> int:
        """Tokens that it reads of a row: one, or the whole tail of a row that enters."""
        return len(self.rows[number][1].tail) if number >= len(self.rows) - self.entering else 1


def _loop(
    places: DevicePlaces,
    prompts: Iterator[tuple[int, Ids]],
    count: int,
    finish: Finishes,
    max_tokens: int,
    *,
    behind: bool = False,
) -> Iterator[_Row]:
    """The one loop: begin a forward, wait for its tokens, or for those of the one before it; end rows.

    Args:
        places: Where rows are.
        prompts: Keys and what is left to read.
        count: How many places there are.
        finish: Tells whether a row has ended.
        max_tokens: Most tokens of an answer.
        behind: Whether a forward begins before the tokens of the one before it are waited for.

    Yields:
        Rows that have ended, while no forward is running.
    """
    live: dict[int, _Row] = {}
    running: deque[_Forward] = deque()
    ended: list[_Row] = []
    mark = time.perf_counter()
    while True:
        if not ended:  # else what runs ends first: nothing runs while whoever takes results uses the device
            entering = [
                (place, _Row(key, tail))
                for place, (key, tail) in zip(
                    [place for place in range(count) if place not in live], prompts, strict=False
                )
            ]
            stepping = [place for place in sorted(live) if live[place].asked < max_tokens]
            if stepping or entering:
                running.append(_begin(places, [(place, live[place]) for place in stepping], entering))
                live.update(entering)
                if behind and len(running) == 1:
                    continue
        if not running:
            return
        forward = running.popleft()
        chosen = forward.tokens()  # waits for the device: the tokens are known from here on
        now = time.perf_counter()
        _share(forward, now - mark, now)
        mark = now
        for (place, row), token in zip(forward.rows, chosen, strict=True):
            if row.finish is None:  # else it had ended when this forward began
                row.finish = _take(row, token, finish, max_tokens)
                if token is None:
                    places.clear(place)
                if row.finish is not None:
                    ended.append(live.pop(place))
        while ended and not running:
            before = time.perf_counter()
            yield ended.pop(0)
            mark += time.perf_counter() - before


def _begin(places: DevicePlaces, stepping: list[tuple[int, _Row]], entering: list[tuple[int, _Row]]) -> _Forward:
    """Begin a forward that asks one token for each of these rows."""
    tokens = places.start([place for place, _ in stepping], [(place, row.tail) for place, row in entering])
    rows = [*stepping, *entering]
    for _, row in rows:
        row.asked += 1
    return _Forward(rows, len(entering), tokens)


def _share(forward: _Forward, seconds: float, now: float) -> None:
    """Share a forward's seconds out among its rows by the tokens that it read of each."""
    share = seconds / max(1, sum(forward.reads(number) for number in range(len(forward.rows))))
    for number, (_, row) in enumerate(forward.rows):
        if number < len(forward.rows) - forward.entering:
            row.decode += share
        else:
            row.prefill, row.first = share * len(row.tail), now


def _take(row: _Row, token: int | None, finish: Finishes, max_tokens: int) -> Finish | None:
    """Append a row's next token; return why it ends with it, or None if it goes on."""
    ended: Finish | None = "error"
    if token is not None:
        row.ids.append(token)
        ended = finish(row.ids) or ("length" if len(row.ids) == max_tokens else None)
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


class _AtOnce:
    """`Places` as `DevicePlaces`: each forward is waited for where it begins."""

    def __init__(self, places: Places) -> None:
        self._places, self._last = places, dict[int, int]()

    def start(self, stepping: Sequence[int], entering: Sequence[tuple[int, Ids]]) -> Tokens:
        logits = self._places.advance(stepping, [self._last[place] for place in stepping], entering)
        chosen = tokens_of(likeliest(logits).tolist())
        order = [*stepping, *(place for place, _ in entering)]
        self._last |= {place: token for place, token in zip(order, chosen, strict=True) if token is not None}
        return lambda: chosen

    def clear(self, place: int) -> None:
        self._places.clear(place)


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
