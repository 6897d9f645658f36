"""The logits by which answers are chosen: by one of our readers, and by a plain forward of transformers over it all."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rmtbench.models.decode import Reader
from rmtbench.models.local import LocalModel

Ids = Sequence[int]


def logits_by_reader(reader: Reader, answers: Sequence[Ids]) -> list[torch.Tensor]:
    """Feed given answers, each row until its own end.

    Args:
        reader: Holds the prompts.
        answers: Each row's tokens.

    Returns:
        For each row the logits after its prompt and after each of its tokens, ``[1 + tokens, vocabulary]``.
    """
    rows = [[logits] for logits in reader.read()]
    for step in range(max(map(len, answers))):
        live = [row for row, answer in enumerate(answers) if step < len(answer)]
        fed = torch.tensor([answers[row][step] for row in live])
        for row, logits in zip(live, reader.step(live, fed), strict=True):
            rows[row].append(logits)
    return [torch.stack(row) for row in rows]


@torch.inference_mode()
def logits_by_transformers(model: LocalModel, prompt: Ids, answer: Ids) -> torch.Tensor:
    """The same of one row without any cache, all tokens in one forward: ``[1 + tokens, vocabulary]``."""
    ids, kept = torch.tensor([[*prompt, *answer]]), 1 + len(answer)
    logits: torch.Tensor = model.model(ids, use_cache=False, logits_to_keep=kept).logits
    return logits[0]


def largest_difference(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Over all rows, steps and words; the rows must be of equal shape."""
    assert [row.shape for row in found] == [row.shape for row in expected]
    return max(float((left - right).abs().max()) for left, right in zip(found, expected, strict=True))
