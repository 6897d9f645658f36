"""The writing side of a run: one locked folder, appended to row by row, so that a kill loses at most a torn line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rmtbench.core import Answer, Corpus, Draw, Prepared, Question, RunSpec, SystemTraits
from rmtbench.errors import UserError, disk_errors
from rmtbench.journal.checks import read_json, value_at
from rmtbench.journal.layout import RunFolder, run_id
from rmtbench.journal.lines import LineWriter, encode, read_numbered, refuse_link, write_whole
from rmtbench.journal.lock import only_writer
from rmtbench.journal.packed import refuse_packed
from rmtbench.journal.record import Key
from rmtbench.journal.rows import (
    answer_to_row,
    corpus_from_row,
    corpus_to_row,
    evidence_positions,
    gold_to_row,
    key_from_row,
    prepared_to_row,
    spec_to_row,
    system_to_row,
)
from rmtbench.locks import lease_of
from rmtbench.options import flag


class RunWriter:
    """One run's folder, held by this process alone while the block lasts.

    Attributes:
        run_id: The run's name.
        folder: Its files.
        done: Keys of the answers already on disk.
    """

    def __init__(self, results: Path, spec: RunSpec, *, fresh: bool = False) -> None:
        self.run_id = run_id(spec)
        self.folder = RunFolder(results / self.run_id)
        self.done: set[Key] = set()
        self._spec, self._fresh = spec, fresh
        self._sessions = 0
        self._stack = ExitStack()
        self._writers: dict[Path, LineWriter] = {}
        self._corpora: dict[int, str] = {}
        self._gold: set[Key] = set()
        self._check_lock: Callable[[], None] = _never_opened

    def __enter__(self) -> Self:
        refuse_packed(self.folder.path)
        refuse_link(self.folder.path)
        with disk_errors(self.folder.path, flag.results):
            self.folder.path.mkdir(parents=True, exist_ok=True)
        with self._stack as stack:
            self._check_lock = stack.enter_context(only_writer(self.folder.lock))
            if self._fresh:
                _empty(self.folder)
            self._read_state()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def remaining(self, corpus: Corpus) -> list[Question]:
        """The questions of a draw that have no answer yet, in their order."""
        return [question for question in corpus.questions if (corpus.draw, question.id) not in self.done]

    def begin(self, provenance: Mapping[str, Any], system: SystemTraits | None = None) -> int:
        """Note that a process answers from here on, and with what.

        Args:
            provenance: Models, hashes, versions and machine.
            system: What tables must know of the run's system; None leaves it out.

        Returns:
            The process's number, for its rows: they name the process begun last if none is given.

        Raises:
            UserError: The run was begun with other weights, tokenizer or code contract.
        """
        if self.folder.spec.exists():
            check_same_model(read_json(self.folder.spec).get("provenance", {}), provenance, self.folder)
        else:
            head: dict[str, Any] = {"run_id": self.run_id, "spec": spec_to_row(self._spec), "provenance": provenance}
            if system is not None:
                head["system"] = system_to_row(system)
            pretty = json.dumps(json.loads(encode(head)), ensure_ascii=False, indent=1)
            write_whole(self.folder.spec, (pretty + "\n").encode())
        session, self._sessions = self._sessions, self._sessions + 1
        self._append(self.folder.sessions, {"session": session, "provenance": provenance})
        return session

    def add_draw(self, draw: Draw, tokens: int | None) -> None:
        """Note a draw and its gold, unless they stand there already.

        Args:
            draw: The corpus with its gold.
            tokens: Tokens of its documents, by the run's tokenizer; None where it has none.

        Raises:
            UserError: The draw on disk was made from other data.
        """
        corpus = draw.corpus
        known = self._corpora.get(corpus.draw)
        if known is not None and known != corpus.sha256:
            raise UserError(
                f"draw {corpus.draw} was begun with other documents or questions",
                where=str(self.folder.corpora),
                remedy=f"restore the data it was begun with, or start that run anew with {flag.fresh}",
            )
        for question, gold in zip(corpus.questions, draw.gold, strict=True):
            if (corpus.draw, question.id) not in self._gold:
                positions = evidence_positions(corpus, gold)
                self._append(self.folder.gold, gold_to_row(gold, question, corpus.draw, positions))
                self._gold.add((corpus.draw, question.id))
        if known is None:
            self._append(self.folder.corpora, corpus_to_row(corpus, tokens))
            self._corpora[corpus.draw] = corpus.sha256

    def prepared(self, prepared: Prepared, draw: int, session: int | None = None) -> None:
        """Note what preparing a draw cost."""
        self._append(self.folder.prepared, prepared_to_row(prepared, draw, self._process(session)))

    def answer(self, answer: Answer, draw: int, session: int | None = None) -> None:
        """Append one answer to the journal; it is safe from a kill when this returns."""
        self._append(self.folder.answers, answer_to_row(answer, draw, self._process(session)))
        self.done.add((draw, answer.question_id))

    def usage(self, draw: int, resident: int, device: int | None, session: int | None = None) -> None:
        """Note the most memory, in bytes, that preparing and answering a draw took."""
        memory = {"peak_resident_bytes": resident, "peak_device_bytes": device}
        self._append(self.folder.usage, {"draw": draw, "session": self._process(session), **memory})

    def _process(self, session: int | None) -> int:
        return max(0, self._sessions - 1) if session is None else session

    def _append(self, path: Path, row: Mapping[str, Any]) -> None:
        if path not in self._writers:
            self._writers[path] = self._stack.enter_context(LineWriter(path))
        self._check_lock()
        self._writers[path].append(row)

    def _read_state(self) -> None:
        folder = self.folder
        if folder.spec.exists():
            read_json(folder.spec)  # its version is checked before anything is added to it
        self.done = _keys(folder.answers)
        self._gold = _keys(folder.gold)
        self._corpora = {draw: row["sha256"] for draw, row in _corpora(folder.corpora).items()}
        self._sessions = sum(1 for _ in read_numbered(folder.sessions))


def check_same_model(before: Mapping[str, Any], now: Mapping[str, Any], folder: RunFolder) -> None:
    """Refuse provenances of one run whose weights, tokenizer, prompt contract or embedder differ.

    Args:
        before: What the run was begun with.
        now: What goes on with it.
        folder: The run, for the message.

    Raises:
        UserError: They differ.
    """
    parts = value_at(now, "model", "identity_parts")
    _check_identity(before, parts if isinstance(parts, Mapping) else {}, folder)
    paths: Sequence[tuple[str, str]] = (
        ("model", "weights_sha256"),
        ("model", "tokenizer_sha256"),
        ("model", "prompt_contract"),
        ("model", "served"),
        ("embedder", "sha256"),
    )
    for path in paths:
        found = [value_at(before, *path), value_at(now, *path)]
        if path[1] == "tokenizer_sha256" and None in found:
            continue  # a served model's run that counts no tokens may have had no tokenizer
        if found[0] != found[1]:
            raise UserError(
                f"this run was begun with another {' '.join(path)}",
                where=str(folder.spec),
                remedy=f"use what it was begun with, or start that run anew with {flag.fresh}",
            )


def finished_run(
    results: Path,
    spec: RunSpec,
    parts: Mapping[str, str] | None = None,
    embedder: str | None = None,
    draws: Sequence[int] | None = None,
) -> bool:
    """Whether the run of this spec is complete on disk.

    Args:
        results: Folder of all runs.
        spec: The run.
        parts: Of the identity of the model that is here now: see `rmtbench.models.identity`. None compares nothing.
        embedder: Hash of the files of the embedder that is here now. None compares nothing.
        draws: The draws that must be complete; None for all.

    Raises:
        UserError: It was written by another version, by a model or embedder with other files, or is damaged.
    """
    folder = RunFolder(results / run_id(spec))
    if not folder.spec.exists():
        return False
    recorded = read_json(folder.spec).get("provenance", {})
    _check_identity(recorded, parts or {}, folder)
    before = value_at(recorded, "embedder", "files_sha256")
    if embedder is not None and before not in (None, embedder):
        raise _begun_otherwise("embedder", folder)
    wanted = set(range(spec.draws) if draws is None else draws)
    corpora = {draw: row for draw, row in _corpora(folder.corpora).items() if draw in wanted}
    asked = sum(row["questions"] for row in corpora.values())
    return len(corpora) == len(wanted) and asked == sum(draw in wanted for draw, _ in _keys(folder.answers))


def _check_identity(recorded: Mapping[str, Any], parts: Mapping[str, str], folder: RunFolder) -> None:
    """Refuse a run whose model differs; runs of before there were identities, and parts that are unknown, are alike."""
    before = value_at(recorded, "model", "identity_parts")
    if isinstance(before, Mapping):
        other = [name for name in before if name in parts and before[name] != parts[name]]
        if other:
            raise _begun_otherwise(f"model, by its {' and '.join(other)}", folder)


def _begun_otherwise(what: str, folder: RunFolder) -> UserError:
    return UserError(
        f"this run was begun with another {what}",
        where=str(folder.spec),
        remedy=f"use what it was begun with, start that run again with {flag.fresh}, "
        f"or give another folder with {flag.results}",
    )


def _keys(path: Path) -> set[Key]:
    return {key_from_row(row, where) for where, row in read_numbered(path)}


def _corpora(path: Path) -> dict[int, dict[str, Any]]:
    rows = [corpus_from_row(row, where) for where, row in read_numbered(path)]
    return {row["draw"]: row for row in rows}


def _empty(folder: RunFolder) -> None:
    for path in folder.path.iterdir():
        if path in (folder.lock, lease_of(folder.lock)):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _never_opened() -> None:
    raise RuntimeError("write outside the with block")
