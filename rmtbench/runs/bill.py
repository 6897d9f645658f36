"""What runs will ask of servers before they begin: calls, tokens sent and written, and their price at most.

Counts are of one draw. Nothing here asks a server.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rmtbench.core import RunSpec
from rmtbench.models.endpoint.address import is_endpoint
from rmtbench.models.endpoint.prices import Price
from rmtbench.systems.base import SystemKind

FRAME_TOKENS = 100
"""Tokens that a question costs beside what it reads of the corpus: the prompt's frame, itself and its answer."""
QUESTION_TOKENS = 20
"""Tokens of a question that is embedded."""
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Bill:
    """What servers are asked for.

    Attributes:
        calls: Requests, of the model and of the embedder.
        sent: Tokens of all prompts.
        cached: Of these, how many a server's prefix cache may hold.
        written: Most tokens written, reasoning included.
        embedded: Tokens that are embedded.
    """

    calls: int = 0
    sent: int = 0
    cached: int = 0
    written: int = 0
    embedded: int = 0

    def __add__(self, other: Bill) -> Bill:
        """Both together."""
        return Bill(
            self.calls + other.calls,
            self.sent + other.sent,
            self.cached + other.cached,
            self.written + other.written,
            self.embedded + other.embedded,
        )

    def __mul__(self, draws: int) -> Bill:
        """The same for several draws."""
        return Bill(
            self.calls * draws, self.sent * draws, self.cached * draws, self.written * draws, self.embedded * draws
        )


@dataclass(frozen=True, slots=True)
class Costs:
    """What a bill comes to: at most, and where a server's cache holds all that it may, in one currency."""

    currency: str
    most: float
    if_cached: float


def embedding_bill(corpus: int, chunk_tokens: int, batch: int, questions: int) -> Bill:
    """What a run asks of an embedder.

    Args:
        corpus: Tokens of the documents; 0 where their chunks are embedded already.
        chunk_tokens: Longest chunk.
        batch: Texts in one request.
        questions: Each embedded by itself.
    """
    chunks = math.ceil(corpus / chunk_tokens)
    return Bill(calls=math.ceil(chunks / batch) + questions, embedded=corpus + questions * QUESTION_TOKENS)


def bill_of(spec: RunSpec, kind: SystemKind, sent: int, corpus: int, questions: int) -> Bill:
    """What one run asks of the model's server for one draw; nothing where the model is on this machine.

    Args:
        spec: The run.
        kind: Its system.
        sent: Tokens that the model reads for the draw: see `rmtbench.runs.estimate.tokens_to_read`.
        corpus: Tokens of the draw's documents.
        questions: Of the draw.
    """
    if not is_endpoint(spec.model):
        return Bill()
    settings = dict(spec.settings)
    reasoning = int(settings.get("reasoning_tokens", 0))
    longest = spec.max_answer_tokens + reasoning
    calls, written, cached = questions, questions * longest, 0
    if kind.takes_prefix:
        calls, written, cached = calls + 1, written + 1, questions * corpus
    if kind.writes_notes:
        sections = questions * math.ceil(corpus / int(settings["chunk_tokens"]))
        notes = int(settings["memory_tokens"])
        calls, written, sent = calls + sections, written + sections * (notes + reasoning), sent + sections * notes
    return Bill(calls=calls, sent=sent, cached=cached, written=written)


def costs_of(bill: Bill, model: Price | None, embedder: Price | None) -> Costs | None:
    """What a bill comes to; None where a price is missing, or where the two are in different currencies.

    Args:
        bill: Of one request.
        model: Price of the model's tokens; not needed where nothing is sent.
        embedder: Price of the embedder's; not needed where nothing is embedded.
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
