"""One step's line of tokens: each context is read once, and its questions attend to it and to themselves only.

So a question costs its own few tokens (the layout of `kvcache`, with a gradient).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from rmtbench.training.real_reading import Packed

BLOCK = 512
"""Tokens that attend together, at most: half of their scores with each other are made for nothing."""


@dataclass(frozen=True, slots=True)
class Block:
    """Tokens that attend together.

    Attributes:
        context: Earlier tokens, all of which they see.
        rows: The tokens themselves.
        hidden: Which of themselves each does not see, ``[rows, rows]``.
    """

    context: slice
    rows: slice
    hidden: torch.Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's line of tokens.

    Attributes:
        ids: ``[1, tokens]``.
        positions: Same shape; each question continues its own context's positions.
        blocks: All tokens, in order.
        predicts: Indexes of the tokens whose next token is learnt, ``[targets]``.
        expected: Those next tokens, ``[targets]``.
        owner: The question that each target belongs to, ``[targets]``.
        kinds: Kind of each question.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    blocks: Sequence[Block]
    predicts: torch.Tensor
    expected: torch.Tensor
    owner: torch.Tensor
    kinds: Sequence[str]


def line_up(packs: Sequence[Packed], device: torch.device | str) -> Batch:
    """Put contexts and their questions in one line.

    Args:
        packs: At least one.
        device: Where the tensors are made.
    """
    ids: list[int] = []
    positions: list[int] = []
    predicts: list[int] = []
    expected: list[int] = []
    owner: list[int] = []
    kinds: list[str] = []
    blocks: list[Block] = []
    for pack in packs:
        start, context = len(ids), len(pack.context)
        ids += pack.context
        positions += range(context)
        lengths = []
        for (question, answer), kind in zip(pack.questions, pack.kinds, strict=True):
            first = len(ids) + len(question)
            ids += [*question, *answer]
            positions += range(context, context + len(question) + len(answer))
            lengths.append(len(question) + len(answer))
            predicts += range(first - 1, first - 1 + len(answer))
            expected += answer
            owner += [len(kinds)] * len(answer)
            kinds.append(kind)
        blocks += _context_blocks(start, start + context, device)
        blocks += _question_blocks(slice(start, start + context), lengths, device)
    return Batch(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        blocks,
        torch.tensor(predicts, device=device),
        torch.tensor(expected, device=device),
        torch.tensor(owner, device=device),
        kinds,
    )


def _context_blocks(start: int, end: int, device: torch.device | str) -> Iterator[Block]:
    """A context in causal order."""
    for first in range(start, end, BLOCK):
        last = min(first + BLOCK, end)
        later = torch.ones(last - first, last - first, dtype=torch.bool, device=device).triu(1)
        yield Block(slice(start, first), slice(first, last), later)


def _question_blocks(context: slice, lengths: Sequence[int], device: torch.device | str) -> Iterator[Block]:
    """Whole questions, each of which sees its context and its own earlier tokens."""
    first = context.stop
    waiting: list[int] = []
    for number, length in enumerate(lengths):
        waiting.append(length)
        if number + 1 < len(lengths) and sum(waiting) + lengths[number + 1] <= BLOCK // 2:
            continue
        owners = torch.repeat_interleave(torch.arange(len(waiting)), torch.tensor(waiting))
        own = (owners[:, None] == owners[None, :]).tril()
        yield Block(context, slice(first, first + len(owners)), ~own.to(device))
        first += len(owners)
        waiting = []
