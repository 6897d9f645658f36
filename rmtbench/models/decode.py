"""The one greedy decode loop of every system. Only the reader, which knows how context reached the cache, differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rmtbench.core import Finish

if TYPE_CHECKING:
    import torch


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


@dataclass(frozen=True, slots=True)
class Decoded:
    """One row's answer tokens (without the end-of-sequence token), and the batch's clock."""

    ids: tuple[int, ...]
    finish: Finish
    prefill_seconds: float
    decode_seconds: float


def greedy(
    reader: Reader,
    rows: int,
    finish: Callable[[Sequence[int]], Finish | None],
    max_tokens: int,
) -> list[Decoded]:
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
    ids: list[list[int]] = [[] for _ in range(rows)]
    ends: list[tuple[Finish, float] | None] = [None] * rows
    live = list(range(rows))
    tokens = reader.read().argmax(dim=-1)
    chosen = tokens.tolist()  # waits for the device: the first token is known from here on
    first = time.perf_counter()
    while live:
        for row, token in zip(live, chosen, strict=True):
            ids[row].append(token)
            end = finish(ids[row]) or ("length" if len(ids[row]) == max_tokens else None)
            if end is not None:
                ends[row] = (end, time.perf_counter())
        keep = [place for place, row in enumerate(live) if ends[row] is None]
        if len(keep) < len(live):
            live = [live[place] for place in keep]
            tokens = tokens[keep]
        if live:
            tokens = reader.step(live, tokens).argmax(dim=-1)
            chosen = tokens.tolist()
    results = []
    for row_ids, row_end in zip(ids, ends, strict=True):
        if row_end is None:  # pragma: no cover - the loop ends only when every row has
            raise RuntimeError("a row has no end")
        reason, moment = row_end
        kept = row_ids[:-1] if reason == "eos" else row_ids
        results.append(Decoded(tuple(kept), reason, first - start, moment - first))
    return results
