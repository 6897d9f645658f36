"""Connect to the servers that a command needs, and record host and served name, without secrets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rmtbench.core import AnswerStyle
from rmtbench.models.endpoint.address import served_name
from rmtbench.models.endpoint.dialect import Api, Dialect
from rmtbench.models.endpoint.embedder import BATCH, EndpointEmbedder
from rmtbench.models.endpoint.line import LineSettings, open_line
from rmtbench.models.endpoint.model import EndpointModel
from rmtbench.models.endpoint.prices import Price, find_price
from rmtbench.models.endpoint.tokenizer import NoTokenizer, load_endpoint_tokenizer
from rmtbench.models.prompt import (
    CONTRACT_VERSION,
    CUE,
    INSTRUCTION,
    ChatSettings,
    PromptContract,
    make_contract,
    start_ids,
)
from rmtbench.models.reasoning import DEFAULT_THINK_TOKENS, REASONING_MARKS, Reasoning, find_reasoning
from rmtbench.options import flag

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AS_SERVED = "as served"


@dataclass(frozen=True)
class Endpoints:
    """How to reach the servers of a command.

    Attributes:
        model: The language model's server; None for a model on this machine.
        embedder: The embedder's server; None for an embedder on this machine.
        api: How prompts are sent.
        prices: The table of prices.
        embed_batch: Maximum texts in one request to the embedder.
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
    chat: ChatSettings | None = None,
) -> EndpointModel:
    """Load a served model's tokenizer and send the server a short request.

    Args:
        name: ``openai:`` and the model's name at the server.
        endpoints: How to reach it.
        tokenizer: Counts tokens; None for tiktoken's.
        style: Answer style of its prompts.
        max_answer_tokens: Maximum tokens of an answer.
        counted_for: What needs token counts before the server is asked; None if nothing does.
        chat: Settings of the chat; None for the defaults.

    Raises:
        UserError: A tokenizer is needed and missing, or the server does not answer, or not to this key or model.
        ValueError: The endpoints have no line for a model.
    """
    from rmtbench.models.load import tokenizer_hash

    if endpoints.model is None:
        raise ValueError("no line for a model")
    served = served_name(name)
    words = load_endpoint_tokenizer(served, tokenizer, needed_for=counted_for)
    line = open_line(endpoints.model, served)
    chat = chat or ChatSettings()
    contract = _contract(words, style, endpoints.api, chat)
    think_tokens = granted_tokens(words, chat.think_tokens)
    system = chat.system if endpoints.api == "chat" else None  # else it is in the prompt's text
    wanted = Dialect(endpoints.api, system, endpoints.model.reasoning_effort)
    dialect, reply = line.find_dialect(wanted, max_answer_tokens + think_tokens)
    counts = not isinstance(words, NoTokenizer)
    if not counts and reply.usage.prompt is None:
        words.encode("")  # raises, because nothing counts the tokens of the answers
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
        "think_tokens": think_tokens,
        "system_prompt": chat.system,
        **endpoints.model.facts(),
    }
    return EndpointModel(line, dialect, contract, max_answer_tokens, provenance, think_tokens)


def _contract(words: PreTrainedTokenizerBase, style: AnswerStyle, api: Api, chat: ChatSettings) -> PromptContract:
    """Return the contract of a server's prompts. Its replies are texts, so all known marks of reasoning count."""
    if api == "chat":
        # The server adds its own chat format, and the model's message cannot be begun for it.
        return PromptContract(words, style, f"{INSTRUCTION[style]}\n\n", "", CUE[style], Reasoning(REASONING_MARKS))
    made = make_contract(words, style, chat)
    # What the server's tokenizer puts before any text must not be said by the chat format, too.
    head = made.head.removeprefix(words.decode(start_ids(words))) if words.chat_template else made.head
    return replace(made, head=head, reasoning=replace(made.reasoning, marks=REASONING_MARKS))


def granted_tokens(words: PreTrainedTokenizerBase, think_tokens: int | None) -> int:
    """Return the maximum tokens of reasoning that a server may write besides the answer.

    Args:
        words: The tokenizer that counts for the model.
        think_tokens: As set. None is the default for a tokenizer with marks of reasoning, else 0.
    """
    if think_tokens is not None:
        return think_tokens
    added = [token.content for token in getattr(words, "added_tokens_decoder", {}).values()]
    template = str(words.get_chat_template()) if words.chat_template else ""
    return DEFAULT_THINK_TOKENS if find_reasoning(template, added, "").marks else 0


def load_endpoint_embedder(name: str, endpoints: Endpoints) -> tuple[EndpointEmbedder, dict[str, Any]]:
    """Get a served embedder ready. Return it with the facts that are recorded of it.

    Raises:
        UserError: The server does not answer, or not to this key or for this model.
        ValueError: The endpoints have no line for an embedder.
    """
    if endpoints.embedder is None:
        raise ValueError("no line for an embedder")
    served = served_name(name, flag.embedder)
    line = open_line(endpoints.embedder, served, option=flag.embedder)
    embedder = EndpointEmbedder(line, endpoints.embed_batch)
    host = endpoints.embedder.address.host
    # Without a server's count nothing is known of the cost.
    price = find_price(endpoints.prices, served, host) if embedder.tokens else None
    return embedder, {"endpoint": host, "price": None if price is None else price.row()}
