"""What runs will ask from servers: calls, tokens sent and written, and their highest price. Known before they begin.

Counts are for one draw, but for `request_bill`. Nothing here calls a server.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from operator import add

from rmtbench.core import RunSpec
from rmtbench.corpora.base import TokenCounter
from rmtbench.models.embed_windows import OVERLAP
from rmtbench.models.endpoint.address import is_endpoint, served_name
from rmtbench.models.endpoint.embedder import MAX_TOKENS
from rmtbench.models.endpoint.load import granted_tokens
from rmtbench.models.endpoint.prices import Price, find_price
from rmtbench.models.endpoint.tokenizer import load_endpoint_tokenizer
from rmtbench.options.request import Request
from rmtbench.runs.forecast import reading_of
from rmtbench.runs.session import Session
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system

QUESTION_TOKENS = 20
"""Tokens of a question that is embedded."""
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Bill:
    """What is asked from servers.

    Attributes:
        calls: Requests to the model and to the embedder.
        sent: Tokens of all prompts.
        cached: Tokens of `sent` that a server's prefix cache may hold.
        written: Most tokens written, with reasoning.
        embedded: Tokens that are embedded.
    """

    calls: int = 0
    sent: int = 0
    cached: int = 0
    written: int = 0
    embedded: int = 0

    def __add__(self, other: Bill) -> Bill:
        """Return the sum of both."""
        return Bill(*map(add, astuple(self), astuple(other)))

    def __mul__(self, draws: int) -> Bill:
        """Return the same for several draws."""
        return Bill(*(count * draws for count in astuple(self)))


@dataclass(frozen=True, slots=True)
class Costs:
    """The price of a bill in one currency: at most, and if a server's cache holds all that it may."""

    currency: str
    most: float
    if_cached: float


@dataclass(frozen=True, slots=True)
class Extras:
    """What every call of the model needs besides prompt and answer.

    Attributes:
        thinking: Most tokens of reasoning.
        system: Tokens of the system prompt.
    """

    thinking: int = 0
    system: int = 0


def embedding_bill(
    documents: Sequence[int], chunk_tokens: int, batch: int, questions: int, window: int | None = None
) -> Bill:
    """Return what a run asks from an embedder.

    Args:
        documents: Tokens of each document; empty if their chunks are embedded already.
        chunk_tokens: Tokens of the longest chunk.
        batch: Texts in one request.
        questions: Number of questions. Each is embedded by itself.
        window: Tokens of the longest window, into which longer chunks are cut; None if there are no windows.
    """
    texts, embedded = 0, sum(documents)
    for tokens in documents:
        for start in range(0, tokens, chunk_tokens):
            chunk = min(chunk_tokens, tokens - start)
            more = 0
            if window is not None and chunk > window:
                more = math.ceil((chunk - window) / (window - window // OVERLAP))
                embedded += more * (window // OVERLAP)  # read again by the window that follows
            texts += 1 + more
    return Bill(calls=math.ceil(texts / batch) + questions, embedded=embedded + questions * QUESTION_TOKENS)


def bill_of(spec: RunSpec, kind: SystemKind, sent: int, corpus: int, questions: int, extras: Extras) -> Bill:
    """Return what one run asks from the model's server for one draw; nothing if the model is on this machine.

    Args:
        spec: The run.
        kind: Its system.
        sent: Tokens that the model reads for the draw: see `rmtbench.runs.forecast.reading_of`.
        corpus: Tokens of the draw's documents.
        questions: Number of the draw's questions.
        extras: What every call needs besides.
    """
    if not is_endpoint(spec.model):
        return Bill()
    longest = spec.max_answer_tokens + extras.thinking
    calls, written, cached = questions, questions * longest, 0
    if "prefix-cache" in kind.needs:
        calls, written, cached = calls + 1, written + 1, questions * corpus
    if "notes" in kind.needs:
        notes, section = spec.options.rmt_memory_tokens or 0, spec.options.rmt_chunk_tokens or 1
        sections = questions * math.ceil(corpus / section)
        new = notes // spec.options.rmt_heads
        calls, written, sent = calls + sections, written + sections * (new + extras.thinking), sent + sections * notes
    return Bill(calls=calls, sent=sent + calls * extras.system, cached=cached, written=written)


def costs_of(bill: Bill, model: Price | None, embedder: Price | None) -> Costs | None:
    """Return the price of a bill; None if a price is missing, or the two are in different currencies.

    Args:
        bill: The bill of one request.
        model: Price of the model's tokens; not needed if nothing is sent.
        embedder: Price of the embedder's tokens; not needed if nothing is embedded.
    """
    needed = [price for price, tokens in ((model, bill.sent), (embedder, bill.embedded)) if tokens]
    currencies = {price.currency for price in needed if price is not None}
    if None in needed or len(currencies) != 1:
        return None
    fixed = bill.written * model.output if model is not None else 0.0
    fixed += bill.embedded * embedder.input if embedder is not None else 0.0
    read = bill.sent * model.input if model is not None else 0.0
    rebate = bill.cached * (model.input - model.cached_input) if model is not None else 0.0
    return Costs(currencies.pop(), (read + fixed) / MILLION, (read - rebate + fixed) / MILLION)


def request_bill(
    session: Session, specs: Sequence[RunSpec], documents: Sequence[int], questions: int, count_tokens: TokenCounter
) -> Bill | None:
    """Return what the runs of a request ask from servers; None where model and embedder are on this machine.

    Args:
        session: The request and its endpoints.
        specs: Its unfinished runs.
        documents: Tokens of each document of a draw.
        questions: Number of a draw's questions.
        count_tokens: Counts tokens of texts.
    """
    request, ends = session.request, session.endpoints
    if not specs or not (ends.model or ends.embedder):
        return None
    bill, embedded, corpus = Bill(), False, sum(documents)
    system = sum(count_tokens([request.system_prompt])) if request.system_prompt else 0
    thinking = _thinking(request)
    for spec in specs:
        kind = find_system(spec.system)
        sent = reading_of(spec, kind, corpus, questions).by_model
        bill += bill_of(spec, kind, sent, corpus, questions, Extras(thinking, system))
        if is_endpoint(spec.embedder):
            cut = () if embedded else documents  # chunks are embedded once for all runs
            longest = _window(spec)
            bill += embedding_bill(cut, spec.chunk_tokens, request.embed_batch, questions, longest)
            embedded = True
    first = (ends.model is not None) + (ends.embedder is not None)
    return bill * len(request.draw_numbers) + Bill(calls=first)


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


def request_costs(session: Session, bill: Bill | None) -> Costs | None:
    """Return the price of a request's bill by the prices that it knows; None without a bill or a price."""
    if bill is None:
        return None
    request, ends = session.request, session.endpoints
    found = [
        None if line is None else find_price(ends.prices, served_name(str(name)), line.address.host)
        for line, name in ((ends.model, request.model), (ends.embedder, request.embedder))
    ]
    return costs_of(bill, found[0], found[1])


def seconds_by_limits(session: Session, bill: Bill | None) -> float:
    """Return what a request's bill takes at least by the limits a minute that it sets, in seconds."""
    if bill is None:
        return 0.0
    request = session.request
    pairs = (
        (bill.calls, request.requests_per_minute),
        (bill.sent + bill.written + bill.embedded, request.tokens_per_minute),
    )
    return max(60 * count / limit if limit is not None else 0.0 for count, limit in pairs)
