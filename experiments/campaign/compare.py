"""What a command has left, as facts that can be compared: lost, doubled, changed and stray ones."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OF_THE_PROCESS = ("timings", "session", "warmup", "cost")
"""Fields of an answer that say how fast and in which process it was made."""

ROWS: Mapping[str, Sequence[str]] = {
    "answers.jsonl": ("draw", "question_id"),
    "gold.jsonl": ("draw", "question_id"),
    "corpora.jsonl": ("draw",),
    "scores.jsonl": ("draw", "question_id"),
}
EXTRA = ("*.sqlite-wal", "*.sqlite-shm", "cache/verdicts/*")
"""Files that SQLite keeps while a database is open elsewhere, and tidies at its next use; and verdicts, of which there
is one more where the compiled step could not be read, so that torch took its place."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a folder holds: rows by key, hashes of results, and the names of all files."""

    rows: Mapping[str, Sequence[str]]
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Differences:
    """Against an undisturbed run."""

    lost: Sequence[str] = ()
    doubled: Sequence[str] = ()
    changed: Sequence[str] = ()
    strays: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.changed or self.strays)


def facts(place: Path, same: Sequence[str]) -> Facts:
    """Read what lies in a folder.

    Args:
        place: The folder of a command.
        same: Patterns of files whose bytes are results.
    """
    rows: dict[str, list[str]] = {}
    for name in ROWS:
        for path in sorted(place.glob(f"results/[!.]*/{name}")):
            for line in path.read_bytes().splitlines(keepends=True):
                key, text = _row(name, line)
                rows.setdefault(f"{path.relative_to(place)} {key}", []).append(text)
    for pattern in same:
        for path in place.glob(pattern):
            rows[str(path.relative_to(place))] = [hashlib.sha256(path.read_bytes()).hexdigest()]
    for path in place.glob("results/[!.]*/summary.json"):
        rows[str(path.relative_to(place))] = [str(json.loads(path.read_bytes()).get("complete"))]
    names = (path for path in place.rglob("*") if not path.is_dir())
    return Facts(rows, frozenset(str(path.relative_to(place)) for path in names if not _extra(path)))


def compare(found: Facts, wanted: Facts) -> Differences:
    """Return how what was found differs from what an undisturbed run leaves."""
    lost = [key for key in wanted.rows if key not in found.rows]
    doubled = [key for key, texts in found.rows.items() if len(texts) > len(wanted.rows.get(key, texts[:1]))]
    changed = [
        key for key, texts in found.rows.items()
        if key in wanted.rows and Counter(texts[:1]) != Counter(wanted.rows[key][:1])
    ]  # fmt: skip
    return Differences(lost, doubled, changed, sorted(found.names - wanted.names))


def _row(name: str, line: bytes) -> tuple[str, str]:
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError:
        return "torn", line.hex()
    key = " ".join(str(row.get(field, "")) for field in ROWS[name])
    kept = {field: value for field, value in row.items() if name != "answers.jsonl" or field not in OF_THE_PROCESS}
    return key, hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _extra(path: Path) -> bool:
    return any(path.match(pattern) for pattern in EXTRA)
