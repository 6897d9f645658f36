"""What a plan will take before it begins: questions, tokens to read, time by what finished runs took, and disk.

Reckoned from each request's first draw; a system that declares nothing of what it reads counts by its questions alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rmtbench.core import RunSpec
from rmtbench.corpora.base import TokenCounter
from rmtbench.errors import UserError
from rmtbench.hub import NEEDS
from rmtbench.journal.record import RunRecord, find_runs, read_run
from rmtbench.models.control_tokens import control_marks, count_tokens
from rmtbench.models.endpoint.address import is_endpoint, served_name
from rmtbench.models.endpoint.embedder import MAX_TOKENS
from rmtbench.models.endpoint.load import granted_tokens
from rmtbench.models.endpoint.prices import find_price
from rmtbench.models.endpoint.tokenizer import NoTokenizer, load_endpoint_tokenizer
from rmtbench.models.load import load_token_counter
from rmtbench.models.random_geometry import is_random
from rmtbench.models.sources import find_source
from rmtbench.options.request import Request
from rmtbench.runs.bill import FRAME_TOKENS, Bill, Costs, Extras, bill_of, costs_of, embedding_bill
from rmtbench.runs.finished import unfinished
from rmtbench.runs.provenance import machine_facts
from rmtbench.runs.session import Session, make_one_draw
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system, working_systems

CHARACTERS_A_TOKEN = 4
"""By which a server's tokens are counted where nothing here has its tokenizer: a rule of thumb for English."""
ANSWER_BYTES = 1_500
"""On disk, of a question with its gold, its answer and its scores."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A finished run, as far as it tells how long others will take."""

    spec: RunSpec
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the runs of one request will take.

    Attributes:
        runs: How many there are.
        finished: How many of them stand on disk; nothing below counts these.
        questions: Of all draws and runs together; None where the corpus cannot be drawn here.
        tokens: To read, of all draws and runs together; None as for questions.
        seconds: Of the runs for whose system there is a finished run; loading and scoring are not in it.
        timed: How many runs these are.
        unknown: Systems of the other runs.
        bytes: That the answers will take on disk.
        why: Why there is no count of questions and tokens; empty where there is.
        rough: Whether tokens are counted by their characters.
        bill: What servers are asked for; None where none is, or where it cannot be counted.
        costs: What that costs; None without a price.
        limits_seconds: What it takes at least by the limits a minute that the request sets.
    """

    runs: int
    finished: int
    questions: int | None
    tokens: int | None
    seconds: float
    timed: int
    unknown: tuple[str, ...]
    bytes: int
    why: str = ""
    rough: bool = False
    bill: Bill | None = None
    costs: Costs | None = None
    limits_seconds: float = 0.0


def estimate(
    session: Session, results: Path, known: Sequence[Timed], count_tokens: TokenCounter | str, *, fresh: bool = False
) -> Estimate:
    """What the runs of an opened request will take.

    Args:
        session: The request, its data and its specs.
        results: Folder of all runs.
        known: Finished runs of any model that are to be compared with: see `finished_runs`.
        count_tokens: By the request's tokenizer, or why there is none: see `find_counter`.
        fresh: Whether finished runs are done again.

    Raises:
        UserError: The data is too small for the size or without questions, or a finished run is damaged.
    """
    specs = unfinished(session.specs, results, fresh=fresh)
    finished = len(session.specs) - len(specs)
    if isinstance(count_tokens, str):
        systems = tuple(dict.fromkeys(spec.system for spec in specs))
        return Estimate(len(session.specs), finished, None, None, 0.0, 0, systems, 0, count_tokens)
    request = session.request
    draw = make_one_draw(session, 0, count_tokens)
    documents = count_tokens([f"{document.title}\n{document.text}" for document in draw.corpus.documents])
    corpus = sum(documents)
    asked = len(draw.corpus.questions)
    read = [request.draws * tokens_to_read(spec, find_system(spec.system), corpus, asked) for spec in specs]
    seconds = [seconds_by(spec, tokens, known) for spec, tokens in zip(specs, read, strict=True)]
    questions = request.draws * asked * len(specs)
    bill = _bill(session, specs, documents, asked, count_tokens)
    return Estimate(
        runs=len(session.specs),
        finished=finished,
        questions=questions,
        tokens=sum(read),
        seconds=sum(each for each in seconds if each is not None),
        timed=sum(each is not None for each in seconds),
        unknown=tuple(dict.fromkeys(spec.system for spec, each in zip(specs, seconds, strict=True) if each is None)),
        bytes=ANSWER_BYTES * questions,
        rough=count_tokens is rough_count,
        bill=bill,
        costs=_costs(session, bill),
        limits_seconds=_seconds_by_limits(session, bill),
    )


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


def rough_count(texts: Sequence[str]) -> list[int]:
    """About how many tokens each text has, by its characters."""
    return [math.ceil(len(text) / CHARACTERS_A_TOKEN) for text in texts]


def tokens_to_read(spec: RunSpec, kind: SystemKind, corpus: int, questions: int) -> int:
    """Tokens that the model reads for one draw, prompts included.

    Args:
        spec: The run.
        kind: Its system.
        corpus: Tokens of the draw's documents.
        questions: Of the draw.
    """
    budget = spec.options.top_tokens or (spec.top_k or 0) * spec.chunk_tokens
    if "prefix-cache" in kind.needs and is_endpoint(spec.model):
        # A server is sent the corpus with each question, and once before them, whatever its cache holds.
        return (questions + 1) * (corpus + FRAME_TOKENS)
    once = "prefix-cache" in kind.needs or kind.memory == "memory"
    each = "whole-corpus" in kind.needs or "notes" in kind.needs or kind.memory == "query-first"
    apiece = 0 if once else corpus if each else min(budget, corpus) if "chunks" in kind.needs else 0
    return (corpus if once else 0) + questions * (apiece + FRAME_TOKENS)


def seconds_by(spec: RunSpec, tokens: int, known: Sequence[Timed]) -> float | None:
    """Seconds of a run by the finished one of the same system that read nearest to as much; None without one.

    Args:
        spec: The run.
        tokens: That it will read.
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
    nearest = min(alike, key=lambda each: abs(math.log(each.tokens / tokens)))
    return nearest.seconds * tokens / nearest.tokens


