"""Official BABILong files (Kuratov et al., 2024) as a task: rows of input, question and target.

They are read as the data set holds them, such as ``qa1/4k.json``: a JSON array, or one JSON object a line.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rmtbench.corpora.jsonfiles import decode, text_field
from rmtbench.corpora.miniature.asking import UNKNOWN
from rmtbench.errors import UserError
from rmtbench.models.prompt import PromptContract
from rmtbench.rmt.segments import cut
from rmtbench.rmt.tasks.babilong_rule import is_right, is_scored
from rmtbench.rmt.tasks.base import Sample
from rmtbench.rmt.tasks.wording import answer


@dataclass(frozen=True, slots=True)
class BabilongRow:
    """A story in noise (`input`), the question about it, and the answer (`target`)."""

    input: str
    question: str
    target: str


@dataclass(frozen=True)
class Babilong:
    """A `Task` over the rows of one file, whose texts have the lengths that they have.

    Answers to a file of ``qa1`` to ``qa20`` are judged by the benchmark's own rule, others by exact match.

    Attributes:
        name: ``babilong:`` with the file's folder and stem.
        kind: The folder's name, such as ``qa1``; else the file's stem.
        rows: The rows.
        contract: Makes the token ids; the rows hold no reasoning, so that a ``bridge`` answer has none either.
        segment_tokens: Tokens of every segment but a text's last.
    """

    name: str
    kind: str
    rows: Sequence[BabilongRow]
    contract: PromptContract
    segment_tokens: int

    def sample(self, segments: int, chance: random.Random) -> Sample:
        """One of the rows whose texts have at most so many segments.

        Args:
            segments: Most segments of its text.
            chance: Random numbers.

        Raises:
            ValueError: The text of every row is longer.
        """
        for row in chance.sample(self.rows, len(self.rows)):
            sample = self._of(row)
            if sample.told_by < segments:
                return sample
        raise ValueError(f"every text of {self.name} has more than {segments} segments of {self.segment_tokens} tokens")

    def samples(self) -> Iterator[Sample]:
        """All rows, in the file's order."""
        return map(self._of, self.rows)

    @property
    def longest_question(self) -> int:
        """Tokens of the longest question."""
        return max(len(self.contract.question_ids(row.question)) for row in self.rows)

    def each(self, segments: int, room: int, chance: random.Random) -> Iterator[Callable[[], Sample]]:
        """What makes the samples of rows whose texts have at most so many segments, each row once, in any order.

        Args:
            segments: Most segments of a text.
            room: Most tokens of a question.
            chance: Random numbers.
        """
        for row in chance.sample(self.rows, len(self.rows)):
            if len(self.contract.question_ids(row.question)) <= room and self._of(row).told_by < segments:
                yield partial(self._of, row)

    def _of(self, row: BabilongRow) -> Sample:
        ids = self.contract.tokenizer.encode(row.input, add_special_tokens=False, verbose=False)
        segments = list(cut(ids, self.segment_tokens))
        question, right = self.contract.question_ids(row.question), answer(self.contract, row.target)
        judge = partial(is_right, self.kind, row.question, row.target) if is_scored(self.kind) else None
        # Rows do not say where their facts lie: only at the end is an answer sure to be known.
        told_by, not_yet = len(segments) - 1, answer(self.contract, UNKNOWN)
        return Sample(segments, question, right, told_by, not_yet, self.kind, judge=judge)


def open_babilong(path: Path, contract: PromptContract, segment_tokens: int) -> Babilong:
    """Read a file.

    Args:
        path: The file.
        contract: Makes the token ids.
        segment_tokens: Tokens of a segment.

    Raises:
        UserError: The file cannot be read, or a row is not as it must be.
    """
    rows = load_rows(path)
    kind = path.parent.name if re.fullmatch(r"qa\d+", path.parent.name) else path.stem
    name = f"{kind}/{path.stem}" if kind != path.stem else kind
    return Babilong(f"babilong:{name}", kind, rows, contract, segment_tokens)


def load_rows(path: Path) -> tuple[BabilongRow, ...]:
    """The rows of a file; other fields than the three are passed over.

    Args:
        path: A file of a JSON array, or of one JSON object a line.

    Raises:
        UserError: The file cannot be read, is empty or no JSON; a row lacks a field or has a blank one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(path), remedy="check the path") from error
    if data.startswith(b"PAR1"):
        raise UserError(
            "a Parquet file, which is not read here",
            where=str(path),
            remedy="take the JSON file from the folder 'data'",
        )
    rows = list(_decoded(data, path))
    if not rows:
        raise UserError("the file holds no rows", where=str(path), remedy="download it again")
    return tuple(
        BabilongRow(*(text_field(row, name, where) for name in ("input", "question", "target"))) for row, where in rows
    )


def _decoded(data: bytes, path: Path) -> Iterator[tuple[object, str]]:
    """Rows, and where each stands."""
    if data.lstrip().startswith(b"["):
        for number, row in enumerate(decode(data, str(path)), start=1):
            yield row, f"{path}, row {number}"
        return
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            yield decode(line, str(path), number), f"{path}, line {number}"
