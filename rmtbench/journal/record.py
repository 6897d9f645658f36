"""Read a run from its files: everything that scoring and reports need."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any

from rmtbench.core import Answer, Gold, MetricValue, Prepared, Question, RunSpec, SystemTraits
from rmtbench.errors import UserError
from rmtbench.journal.checks import damaged, read_json
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.lines import number_rows, read_numbered
from rmtbench.journal.rows import (
    accounts_from_row,
    answer_from_row,
    corpus_from_row,
    gold_from_row,
    key_from_row,
    positions_from_row,
    prepared_from_row,
    provenance_from_row,
    scores_from_row,
    spec_from_row,
    system_from_row,
    usage_from_row,
    value_from_row,
)

Key = tuple[int, str]
"""Draw number and question id: names one answer within a run."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run's `gold.jsonl` holds: see the fields of `RunRecord`. Runs with the same file may share one."""

    questions: Mapping[Key, Question]
    gold: Mapping[Key, Gold]
    positions: Mapping[Key, tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHead:
    """What the small files of a run say: all but its questions, answers and scores.

    Attributes:
        folder: Its files.
        run_id: Its name.
        spec: What was asked.
        provenance: Models, hashes, versions and machine of the first process that answered.
        corpora: One row a draw: id, documents, questions, tokens, sha256, source; where a draw stands twice, the first.
        prepared: What each draw's preparation cost, one entry a process that prepared it.
        scorers: What produced each metric (name and hash), by metric; empty before scoring.
        sessions: Provenance of every process that wrote to the run, the first one included.
        peak_bytes: Most memory that any process of the run took, resident and on the device; None where not measured.
        values: What the metrics' values are; empty before scoring, and of runs that were scored before files said it.
        system: What tables must know of its system; None for a run that was begun before files said it.
        accounts: What making some metrics took, by metric: see `rmtbench.scoring.base.Accounting`.
    """

    folder: RunFolder
    run_id: str
    spec: RunSpec
    provenance: Mapping[str, Any]
    corpora: Sequence[Mapping[str, Any]]
    prepared: Sequence[tuple[int, Prepared]]
    scorers: Mapping[str, str]
    sessions: Sequence[Mapping[str, Any]]
    peak_bytes: tuple[int | None, int | None]
    values: tuple[MetricValue, ...] = ()
    system: SystemTraits | None = None
    accounts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def first_prepared(self) -> dict[int, Prepared]:
        """What each draw's preparation cost the first process that did it, by draw in order of appearance."""
        first: dict[int, Prepared] = {}
        for draw, prepared in self.prepared:
            first.setdefault(draw, prepared)
        return first

    def holds_all(self, questions: int, answers: int) -> bool:
        """Whether so many questions and answers are those of a complete run: every draw begun, every question answered.

        Args:
            questions: That the run has on disk.
            answers: The same; a failed one counts.
        """
        asked = sum(row["questions"] for row in self.corpora)
        return len(self.corpora) == self.spec.draws and asked == questions == answers


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord(RunHead):
    """One run as it lies on disk.

    Attributes:
        questions: The questions by draw and id, in their order.
        gold: Their gold, by the same keys.
        positions: Where each of their supporting facts stands in the corpus, from 0 to 1, by the same keys; no entry
            for a question without evidence, or of a run that was written before positions were kept.
        answers: The answers by the same keys; where a key stands twice, the first one counts.
        scores: Metric values by the same keys; empty before scoring.
    """

    questions: Mapping[Key, Question]
    gold: Mapping[Key, Gold]
    positions: Mapping[Key, tuple[float, ...]]
    answers: Mapping[Key, Answer]
    scores: Mapping[Key, Mapping[str, float | None]]

    @property
    def complete(self) -> bool:
        """Whether every draw was begun and every question of it has an answer (a failed one counts)."""
        return self.holds_all(len(self.gold), len(self.answers))

    @property
    def expected(self) -> int:
        """Questions of all draws begun so far: the denominator of every mean."""
        return len(self.gold)

    @property
    def errors(self) -> int:
        """Answers that failed; they stay in the denominator."""
        return sum(answer.error is not None for answer in self.answers.values())


@dataclass(frozen=True, slots=True)
class Summarized:
    """What a run's `summary.json` says of its scores: see the fields of `RunHead`."""

    scorers: Mapping[str, str]
    values: tuple[MetricValue, ...]
    accounts: Mapping[str, Mapping[str, Any]]


def read_run(path: Path, known: MutableMapping[bytes, Asked] | None = None) -> RunRecord:
    """Read one run folder.

    Args:
        path: The run's folder.
        known: Questions of other runs, by the hash of their file, to which these are added: systems that are asked the
            same then share what was read once.

    Returns:
        The run; one that was only begun has few or no answers.

    Raises:
        UserError: A file is missing, damaged or of another version.
    """
    folder = RunFolder(path)
    read_spec(folder)
    # Read in the reverse of the order in which a run writes, so that a run that is still going on reads as an earlier
    # moment of itself and never as answers without their questions.
    summarized = read_summarized(folder)
    with _remade():
        scores = {key_from_row(row, where): scores_from_row(row, where) for where, row in read_numbered(folder.scores)}
    answers: dict[Key, Answer] = {}
    for where, row in read_numbered(folder.answers):
        answers.setdefault(key_from_row(row, where), answer_from_row(row, where))
    asked = _read_asked(folder.gold, known if known is not None else {})
    head = read_head(folder, summarized)
    if stray := next((key for key in answers if key not in asked.gold), None):
        raise damaged(str(folder.gold), f"draw {stray[0]}, question {stray[1]!r} has an answer and stands not here")
    begun = {row["draw"] for row in head.corpora}
    if (lost := next((draw for draw, _ in answers if draw not in begun), None)) is not None:
        raise damaged(str(folder.corpora), f"draw {lost} has answers and stands not here")
    return RunRecord(
        **{each.name: getattr(head, each.name) for each in fields(RunHead)},
        questions=asked.questions,
        gold=asked.gold,
        positions=asked.positions,
        answers=answers,
        scores=scores,
    )


def read_spec(folder: RunFolder) -> tuple[dict[str, Any], RunSpec]:
    """Read what a run was asked.

    Args:
        folder: The run.

    Returns:
        The whole file, and its spec.

    Raises:
        UserError: The file is missing, damaged or of another version.
    """
    head = read_json(folder.spec)
    for name, kind in (("run_id", str), ("spec", dict), ("provenance", dict)):
        if not isinstance(head.get(name), kind):
            raise damaged(str(folder.spec), f"field {name!r} is missing or of the wrong type")
    return head, spec_from_row(head["spec"], str(folder.spec))


def read_summarized(folder: RunFolder) -> Summarized:
    """Read what is known of a run's scores besides themselves: nothing before scoring.

    Args:
        folder: The run.

    Raises:
        UserError: The file is damaged or of another version.
    """
    with _remade():
        summary, where = read_json(folder.summary) if folder.summary.exists() else {}, str(folder.summary)
        return Summarized(_scorers(summary, where), _values(summary, where), accounts_from_row(summary, where))


def read_head(folder: RunFolder, summarized: Summarized) -> RunHead:
    """Read a run's small files.

    Args:
        folder: The run.
        summarized: What `read_summarized` returned before questions, answers and scores were read.

    Raises:
        UserError: One is missing, damaged or of another version.
    """
    head, spec = read_spec(folder)
    prepared = [prepared_from_row(row, where) for where, row in read_numbered(folder.prepared)]
    corpora: dict[int, dict[str, Any]] = {}
    for where, row in read_numbered(folder.corpora):
        corpus = corpus_from_row(row, where)
        corpora.setdefault(corpus["draw"], corpus)
    sessions = [provenance_from_row(row, where) for where, row in read_numbered(folder.sessions)]
    usage = [usage_from_row(row, where) for where, row in read_numbered(folder.usage)]
    return RunHead(
        folder=folder,
        run_id=head["run_id"],
        spec=spec,
        provenance=head["provenance"],
        corpora=list(corpora.values()),
        prepared=prepared,
        scorers=summarized.scorers,
        sessions=sessions or [head["provenance"]],
        peak_bytes=(
            max((resident for resident, _ in usage if resident is not None), default=None),
            max((device for _, device in usage if device is not None), default=None),
        ),
        values=summarized.values,
        system=system_from_row(head["system"], str(folder.spec)) if "system" in head else None,
        accounts=summarized.accounts,
    )


@contextmanager
def _remade() -> Iterator[None]:
    """Scores and their summary are made from the answers: damaged ones cost no answer."""
    try:
        yield
    except UserError as error:
        remedy = "delete that file and give `rmtbench score`: it makes it again, and asks no model"
        raise UserError(error.what, where=error.where, remedy=remedy) from error


def _values(summary: Mapping[str, Any], where: str) -> tuple[MetricValue, ...]:
    rows = summary.get("values", [])
    if not isinstance(rows, list):
        raise damaged(where, f"field 'values' is {type(rows).__name__}, not a list")
    return tuple(value_from_row(row, where) for row in rows)


def _scorers(summary: Mapping[str, Any], where: str) -> dict[str, str]:
    scorers = summary.get("scorers", {})
    if not isinstance(scorers, dict) or not all(isinstance(by, str) for by in scorers.values()):
        raise damaged(where, "field 'scorers' is not a name by metric")
    return scorers


def _read_asked(path: Path, known: MutableMapping[bytes, Asked]) -> Asked:
    data = path.read_bytes() if path.exists() else b""
    digest = hashlib.sha256(data).digest()
    if digest not in known:
        questions, gold, positions = {}, {}, {}
        for where, row in number_rows(BytesIO(data), path):
            draw, question, truth = gold_from_row(row, where)
            questions[draw, question.id] = question
            gold[draw, question.id] = truth
            if places := positions_from_row(row, where):
                positions[draw, question.id] = places
        known[digest] = Asked(questions, gold, positions)
    return known[digest]
