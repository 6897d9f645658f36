"""A streamed reply, put together: text, time to the first of it, usage. A stream that ends too soon is no reply.

Reads the events itself: the client's own reader breaks the connection off at every reply's end, and parses what nobody
asks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rmtbench.models.endpoint.faults import StreamError, TransientError

DATA = "data:"
DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one prompt.

    Attributes:
        text: All that was written.
        finish_reason: Why it ended, in the server's word: ``stop``, ``length`` or another.
        prompt_tokens: Tokens read, by the server's count; None if it gives none.
        cached_tokens: Of these, how many came from its cache; None if it does not say.
        output_tokens: Tokens written; None if it gives no count.
        first_seconds: From the request to the first text.
        seconds: From the request to the end.
        served: The model's name by the server.
        fingerprint: What the server calls its configuration; None if it does not.
    """

    text: str
    finish_reason: str
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    first_seconds: float
    seconds: float
    served: str | None
    fingerprint: str | None


def read_events(lines: Iterable[str], now: Callable[[], float], began: float, deadline: float) -> Reply:
    """Read a stream of chat or plain completions to its very end, so that the connection can serve again.

    Args:
        lines: The body's lines.
        now: The clock.
        began: When the request was made.
        deadline: Seconds after which reading is given up.

    Raises:
        TransientError: The stream ends before the answer does, or goes on beyond the deadline.
        StreamError: The server tells of an error in place of an event.
        ValueError: An event is not in the protocol's form; or AttributeError, TypeError, LookupError.
    """
    texts: list[str] = []
    first: float | None = None
    seconds = 0.0
    finish: str | None = None
    usage: Mapping[str, Any] = {}
    served = fingerprint = None
    for line in lines:
        moment = now() - began
        if moment > deadline:  # looked at in every line: some servers keep a line open with comments
            raise TransientError("no reply in time")
        if not line.startswith(DATA):
            continue
        data = line[len(DATA) :].strip()
        if data == DONE:
            continue
        event = json.loads(data)
        if event.get("error"):
            raise StreamError(event["error"])
        seconds = moment
        served, fingerprint = event.get("model") or served, event.get("system_fingerprint") or fingerprint
        usage = event.get("usage") or usage
        for choice in event.get("choices") or ():
            piece = choice["text"] if "text" in choice else choice["delta"].get("content")
            if piece:
                first = moment if first is None else first
                texts.append(piece)
            finish = choice.get("finish_reason") or finish
    if finish is None:
        raise TransientError("the stream was cut in the middle")
    return Reply(
        text="".join(texts),
        finish_reason=finish,
        prompt_tokens=_count(usage, "prompt_tokens"),
        cached_tokens=_count(usage.get("prompt_tokens_details") or {}, "cached_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        first_seconds=seconds if first is None else first,
        seconds=seconds,
        served=served,
        fingerprint=fingerprint,
    )


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    if value is not None and (not isinstance(value, int) or value < 0):
        raise TypeError(f"{name} is no count")
    return value
