"""Join the parts of a run that several processes or machines made, draw by draw, into the run that one would make."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmtbench.errors import UserError, disk_errors
from rmtbench.journal.checks import damaged, read_json
from rmtbench.journal.find import find_runs
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.lines import encode, read_numbered, refuse_link
from rmtbench.journal.lock import only_writer
from rmtbench.journal.order import BY_DRAW
from rmtbench.journal.packed import refuse_packed
from rmtbench.journal.rows import key_from_row, spec_from_row
from rmtbench.journal.writer import check_same_model
from rmtbench.options import flag

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Merged:
    """One run after its parts were joined.

    Attributes:
        folder: Where it is.
        parts: The run's folders in the parts, in order of their first draw.
        missing: Numbers of draws that no part has begun.
        unanswered: Questions of the others that have no answer.
    """

    folder: Path
    parts: Sequence[Path]
    missing: Sequence[int]
    unanswered: int


@dataclass(frozen=True)
class _Part:
    """One part's rows: by file and draw, and its processes."""

    folder: RunFolder
    head: Row
    sessions: Sequence[Row]
    rows: Mapping[str, Mapping[int, Sequence[Row]]]

    @property
    def first_draw(self) -> int:
        return min(self.rows["corpora"], default=-1)


def merge(
    parts: Sequence[Path], results: Path, names: Collection[str] | None = None, *, adding: bool = False
) -> list[Merged]:
    """Join results folders. The runs' own parts stay as they are, and the same merge again changes nothing.

    Args:
        parts: Results folders; runs of the same name in several of them are parts of one run.
        results: The folder to write to. A run that is there already must consist of answers that the parts have.
        names: The runs to join; None for all.
        adding: Whether such a run may have answers of its own: it counts as the first part, and where a part has
            another answer to a question that is answered there, the one there is kept.

    Returns:
        One entry a run, by name. Scores and summaries are not made.

    Raises:
        UserError: Parts were made by different models or from other documents, two parts answered the same question
            differently, or `results` has answers that no part has, has the run packed, or links elsewhere.
    """
    runs: dict[str, list[Path]] = {}
    for part in parts:
        if part.resolve() == results.resolve():
            raise UserError(
                "a part cannot be the merged folder", where=str(part), remedy=f"give another {flag.results}"
            )
        for folder in find_runs(part):
            if names is None or folder.name in names:
                runs.setdefault(folder.name, []).append(folder)
    if not runs:
        raise UserError("no runs in any part", where=str(parts[0]), remedy="run the shards first: rmtbench run --help")
    return [_merge_run(folders, results / name, adding=adding) for name, folders in sorted(runs.items())]


def _merge_run(folders: Sequence[Path], target: Path, *, adding: bool) -> Merged:
    parts = sorted((_read(RunFolder(folder)) for folder in folders), key=lambda part: part.first_draw)
    if adding and (there := RunFolder(target)).spec.exists():
        parts.insert(0, _read(there))
    first = parts[0]
    for other in parts[1:]:
        if other.head.get("spec") != first.head.get("spec"):
            raise UserError(
                f"it is another run than {first.folder.path}", where=str(other.folder.spec), remedy="merge it by itself"
            )
        check_same_model(first.head.get("provenance", {}), other.head.get("provenance", {}), other.folder)
    joined = {name: _join(name, parts, target) for name in BY_DRAW}
    sessions = _sessions(parts)
    lines = {
        **{name: b"".join(map(encode, rows)) for name, rows in joined.items()},
        "sessions": b"".join(encode({**row, "session": number}) for number, row in enumerate(sessions.values())),
    }
    refuse_packed(target)
    refuse_link(target)
    with disk_errors(target, flag.results):
        target.mkdir(parents=True, exist_ok=True)
        with only_writer(RunFolder(target).lock) as check_lock:
            _refuse_losses(RunFolder(target), joined["answers"])
            check_lock()
            _write(target, first.head, lines)
    draws = {row["draw"] for row in joined["corpora"]}
    wanted = spec_from_row(first.head.get("spec") or {}, str(first.folder.spec)).draws
    asked = sum(int(row["questions"]) for row in joined["corpora"])
    missing = [draw for draw in range(wanted) if draw not in draws]
    return Merged(target, [part.folder.path for part in parts], missing, asked - len(joined["answers"]))


