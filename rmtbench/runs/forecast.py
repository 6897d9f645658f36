"""How long a run will take by what finished runs of this machine read and took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmtbench.core import RunSpec
from rmtbench.errors import UserError
from rmtbench.journal.checks import read_json, value_at
from rmtbench.journal.find import find_runs
from rmtbench.journal.layout import RunFolder, run_id
from rmtbench.journal.record import Asked, RunRecord, read_run
from rmtbench.measure import share_of_rounds
from rmtbench.models.endpoint.address import is_endpoint
from rmtbench.models.load import choose_device
from rmtbench.runs.provenance import machine_facts
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system, working_systems

FRAME_TOKENS = 100
"""Tokens of a question besides the corpus that it reads: the prompt's frame, the question and its answer."""
OTHERWISE = math.log(2)
"""A finished run with another option counts as one that read half as much or twice as much: it is a worse measure."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Tokens that a run reads, over all of its draws.

    Attributes:
        corpora: Tokens of the documents, which its preparation takes in.
        prompts: Tokens read to answer, the questions' own included.
        once: Tokens that the model reads before the questions.
    """

    corpora: int
    prompts: int
    once: int = 0

    @property
    def by_model(self) -> int:
        """All tokens that the model reads."""
        return self.once + self.prompts


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished run, as far as it tells how long others will take.

    Attributes:
        spec: The run.
        reading: What it read.
        prepare: Seconds of all preparations.
        answer: Seconds of all answers; failed ones count as the others took, and those that a server answers at the
            same time share them.
    """

    spec: RunSpec
    reading: Reading
    prepare: float
    answer: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long a run will take, and the id of the finished run that says so."""

    seconds: float
    by: str


def reading_of(spec: RunSpec, kind: SystemKind, corpus: int, questions: int, draws: int = 1) -> Reading:
    """What a run reads, over draws that are alike.

    Args:
        spec: The run.
        kind: Its system.
        corpus: Tokens of a draw's documents.
        questions: Of a draw.
        draws: How many.
    """
    if "prefix-cache" in kind.needs and is_endpoint(spec.model):
        # A server is sent the corpus with each question, and once before them, whatever its cache holds.
        once, each = corpus + FRAME_TOKENS, corpus + FRAME_TOKENS
    elif "prefix-cache" in kind.needs or kind.memory == "memory":
        once, each = corpus, FRAME_TOKENS
    elif "whole-corpus" in kind.needs or "notes" in kind.needs or kind.memory == "query-first":
        once, each = 0, corpus + FRAME_TOKENS
    else:
        budget = spec.options.top_tokens or (spec.top_k or 0) * spec.chunk_tokens
        once, each = 0, (min(budget, corpus) if "chunks" in kind.needs else 0) + FRAME_TOKENS
    return Reading(draws * corpus, draws * questions * each, draws * once)


def forecast(spec: RunSpec, reading: Reading, known: Sequence[Measured]) -> Forecast | None:
    """How long a run will take by a finished one of the same system, model and device; None without one.

    Preparing is in proportion to the documents' tokens, answering to those of the prompts. Of several finished runs the
    one that read nearest to as much is taken; other options count against it as `OTHERWISE` says.

    Args:
        spec: The run.
        reading: What it will read.
        known: Finished runs.
    """
    alike = [
        each
        for each in known
        if (each.spec.system, each.spec.model_name, each.spec.device, each.spec.dtype, each.spec.at_once)
        == (spec.system, spec.model_name, spec.device, spec.dtype, spec.at_once)
        and each.spec.options.weights == spec.options.weights
    ]
    if not alike:
        return None

    def distance(each: Measured) -> float:
        length = abs(math.log(_share(reading.corpora + reading.prompts, each.reading.corpora + each.reading.prompts)))
        others = (each.spec.options != spec.options) + (each.spec.max_answer_tokens != spec.max_answer_tokens)
        return length + OTHERWISE * others

    best = min(alike, key=distance)
    prepare = best.prepare * _share(reading.corpora, best.reading.corpora)
    answer = best.answer * _share(reading.prompts, best.reading.prompts)
    return Forecast(prepare + answer, run_id(best.spec))


def _share(tokens: int, of: int) -> float:
    return max(tokens, 1) / max(of, 1)


def finished_runs(results: Path) -> tuple[list[Measured], list[UserError]]:
    """The complete runs of a folder that this machine did, with what they read and took; none without a folder.

    Returns:
        The runs, and why others cannot be read: they predict nothing, and hinder no other run.
    """
    if not results.is_dir():
        return [], []
    runs: list[Measured] = []
    unreadable: list[UserError] = []
    asked: dict[bytes, Asked] = {}
    known = working_systems()[0]  # a plugin that made a run may be gone
    try:
        paths = find_runs(results)
    except UserError as error:
        return [], [error]
    for path in paths:
        try:
            run = read_run(path, asked) if _done_here(path) else None
        except UserError as error:
            unreadable.append(error)
            continue
        if run is None or not run.complete or run.spec.system not in known:
            continue
        counted = all(row["tokens"] is not None for row in run.corpora)
        if counted and (measured := _measured(run)) is not None:
            runs.append(measured)
    return runs, unreadable


def _done_here(path: Path) -> bool:
    """Whether a run was done on this machine, by its first file.

    The system's count of its memory changes by a few bytes at every start.
    """
    head = read_json(RunFolder(path).spec)
    recorded, device = value_at(head, "provenance", "machine"), value_at(head, "spec", "device")
    if not isinstance(device, str) or not isinstance(recorded, Mapping):
        return False
    if device.startswith("cuda"):
        try:
            choose_device(device)
        except UserError:  # this machine has no such GPU
            return False
    return {**recorded, "memory_bytes": 0} == {**machine_facts(device), "memory_bytes": 0}


def _measured(run: RunRecord) -> Measured | None:
    """What a finished run read and took; None where every answer failed, which tells nothing."""
    given = [answer.timings.total for answer in run.answers.values() if answer.error is None]
    if not given:
        return None
    kind = find_system(run.spec.system)
    draws = [reading_of(run.spec, kind, row["tokens"], row["questions"]) for row in run.corpora]
    reading = Reading(sum(each.corpora for each in draws), sum(each.prompts for each in draws))
    prepare = math.fsum(prepared.total_seconds for prepared in run.first_prepared.values())
    share = share_of_rounds([row["questions"] for row in run.corpora if row["questions"]], run.spec.concurrency)
    return Measured(run.spec, reading, prepare, math.fsum(given) / len(given) * len(run.answers) * share)
