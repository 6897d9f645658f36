"""What a plan will take before it begins: questions, tokens to read, time by what finished runs took, and disk.

Reckoned from each request's first draw; a system that declares nothing of what it reads counts by its questions alone.
No weights are loaded or converted for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rmtbench.core import Draw, RunSpec
from rmtbench.corpora.base import TokenCounter
from rmtbench.errors import UserError
from rmtbench.journal.layout import RunFolder, run_id
from rmtbench.journal.record import Asked, RunRecord, find_runs, read_json, read_run
from rmtbench.models.endpoint.address import is_endpoint, served_name
from rmtbench.models.endpoint.embedder import MAX_TOKENS
from rmtbench.models.endpoint.load import granted_tokens
from rmtbench.models.endpoint.prices import find_price
from rmtbench.models.endpoint.tokenizer import load_endpoint_tokenizer
from rmtbench.options.request import Request
from rmtbench.runs.bill import FRAME_TOKENS, Bill, Costs, Extras, bill_of, costs_of, embedding_bill
from rmtbench.runs.finished import unfinished
from rmtbench.runs.fit import Misfit, with_evidence
from rmtbench.runs.needs import rough_count
from rmtbench.runs.provenance import machine_facts
from rmtbench.runs.session import Session, make_one_draw
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system, working_systems

ANSWER_BYTES = 1_500
"""On disk, of a question with its gold, its answer and its scores."""
OTHERWISE = math.log(2)
"""A finished run with another option counts as one that read half as much or twice as much: it is a worse measure."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a run reads, over all of its draws.

    Attributes:
        corpora: Tokens of the documents, which its preparation takes in.
        prompts: Tokens read to answer, the questions' own included.
    """

    corpora: int
    prompts: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished run, as far as it tells how long others will take.

    Attributes:
        spec: The run.
        load: What it read.
        prepare: Seconds of all preparations.
        answer: Seconds of all answers; failed ones count as the others took.
    """

    spec: RunSpec
    load: Load
    prepare: float
    answer: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long a run will take, and the id of the finished run that says so."""

    seconds: float
    by: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A run of a request, whether it is finished, and how long it takes if that is known."""

    spec: RunSpec
    finished: bool = False
    forecast: Forecast | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A first draw, as far as a plan asks: tokens of each document, its questions, and whether any has evidence."""

    documents: Sequence[int]
    questions: int
    evidence: bool


DrawKey = tuple[object, ...]
"""What a first draw depends on."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the runs of one request will take.

    Attributes:
        planned: The runs, in order.
        questions: Of all draws and unfinished runs together; None where the corpus cannot be drawn here.
        tokens: To read, of all draws and unfinished runs together; None as for questions.
        bytes: That the answers will take on disk.
        why: Why there is no count of questions and tokens; empty where there is.
        rough: Whether tokens are counted by their characters.
        bill: What servers are asked for; None where none is, or where it cannot be counted.
        costs: What that costs; None without a price.
        limits_seconds: What it takes at least by the limits a minute that the request sets.
        skipped: Runs that are not done, with the reason.
    """

    planned: Sequence[Planned]
    questions: int | None = None
    tokens: int | None = None
    bytes: int = 0
    why: str = ""
    rough: bool = False
    bill: Bill | None = None
    costs: Costs | None = None
    limits_seconds: float = 0.0
    skipped: Sequence[Misfit] = field(default_factory=tuple)

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self.planned)

    @property
    def finished(self) -> int:
        """How many of them are on disk; they count for nothing else."""
        return sum(run.finished for run in self.planned)

    @property
    def seconds(self) -> float:
        """Of the runs that a finished run predicts; loading and scoring are not in it."""
        return math.fsum(run.forecast.seconds for run in self.planned if run.forecast is not None)

    @property
    def timed(self) -> int:
        """How many runs these are."""
        return sum(run.forecast is not None for run in self.planned)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Systems of the other unfinished runs."""
        left = [run.spec.system for run in self.planned if not run.finished and run.forecast is None]
        return tuple(dict.fromkeys(left))


