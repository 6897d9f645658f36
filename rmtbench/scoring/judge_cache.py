"""Verdicts on disk by content: each judge is asked about an answer once, whichever runs gave it.

One SQLite file a judge. A verdict is written as soon as it is there, so that a kill loses at most one that was paid
for. Failures are not kept: the next scoring asks again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

import orjson

from rmtbench.models.database import Database, with_sum, without_sum
from rmtbench.scoring.judge_prompt import prompt_hash

TABLE = "CREATE TABLE IF NOT EXISTS checked_verdicts (key BLOB PRIMARY KEY, verdict BLOB) WITHOUT ROWID"
READ = "SELECT verdict FROM checked_verdicts WHERE key = ?"
WRITE = "INSERT OR IGNORE INTO checked_verdicts VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of one answer, and what that cost.

    Attributes:
        correct: Whether the answer is correct.
        calls: How often the judge was asked: once, or twice where the first reply was no verdict.
        prompt_tokens: Tokens read in all calls; None where a server does not say.
        cached_tokens: Of these, how many a server's cache held; None likewise.
        output_tokens: Tokens written in all calls; None likewise.
        seconds: Wall seconds of all calls.
        served: The model's name by the server; None of a local model.
    """

    correct: bool
    calls: int
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    seconds: float
    served: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to judge: a question, its references and an answer."""

    question: str
    references: tuple[str, ...]
    answer: str

    @property
    def key(self) -> bytes:
        """Hash of the three and of the prompt; the judge is named by the file."""
        parts = [prompt_hash(), self.question, list(self.references), self.answer]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).digest()


class VerdictCache:
    """The verdicts of one judge.

    Args:
        folder: Where the files of all judges are.
        identity: The judge's hash: another judge has another file.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._database = Database(
            folder / f"verdicts-{identity[:32]}.sqlite", (TABLE,), "cache of verdicts", "verdict", "asked for again"
        )

    def read(self, cases: Iterable[Case]) -> dict[Case, Verdict]:
        """Return the verdicts that are there.

        Raises:
            UserError: The file cannot be read, or is damaged.
        """
        found = {}
        with self._database.open() as database:
            for case in cases:
                row = database.execute(READ, (case.key,)).fetchone()
                if row is not None:
                    found[case] = self._verdict(row[0])
        return found

    def write(self, case: Case, verdict: Verdict) -> None:
        """Keep a verdict; the first one of a case stays.

        Raises:
            UserError: The file cannot be written, or the disk is full.
        """
        with self._database.open() as database:
            database.execute(WRITE, (case.key, with_sum(orjson.dumps(astuple(verdict)))))

    def _verdict(self, stored: object) -> Verdict:
        try:
            return Verdict(*orjson.loads(without_sum(stored)))
        except (ValueError, TypeError) as error:
            raise self._database.damaged(str(error)) from error
