"""What a run cost, from its token counts and the prices recorded with it. Without a price there is no cost, not 0."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rmtbench.core import Prepared, TokenCounts
from rmtbench.journal.record import RunHead

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Means of what was paid, in one currency; None where nothing was answered or prepared yet.

    Attributes:
        currency: Such as ``USD``.
        per_question: Of an answer that did not fail: tokens read, read from the cache, written, and embedded for it.
        per_corpus: Of getting one draw ready: the warming call, and the chunks that were embedded.
    """

    currency: str
    per_question: float | None
    per_corpus: float | None


def cost_of(run: RunHead, tokens_of_answers: Callable[[], Sequence[TokenCounts]]) -> Cost | None:
    """What a run cost by the prices that its first process recorded.

    Args:
        run: The run.
        tokens_of_answers: Returns the tokens of every answer that did not fail; asked only where there is a price.

    Returns:
        Its cost; None where the model, or an embedder that a server is asked for, has no price, or where the two are in
        different currencies.
    """
    price = _price(run.provenance, "model")
    if price is None:
        return None
    answers = tokens_of_answers()
    prepared_tokens = [_prepared_tokens(prepared) for prepared in run.first_prepared.values()]
    embedding = _price(run.provenance, "embedder")
    if any(tokens.embedded for tokens in (*answers, *prepared_tokens)) and (
        embedding is None or embedding["currency"] != price["currency"]
    ):
        return None
    each = [_cost(tokens, price, embedding) for tokens in answers]
    corpora = [_cost(tokens, price, embedding) for tokens in prepared_tokens]
    return Cost(
        currency=price["currency"],
        per_question=statistics.fmean(each) if each else None,
        per_corpus=statistics.fmean(corpora) if corpora else None,
    )


def _price(provenance: Mapping[str, Any], what: str) -> Mapping[str, Any] | None:
    recorded = provenance.get(what)
    price = recorded.get("price") if isinstance(recorded, Mapping) else None
    return price if isinstance(price, Mapping) else None


def _prepared_tokens(prepared: Prepared) -> TokenCounts:
    counts = prepared.counts
    return TokenCounts(
        prompt=counts.get("warming_prompt_tokens", 0),
        cached=counts.get("warming_cached_tokens", 0),
        output=counts.get("warming_output_tokens", 0),
        embedded=counts.get("embedded_tokens", 0),
    )


def _cost(tokens: TokenCounts, price: Mapping[str, Any], embedding: Mapping[str, Any] | None) -> float:
    cached = tokens.cached or 0  # where the server does not say, no rebate is counted
    read = (tokens.prompt - cached) * price["input"] + cached * price["cached_input"]
    embedded = tokens.embedded * embedding["input"] if embedding is not None else 0.0
    return float(read + tokens.output * price["output"] + embedded) / MILLION