def _read(folder: RunFolder) -> _Part:
    rows: dict[str, dict[int, list[Row]]] = {}
    for name in BY_DRAW:
        found = rows.setdefault(name, {})
        for where, row in read_numbered(getattr(folder, name)):
            if not isinstance(row.get("draw"), int):
                raise UserError("damaged: no draw", where=where, remedy=f"answer that part again with {flag.fresh}")
            found.setdefault(row["draw"], []).append(_plain(row))
    sessions = [_plain(row) for _, row in read_numbered(folder.sessions)]
    return _Part(folder, read_json(folder.spec), sessions, rows)


def _plain(row: Row) -> dict[str, Any]:
    """A row as it was before it was written: writing adds the schema version."""
    return {name: value for name, value in row.items() if name != "schema"}


def _sessions(parts: Sequence[_Part]) -> dict[str, Row]:
    """The processes of all parts, in order; one that several parts have, since they began with its run, counts once."""
    return {_process(row): row for part in parts for row in part.sessions}


def _process(row: Row) -> str:
    return json.dumps({name: value for name, value in row.items() if name != "session"}, sort_keys=True)


def _join(name: str, parts: Sequence[_Part], target: Path) -> list[Row]:
    """All parts' rows of one file, by draw; sessions are numbered over all parts, and equal rows are kept once.

    Of two answers to a question, one that is in the target already is kept.

    Raises:
        UserError: Two parts have different documents for a draw, or different answers to a question.
    """
    numbers = {process: number for number, process in enumerate(_sessions(parts))}
    found: dict[int, list[Row]] = {}
    seen: dict[tuple[int, str], tuple[Row, _Part]] = {}
    for part in parts:
        for draw, rows in part.rows[name].items():
            for row in rows:
                row = _renumbered(row, part, numbers)  # noqa: PLW2901 - the same row
                known, owner = seen.setdefault((draw, _identity(name, row)), (row, part))
                if known is not row and owner is not part:
                    if name != "answers" or owner.folder.path != target:
                        _check_equal(name, known, row, part, owner)
                    continue
                found.setdefault(draw, []).append(row)
    return [row for draw in sorted(found) for row in found[draw]]


def _renumbered(row: Row, part: _Part, numbers: Mapping[str, int]) -> Row:
    """A row with the number that its process has among those of all parts."""
    if "session" not in row:
        return row
    session = row["session"]
    if not isinstance(session, int) or not 0 <= session < len(part.sessions):
        raise damaged(str(part.folder.sessions), f"no session {session!r}")
    return {**row, "session": numbers[_process(part.sessions[session])]}


def _identity(name: str, row: Row) -> str:
    """What makes a row the only one of its draw: an answer's question; for preparations and memory, all of it."""
    if name == "corpora":
        return ""
    if name in ("gold", "answers"):
        return key_from_row(row, name)[1]
    return json.dumps(row, sort_keys=True)


def _check_equal(name: str, one: Row, other: Row, part: _Part, owner: _Part) -> None:
    """Refuse a second row that says something else: the same part given twice, by another name, is harmless."""
    if one == other:
        return
    what = {"corpora": "other documents", "gold": "another question"}.get(name, "another answer")
    raise UserError(
        f"draw {other['draw']} has {what} than in {owner.folder.path}",
        where=str(getattr(part.folder, name)),
        remedy="leave one of the two parts out",
    )


def _refuse_losses(folder: RunFolder, answers: Sequence[Row]) -> None:
    """Refuse to write over a run that has answers of its own."""
    have = {key_from_row(row, "answers") for row in answers}
    for where, row in read_numbered(folder.answers):
        if key_from_row(row, where) not in have:
            raise UserError(
                "an answer here is in none of the parts",
                where=where,
                remedy=f"give another {flag.results}, or name this folder's copy as a part, too",
            )


def _write(target: Path, head: Row, lines: Mapping[str, bytes]) -> None:
    """Write all files beside the old ones and put them in their places; what was scored before goes."""
    made = target.with_name(f".{target.name}.merging")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    pretty = json.dumps(head, ensure_ascii=False, indent=1) + "\n"
    files = {"spec.json": pretty.encode("utf-8", "replace")}
    files |= {f"{name}.jsonl": data for name, data in lines.items() if data}
    for name, data in files.items():
        (made / name).write_bytes(data)
    if all((target / name).is_file() and (target / name).read_bytes() == data for name, data in files.items()):
        shutil.rmtree(made)
        return
    for name in ("scores.jsonl", "summary.json"):
        (target / name).unlink(missing_ok=True)
    for name in files:
        (made / name).replace(target / name)
    made.rmdir()