def estimate(
    session: Session,
    results: Path,
    known: Sequence[Measured],
    count_tokens: TokenCounter | str,
    *,
    fresh: bool = False,
    drawn: MutableMapping[DrawKey, Drawn] | None = None,
) -> Estimate:
    """What the runs of an opened request will take.

    Args:
        session: The request, its data and its specs.
        results: Folder of all runs.
        known: Finished runs of any model that are to be compared with: see `finished_runs`.
        count_tokens: By the request's tokenizer, or why there is none: see `find_counter`.
        fresh: Whether finished runs are done again.
        drawn: First draws of other requests, to which this one's is added; None for none.

    Raises:
        UserError: The data is too small for the size or without questions, an oracle has nothing to read, or a run of
            this request is damaged.
    """
    specs = unfinished(session.specs, results, fresh=fresh)
    if isinstance(count_tokens, str):
        return Estimate([Planned(spec, spec not in specs) for spec in session.specs], why=count_tokens)
    request = session.request
    draw = _first_draw(session, count_tokens, {} if drawn is None else drawn)
    skipped: list[Misfit] = []
    if specs and not draw.evidence:
        specs, skipped = with_evidence(specs, _draws(session, count_tokens), request.systems)
    corpus = sum(draw.documents)
    loads = {spec: load_of(spec, find_system(spec.system), corpus, draw.questions, request.draws) for spec in specs}
    left_out = [misfit.spec for misfit in skipped]
    questions = request.draws * draw.questions * len(specs)
    bill = _bill(session, specs, draw.documents, draw.questions, count_tokens)
    return Estimate(
        planned=[
            Planned(spec, spec not in loads, forecast(spec, loads[spec], known) if spec in loads else None)
            for spec in session.specs
            if spec not in left_out
        ],
        questions=questions,
        tokens=sum(
            request.draws * tokens_to_read(spec, find_system(spec.system), corpus, draw.questions) for spec in specs
        ),
        bytes=ANSWER_BYTES * questions,
        rough=count_tokens is rough_count,
        bill=bill,
        costs=_costs(session, bill),
        limits_seconds=_seconds_by_limits(session, bill),
        skipped=skipped,
    )


def _first_draw(session: Session, count_tokens: TokenCounter, drawn: MutableMapping[DrawKey, Drawn]) -> Drawn:
    """The first draw of a request, made once for all requests that share it."""
    asked = session.request
    key = (session.dataset.source, session.dataset.name, asked.size, asked.seed, asked.questions, asked.model,
           asked.tokenizer, asked.adapter)  # fmt: skip
    if key not in drawn:
        made = make_one_draw(session, 0, count_tokens)
        documents = count_tokens([f"{document.title}\n{document.text}" for document in made.corpus.documents])
        drawn[key] = Drawn(documents, len(made.corpus.questions), any(gold.evidence for gold in made.gold))
    return drawn[key]


def _draws(session: Session, count_tokens: TokenCounter) -> Iterator[Draw]:
    return (make_one_draw(session, number, count_tokens) for number in range(session.request.draws))


def _bill(
    session: Session, specs: Sequence[RunSpec], documents: Sequence[int], questions: int, count_tokens: TokenCounter
) -> Bill | None:
    """What the runs ask of servers; None where model and embedder are on this machine."""
    request, ends = session.request, session.endpoints
    if not specs or not (ends.model or ends.embedder):
        return None
    bill, embedded, corpus = Bill(), False, sum(documents)
    system = sum(count_tokens([request.system_prompt])) if request.system_prompt else 0
    thinking = _thinking(request)
    for spec in specs:
        kind = find_system(spec.system)
        sent = tokens_to_read(spec, kind, corpus, questions)
        bill += bill_of(spec, kind, sent, corpus, questions, Extras(thinking, system))
        if is_endpoint(spec.embedder):
            cut = () if embedded else documents  # chunks are embedded once for all runs
            longest = _window(spec)
            bill += embedding_bill(cut, spec.chunk_tokens, request.embed_batch, questions, longest)
            embedded = True
    first = (ends.model is not None) + (ends.embedder is not None)
    return bill * request.draws + Bill(calls=first)


def _thinking(request: Request) -> int:
    """Tokens of reasoning that the model's server will be granted for an answer; 0 for a model on this machine."""
    if not is_endpoint(request.model):
        return 0
    if request.tokenizer is None or request.think_tokens is not None:
        return request.think_tokens or 0  # tiktoken's encodings have no marks of reasoning
    return granted_tokens(load_endpoint_tokenizer(served_name(request.model), request.tokenizer), None)


def _window(spec: RunSpec) -> int | None:
    """Longest text that a run's embedder embeds as one; None where its chunks are not cut into windows."""
    return MAX_TOKENS.get(served_name(str(spec.embedder))) if spec.options.embed_windows else None


def _costs(session: Session, bill: Bill | None) -> Costs | None:
    if bill is None:
        return None
    request, ends = session.request, session.endpoints
    found = [
        None if line is None else find_price(ends.prices, served_name(str(name)), line.address.host)
        for line, name in ((ends.model, request.model), (ends.embedder, request.embedder))
    ]
    return costs_of(bill, found[0], found[1])


