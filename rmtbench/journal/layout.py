"""Which file of a run holds what, and the run's name. See `docs/reference/files.md` for the format."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from rmtbench.core import RunSpec
from rmtbench.journal.packed import file_of
from rmtbench.journal.rows import spec_to_row

LONGEST = 200
"""Characters of a run's name before its hash; the parts of a longer one are cut."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run, in a folder or packed into one file (`rmtbench.journal.packed`)."""

    path: Path

    @property
    def spec(self) -> Path:
        """What was asked, and the provenance of the first process that answered (one JSON object)."""
        return file_of(self.path, "spec.json")

    @property
    def sessions(self) -> Path:
        """Provenance of every process that wrote to the run, one a line."""
        return file_of(self.path, "sessions.jsonl")

    @property
    def corpora(self) -> Path:
        """Ids, hashes and sizes of the draws, one a line."""
        return file_of(self.path, "corpora.jsonl")

    @property
    def gold(self) -> Path:
        """Questions with their references and evidence, one a line."""
        return file_of(self.path, "gold.jsonl")

    @property
    def prepared(self) -> Path:
        """What preparing each draw cost, one line a draw and process."""
        return file_of(self.path, "prepared.jsonl")

    @property
    def answers(self) -> Path:
        """The journal: one line an answer, in the order they were made."""
        return file_of(self.path, "answers.jsonl")

    @property
    def usage(self) -> Path:
        """Most memory taken, one line a draw and process."""
        return file_of(self.path, "usage.jsonl")

    @property
    def scores(self) -> Path:
        """Scores made from the journal, one line an answer."""
        return file_of(self.path, "scores.jsonl")

    @property
    def summary(self) -> Path:
        """Means and counts made from journal and scores (one JSON object)."""
        return file_of(self.path, "summary.json")

    @property
    def lock(self) -> Path:
        """Held by the one process that may write."""
        return self.path / ".lock"


def spec_hash(spec: RunSpec) -> str:
    """SHA-256 of the spec's fields in a fixed order and spelling."""
    text = json.dumps(spec_to_row(spec), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def run_id(spec: RunSpec) -> str:
    """A readable name with the first eight digits of the spec's hash: the same spec is the same run."""
    setting = f"top{spec.top_k}" if spec.top_k is not None else ""
    adapter = PurePath(spec.adapter).name if spec.adapter is not None else ""
    batch = f"batch{spec.batch}" if spec.batch > 1 else ""
    parts = [spec.system, setting, PurePath(spec.dataset).name, spec.size, PurePath(spec.model).name, adapter, batch]
    words = [re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-.") for part in parts if part]
    if sum(map(len, words)) > LONGEST:  # a file system takes 255 bytes
        words = [word[: LONGEST // len(words)].strip("-.") for word in words]
    return f"{'-'.join(words)}-{spec_hash(spec)[:8]}"