def finished_runs(results: Path) -> list[Timed]:
    """The complete runs of a folder that this machine did, with what they read and took; none without a folder.

    Raises:
        UserError: A run is damaged or of another version.
    """
    if not results.is_dir():
        return []
    found = [run for run in map(read_run, find_runs(results)) if run.complete and run.answers]
    known = working_systems()[0]  # a plugin that made a run may be gone
    counted = [run for run in found if run.spec.system in known]
    runs = [run for run in counted if all(row["tokens"] is not None for row in run.corpora)]
    return [
        Timed(run.spec, _tokens_of(run), _seconds_of(run))
        for run in runs
        if _same_machine(run.provenance.get("machine"), machine_facts(run.spec.device))
    ]


def find_counter(model: str, tokenizer: str | None, adapter: str | None = None) -> TokenCounter:
    """What counts tokens as the model under test does, or about as a served one does: see `rough_count`.

    Args:
        model: As a request names it.
        tokenizer: Another tokenizer than the model's own.
        adapter: An adapter that may bring its own tokenizer, as a request names it.

    Raises:
        UserError: The model or the tokenizer is missing, so that the run itself could not begin.
    """
    if is_endpoint(model):  # its tokenizer is loaded without torch, for which a served run does not wait
        words = load_endpoint_tokenizer(served_name(model), tokenizer, needed_for=None)
        return (
            rough_count if isinstance(words, NoTokenizer) else partial(count_tokens, words, marks=control_marks(words))
        )
    if not is_random(model):
        _check_there(find_source(model, adapter).path)
    return load_token_counter(model, tokenizer, adapter)


def _check_there(model: str) -> None:
    """Refuse a model of which there is no configuration: a tokenizer of another model would hide that it is missing."""
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"model '{model}' cannot be loaded ({type(error).__name__})",
            where="--model",
            remedy=f"give a folder with config.json, tokenizer and weights, or random:tiny; {NEEDS}",
        ) from error


def _same_machine(recorded: object, here: Mapping[str, Any]) -> bool:
    """Whether a run's machine is this one; the system's count of its memory changes by a few bytes at every start."""
    return isinstance(recorded, Mapping) and {**recorded, "memory_bytes": 0} == {**here, "memory_bytes": 0}


def _tokens_of(run: RunRecord) -> int:
    kind = find_system(run.spec.system)
    return sum(tokens_to_read(run.spec, kind, row["tokens"], row["questions"]) for row in run.corpora)


def _seconds_of(run: RunRecord) -> float:
    answers = math.fsum(answer.timings.total for answer in run.answers.values())
    return answers + math.fsum(prepared.total_seconds for _, prepared in run.prepared)
