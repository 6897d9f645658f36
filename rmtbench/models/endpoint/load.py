"""Open the lines that a command needs, and say what answers there: host and served name, and nothing secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmtbench.core import AnswerStyle
from rmtbench.models.endpoint.address import served_name
from rmtbench.models.endpoint.embedder import BATCH, EndpointEmbedder
from rmtbench.models.endpoint.line import Api, LineSettings, open_line
from rmtbench.models.endpoint.model import EndpointModel
from rmtbench.models.endpoint.prices import Price, find_price
from rmtbench.models.endpoint.retry import Clock
from rmtbench.models.endpoint.tokenizer import NoTokenizer, load_endpoint_tokenizer
from rmtbench.models.prompt import CONTRACT_VERSION, CUE, INSTRUCTION, PromptContract, make_contract

AS_SERVED = "as served"


@dataclass(frozen=True)
class Endpoints:
    """How the servers of a command are spoken to.

    Attributes:
        model: The language model's server; None where it is on this machine.
        embedder: The embedder's server; likewise.
        api: How prompts are sent.
        prices: The table of prices.
        embed_batch: Most texts in one request to the embedder.
    """

    model: LineSettings | None = None
    embedder: LineSettings | None = None
    api: Api = "chat"
    prices: tuple[Price, ...] = ()
    embed_batch: int = BATCH


def load_endpoint_model(
    name: str,
    endpoints: Endpoints,
    *,
    tokenizer: str | None,
    style: AnswerStyle,
    max_answer_tokens: int,
    counted_for: str | None = "corpus sizes",
    clock: Clock | None = None,
) -> EndpointModel:
    """Get a served model ready: its tokenizer is loaded and the server asked something short.

    Args:
        name: ``openai:`` and the model's name at the server.
        endpoints: How to speak to it.
        tokenizer: What counts tokens; None for tiktoken's.
        style: Answer style of its prompts.
        max_answer_tokens: Most tokens of an answer.
        counted_for: What tokens are counted for before the server is asked; None where nothing needs a tokenizer.
        clock: Time and chance; None for the real ones.

    Raises:
        UserError: A tokenizer is needed and missing, or the server does not answer, or not to this key or model.
        ValueError: The endpoints have no line for a model.
    """
    from rmtbench.models.load import tokenizer_hash

    if endpoints.model is None:
        raise ValueError("no line for a model")
    served = served_name(name)
    words = load_endpoint_tokenizer(served, tokenizer, needed_for=counted_for)
    line = open_line(endpoints.model, served, clock=clock)
    dialect, reply = line.find_dialect(endpoints.api, max_answer_tokens + endpoints.model.reasoning_tokens)
    counts = not isinstance(words, NoTokenizer)
    if not counts and reply.usage.prompt is None:
        words.encode("")  # raises: nothing counts the tokens of the answers
    host = endpoints.model.address.host
    price = find_price(endpoints.prices, served, host)
    provenance: dict[str, Any] = {
        "id": served,
        "served": reply.served,
        "fingerprint": reply.fingerprint,
        "revision": reply.served,
        "weights_sha256": None,
        "label": "",
        "tokenizer": (tokenizer or "tiktoken").rstrip("/").rpartition("/")[2] if counts else None,
        "tokenizer_sha256": tokenizer_hash(words) if counts else None,
        "dtype": AS_SERVED,
        "device": f"endpoint {host}",
        "attention": AS_SERVED,
        "context_limit": None,
        "prompt_contract": CONTRACT_VERSION,
        "api": endpoints.api,
        "greedy": dialect.greedy,
        "streams": reply.first_seconds is not None,
        "usage": reply.usage.prompt is not None,
        "cached_tokens": reply.usage.cached is not None,
        "price": None if price is None else price.row(),
        **endpoints.model.facts(),
    }
    if endpoints.api == "chat":
        # The server lays its own chat format around the words, and nobody but the model can begin its message.
        contract = PromptContract(words, style, f"{INSTRUCTION[style]}\n\n", "", CUE[style])
    else:
        made = make_contract(words, style)
        # The server's tokenizer sets its start token itself.
        contract = PromptContract(words, style, made.head.removeprefix(words.bos_token or ""), made.bridge, made.tail)
    return EndpointModel(line, endpoints.api, dialect, contract, max_answer_tokens, provenance)


def load_endpoint_embedder(
    name: str, endpoints: Endpoints, clock: Clock | None = None
) -> tuple[EndpointEmbedder, dict[str, Any]]:
    """Get a served embedder ready, and what is recorded of it.

    Raises:
        UserError: The server does not answer, or not to this key or for this model.
        ValueError: The endpoints have no line for an embedder.
    """
    if endpoints.embedder is None:
        raise ValueError("no line for an embedder")
    served = served_name(name, "--embedder")
    line = open_line(endpoints.embedder, served, option="--embedder", clock=clock)
    embedder = EndpointEmbedder(line, endpoints.embed_batch)
    host = endpoints.embedder.address.host
    price = find_price(endpoints.prices, served, host)
    return embedder, {"endpoint": host, "price": None if price is None else price.row()}
