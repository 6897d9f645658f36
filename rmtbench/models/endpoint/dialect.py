"""Parameters that differ between servers: what one server takes, found out by the first request of a process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

NEW_TOKEN_LIMIT = "max_completion_tokens"  # noqa: S105 - the name of a parameter
"""What OpenAI's reasoning models call `max_tokens`."""


@dataclass(frozen=True)
class Dialect:
    """How a server is asked.

    Attributes:
        token_limit: What the longest answer is called.
        greedy: Whether the server lets the temperature be 0.
        usage: Whether it can be asked for usage at the end of a stream.
        streams: Whether it may be asked to stream.
        effort: What the user wants a reasoning model to spend, in the server's word; None sends nothing.
    """

    token_limit: str = "max_tokens"  # noqa: S105 - the name of a parameter
    greedy: bool = True
    usage: bool = True
    streams: bool = True
    effort: str | None = None

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

    def parameters(self, max_tokens: int) -> dict[str, Any]:
        """The parameters of one request."""
        return {
            self.token_limit: max_tokens,
            **({"temperature": 0} if self.greedy else {}),
            **({"reasoning_effort": self.effort} if self.effort is not None else {}),
            **({"stream": True} if self.streams else {}),
            **({"stream_options": {"include_usage": True}} if self.streams and self.usage else {}),
        }