def _seconds_by_limits(session: Session, bill: Bill | None) -> float:
    if bill is None:
        return 0.0
    request = session.request
    pairs = (
        (bill.calls, request.requests_per_minute),
        (bill.sent + bill.written + bill.embedded, request.tokens_per_minute),
    )
    return max(60 * count / limit if limit is not None else 0.0 for count, limit in pairs)


def tokens_to_read(spec: RunSpec, kind: SystemKind, corpus: int, questions: int) -> int:
    """Tokens that the model reads for one draw, prompts included.

    Args:
        spec: The run.
        kind: Its system.
        corpus: Tokens of the draw's documents.
        questions: Of the draw.
    """
    once, each = _reads(spec, kind, corpus)
    return once + questions * each


def load_of(spec: RunSpec, kind: SystemKind, corpus: int, questions: int, draws: int = 1) -> Load:
    """What a run reads, over draws that are alike.

    Args:
        spec: The run.
        kind: Its system.
        corpus: Tokens of a draw's documents.
        questions: Of a draw.
        draws: How many.
    """
    _, each = _reads(spec, kind, corpus)
    return Load(draws * corpus, draws * questions * each)


def _reads(spec: RunSpec, kind: SystemKind, corpus: int) -> tuple[int, int]:
    """Tokens that the model reads once for a draw, and for each of its questions."""
    if "prefix-cache" in kind.needs and is_endpoint(spec.model):
        # A server is sent the corpus with each question, and once before them, whatever its cache holds.
        return corpus + FRAME_TOKENS, corpus + FRAME_TOKENS
    if "prefix-cache" in kind.needs or kind.memory == "memory":
        return corpus, FRAME_TOKENS
    if "whole-corpus" in kind.needs or "notes" in kind.needs or kind.memory == "query-first":
        return 0, corpus + FRAME_TOKENS
    budget = spec.options.top_tokens or (spec.top_k or 0) * spec.chunk_tokens
    return 0, (min(budget, corpus) if "chunks" in kind.needs else 0) + FRAME_TOKENS


def forecast(spec: RunSpec, load: Load, known: Sequence[Measured]) -> Forecast | None:
    """How long a run will take by a finished one of the same system, model and device; None without one.

    Preparing is in proportion to the documents' tokens, answering to those of the prompts. Of several finished runs the
    one that read nearest to as much is taken; other options count against it as `OTHERWISE` says.

    Args:
        spec: The run.
        load: What it will read.
        known: Finished runs.
    """
    alike = [
        each
        for each in known
        if (each.spec.system, each.spec.model_name, each.spec.device, each.spec.dtype, each.spec.at_once)
        == (spec.system, spec.model_name, spec.device, spec.dtype, spec.at_once)
    ]
    if not alike:
        return None

    def distance(each: Measured) -> float:
        length = abs(math.log(_share(load.corpora + load.prompts, each.load.corpora + each.load.prompts)))
        others = (each.spec.options != spec.options) + (each.spec.max_answer_tokens != spec.max_answer_tokens)
        return length + OTHERWISE * others

    best = min(alike, key=distance)
    prepare = best.prepare * _share(load.corpora, best.load.corpora)
    answer = best.answer * _share(load.prompts, best.load.prompts)
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
    """Whether a run was done on this machine, by its first file alone.

    The system's count of its memory changes by a few bytes at every start.
    """
    head = read_json(RunFolder(path).spec)
    recorded, device = (_at(head, *keys) for keys in (("provenance", "machine"), ("spec", "device")))
    if not isinstance(device, str) or not isinstance(recorded, Mapping):
        return False
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            return False
    return {**recorded, "memory_bytes": 0} == {**machine_facts(device), "memory_bytes": 0}


def _at(tree: Mapping[str, object], first: str, second: str) -> object:
    inner = tree.get(first)
    return inner.get(second) if isinstance(inner, Mapping) else None


def _measured(run: RunRecord) -> Measured | None:
    """What a finished run read and took; None where every answer failed, which tells nothing."""
    given = [answer.timings.total for answer in run.answers.values() if answer.error is None]
    if not given:
        return None
    kind = find_system(run.spec.system)
    loads = [load_of(run.spec, kind, row["tokens"], row["questions"]) for row in run.corpora]
    load = Load(sum(each.corpora for each in loads), sum(each.prompts for each in loads))
    prepare = math.fsum(prepared.total_seconds for prepared in run.first_prepared.values())
    return Measured(run.spec, load, prepare, math.fsum(given) * len(run.answers) / len(given))
