"""How one server is asked: by which interface, and with which parameters; the first request finds out what it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Api = Literal["chat", "completions"]
NEW_TOKEN_LIMIT = "max_completion_tokens"  # noqa: S105 - the name of a parameter
"""What OpenAI's reasoning models call `max_tokens`."""


@dataclass(frozen=True)
class Dialect:
    """How a server is asked.

    Attributes:
        api: ``chat`` sends a prompt as the user's message, ``completions`` as it is.
        system: The system message of a chat; None for none.
        effort: What the user wants a reasoning model to spend, in the server's word; None sends nothing.
        token_limit: What the longest answer is called.
        greedy: Whether the server lets the temperature be 0.
        usage: Whether it can be asked for usage at the end of a stream.
        streams: Whether it may be asked to stream.
    """

    api: Api = "chat"
    system: str | None = None
    effort: str | None = None
    token_limit: str = "max_tokens"  # noqa: S105 - the name of a parameter
    greedy: bool = True
    usage: bool = True
    streams: bool = True

    def without(self, param: str | None) -> Dialect | None:
        """The dialect of a server that refuses a parameter; None if there is no other way to say it."""
        if param == self.token_limit != NEW_TOKEN_LIMIT:
            return replace(self, token_limit=NEW_TOKEN_LIMIT)
        if param == "temperature" and self.greedy:
            return replace(self, greedy=False)
        if param == "stream_options" and self.usage:
            return replace(self, usage=False)
        if param == "stream" and self.streams:
            return replace(self, streams=False)
        return None

    def body(self, text: str, max_tokens: int) -> dict[str, Any]:
        """The body of one request, without the model's name."""
        messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        messages.append({"role": "user", "content": text})
        return {
            self.token_limit: max_tokens,
            **({"temperature": 0} if self.greedy else {}),
            **({"reasoning_effort": self.effort} if self.effort is not None else {}),
            **({"stream": True} if self.streams else {}),
            **({"stream_options": {"include_usage": True}} if self.streams and self.usage else {}),
            **({"messages": messages} if self.api == "chat" else {"prompt": text}),
        }
