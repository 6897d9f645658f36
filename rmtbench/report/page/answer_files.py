"""The texts of many runs as files beside the page, which loads those that are looked at and no others.

A browser lets a page from a disk load scripts and nothing else, so each file is a script that hands over compressed
blocks. Its first line says what it was made from: an unchanged run's file is not made again.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

import orjson

from rmtbench.core import Gold
from rmtbench.errors import disk_errors
from rmtbench.files import write_atomically
from rmtbench.journal.columns import Columns, RunColumns, Spans
from rmtbench.journal.lines import refuse_link
from rmtbench.journal.record import Key, RunRecord
from rmtbench.options import flag
from rmtbench.report.page.blocks import Blocks, RunBlocks, answer_slices, metrics_of, outcomes_of, question_rows
from rmtbench.report.page.documents import Choice, is_offered
from rmtbench.report.page.passages import Described

FOLDER = "answers"
"""Within the report's folder."""
VERSION = 1
"""Raise it when what a file holds changes: older files are then made again."""
LEVEL = 1
"""Of compression: a higher one takes several times as long for a tenth of the bytes."""
LONGEST_NAME = 80
"""Characters of a run's name in a file's name."""


@dataclass(frozen=True, slots=True)
class RunTexts:
    """Where one run's texts are.

    Attributes:
        file: Name of the file of its answers.
        slices: How many blocks of answers are in it.
        count: Answers in them.
        metrics: Names of the scores of each answer, in their order.
        outcomes: What became of each question: see `rmtbench.report.page.blocks.outcomes_of`.
        questions: Name of the file of its questions, which other runs may share.
    """

    file: str
    slices: int
    count: int
    metrics: tuple[str, ...]
    outcomes: Mapping[str, str]
    questions: str


@dataclass(frozen=True, slots=True)
class MadeTexts:
    """One run's texts, and which parts of documents the page shows for them; None where it shows none."""

    texts: RunTexts
    spans: Spans | None


@dataclass(slots=True)
class AnswerFiles:
    """Writes each run's texts: see `rmtbench.analysis.read.Texts`.

    Attributes:
        folder: Where the files are.
        choice: Which documents are read again.
    """

    folder: Path
    choice: Choice
    _asked: tuple[Mapping[Key, Gold], str] | None = field(default=None, init=False)

    def kept(self, run: RunColumns, key: str) -> MadeTexts | None:
        """Return what the file of an earlier report says; None where it is missing, damaged, or of another journal."""
        told = _read(self.folder / _file_name(run.head.run_id, key))
        if told is None or told.get("version") != VERSION or "texts" not in told:
            return None
        if _read(self.folder / PurePath(told["texts"]["questions"]).name) is None:
            return None
        texts = RunTexts(**told["texts"] | {"metrics": tuple(told["texts"]["metrics"])})
        return MadeTexts(texts, self._spans(run.head, run.columns))

    def make(self, run: RunRecord, columns: Columns, key: str) -> MadeTexts:
        """Write the files of a run's answers and questions.

        Raises:
            UserError: They cannot be written.
        """
        metrics = metrics_of(run)
        slices = [_packed({"rows": rows}) for rows in answer_slices(run, metrics)]
        name = _file_name(run.run_id, key or hashlib.sha256("".join(slices).encode()).hexdigest())
        texts = RunTexts(name, len(slices), len(run.answers), metrics, outcomes_of(run), self._questions(run))
        _write(self.folder / name, slices, {"texts": asdict(texts)})
        return MadeTexts(texts, self._spans(run, columns))

    def _spans(self, run: Described, columns: Columns) -> Spans | None:
        kinds = {(row.get("source") or {}).get("kind", "") for row in run.corpora}
        return columns.spans if any(is_offered(self.choice, kind) for kind in kinds) else None

    def _questions(self, run: RunRecord) -> str:
        """Write the file of a run's questions unless the run before had the same ones; returns its name."""
        if self._asked is None or self._asked[0] is not run.gold:
            self._asked = run.gold, write_block(self.folder, "questions", question_rows(run))
        return self._asked[1]


@dataclass(slots=True)
class BlocksBeside(Blocks):
    """The blocks of a page whose questions, answers and passages are files beside it.

    Attributes:
        folder: Where these files are.
        files: Their names.
    """

    folder: Path = Path()
    files: set[str] = field(default_factory=set)

    @property
    def beside(self) -> bool:
        """Whether the page loads texts from files beside it."""
        return True

    def add_texts(self, run: Described, made: MadeTexts) -> None:
        """Add one run whose texts were written."""
        texts, spans = made.texts, made.spans
        self.files |= {texts.file, texts.questions}
        self.runs[run.run_id] = RunBlocks(
            questions=f"{texts.questions}#0",
            outcomes=self.place(texts.outcomes),
            answers=tuple(f"{texts.file}#{place}" for place in range(texts.slices)),
            count=texts.count,
            metrics=texts.metrics,
            draws=self.passages.add(run, lambda: spans or _NO_SPANS),
        )

    def cut_passages(self) -> list[dict[str, Any]]:
        """Read the documents that the runs need again, and write a file of each corpus's passages."""
        return self.passages.cut(self._beside)

    def _beside(self, value: object) -> str:
        name = write_block(self.folder, "passages", value)
        self.files.add(name)
        return f"{name}#0"


_NO_SPANS = Spans((), array("q"), array("q"), array("q"), array("q"))


def write_block(folder: Path, kind: str, value: object) -> str:
    """Write a file of one block, named by its content, unless it is there; returns the name.

    Args:
        folder: Where it goes.
        kind: How its name begins.
        value: What the block holds.

    Raises:
        UserError: It cannot be written.
    """
    block = _packed(value)
    name = f"{kind}-{hashlib.sha256(block.encode()).hexdigest()[:24]}.js"
    if _read(folder / name) is None:
        _write(folder / name, [block], {})
    return name


def _file_name(run_id: str, key: str) -> str:
    """A name that any file system takes, whatever a run is called; another journal gives another one."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", run_id)[:LONGEST_NAME].strip("-")
    return f"run-{plain}-{hashlib.sha256(f'{run_id} {key}'.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}.js"


def _packed(value: object) -> str:
    try:
        data = orjson.dumps(value)
    except TypeError:  # half a surrogate pair, or a whole number beyond 64 bits
        data = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(data, LEVEL, mtime=0)).decode("ascii")


def _write(path: Path, blocks: Sequence[str], told: Mapping[str, Any]) -> None:
    """Write a script: a comment with a hash and what is to be known of the file, then a call with its blocks."""
    head = json.dumps({"version": VERSION, **told}, separators=(",", ":"))
    body = f"{head}\nStored.take({json.dumps(path.name)},{json.dumps(blocks, separators=(',', ':'))});\n".encode()
    refuse_link(path.parent)
    with disk_errors(path, flag.results):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, b"// " + hashlib.sha256(body).hexdigest().encode() + b" " + body)


def _read(path: Path) -> dict[str, Any] | None:
    """What a file's first line says; None where there is no such file, or where it is damaged."""
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError:
        return None
    digest, _, body = data.removeprefix(b"// ").partition(b" ")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    told = json.loads(body.partition(b"\n")[0])
    return told if isinstance(told, dict) else None
