"""Options of models and embedders behind a server. See docs/reference/endpoint.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from rmtbench.options.declare import option


@dataclass(frozen=True, kw_only=True)
class RunEndpoint:
    """The part in a run's `RunOptions`."""

    api: Literal["chat", "completions"] = option(
        "chat", "chat, or completions: the prompt's text as it is.", place="a served model"
    )
    concurrency: int = option(1, "Questions asked of a server at once: throughput.", at_least=1, place="a served model")
    reasoning_effort: str | None = option(
        None,
        "The server's word for how long to reason: low, high, none, ...",
        rare=True,
        not_blank=True,
        place="a served model",
    )


@dataclass(frozen=True, kw_only=True)
class Endpoint(RunEndpoint):
    """How servers are reached and asked."""

    TITLE: ClassVar[str] = "Server (openai:NAME)"

    base_url: str | None = option(
        None, "Server of an openai:NAME model or embedder.", shown="OpenAI's", place="a server"
    )
    key_variable: str | None = option(None, "Variable of its key.", shown="OPENAI_API_KEY", place="a server")
    prices: Path | None = option(None, "TOML file of prices.", shown="the package's", place="a server")
    requests_per_minute: int | None = option(
        None, "Maximum requests a minute.", rare=True, at_least=1, place="a server"
    )
    tokens_per_minute: int | None = option(None, "Maximum tokens a minute.", rare=True, at_least=1, place="a server")
    deadline: float = option(600.0, "Seconds after which a call fails.", rare=True, above=0, place="a server")
    attempts: int = option(8, "Maximum attempts at a call.", rare=True, at_least=1, place="a server")
    embedder_base_url: str | None = option(
        None, "Server of the embedder.", rare=True, shown="the model's", place="a served embedder"
    )
    embedder_key_variable: str | None = option(
        None,
        "Variable of the key for the embedder's server.",
        rare=True,
        shown="the model's",
        place="a served embedder",
    )
    embed_batch: int = option(128, "Texts in one request to embed.", rare=True, at_least=1, place="a served embedder")
