"""A memory of the mini model that has learned nothing, and texts of words drawn by chance, for the benches' tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmtbench.bench.rmt_texts import Opening
from rmtbench.models.load import load_model
from rmtbench.rmt.base import BaseIdentity, Ids
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.storage import save_pretrained, wrap
from rmtbench.rmt.tasks.base import Sample

SEGMENT, MEMORY = 32, 4


def save_memory(folder: Path, notes: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write an untrained memory of the mini model; its answers are of the style `direct`."""
    local = load_model("mini")
    settings = {"kind": "decoder", "segment_tokens": SEGMENT, "memory_tokens": MEMORY, "trained": "memory", **changes}
    model = wrap(local.model, RmtConfig(**settings), BaseIdentity.of(local.provenance))
    save_pretrained(model, folder, {"style": "direct", **(notes or {})})  # type: ignore[arg-type]
    return folder


def opening(folder: Path) -> Opening:
    """How the tests load it."""
    return Opening(folder, style="direct")


def words(count: int, seed: object) -> list[int]:
    """Token ids of the mini model, none special."""
    return random.Random(f"{seed}").choices(range(300, 4000), k=count)


@dataclass
class Words:
    """A `Task` of random words whose answers are given by question, or else are always the same one."""

    size: int = SEGMENT
    name: str = "words"
    question_tokens: int = 6
    answers: dict[tuple[int, ...], Ids] = field(default_factory=dict)
    made: list[int] = field(default_factory=list)

    def sample(self, segments: int, chance: random.Random) -> Sample:
        """Segments are made as they are read, and counted."""
        if segments < 2:
            raise ValueError("two segments are needed")
        seed = chance.getrandbits(32)
        question = tuple(words(self.question_tokens, seed))
        answer = self.answers.get(question, (500, 2))
        kind = "even" if seed % 2 == 0 else "odd"
        return Sample(self._segments(segments, seed), question, answer, segments - 1, answer, kind)

    def _segments(self, count: int, seed: int) -> Iterator[Ids]:
        for number in range(count):
            self.made.append(number)
            yield words(self.size, (seed, number))
