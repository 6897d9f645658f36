"""One reply, put together from its bytes: text, reasoning, time to the first text, usage, and why it ended.

Reads the events itself: the client's own reader closes the connection after every reply, parses what nobody asks for,
and splits lines at characters that do not end a line of server-sent events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rmtbench.models.endpoint.faults import StreamError, TransientError
from rmtbench.models.endpoint.usage import Usage, read_usage

DATA = "data:"
DONE = "[DONE]"
NO_REASON = ("null", "none")
"""Words that some servers send in place of null while an answer goes on."""
THOUGHTS = ("reasoning_content", "reasoning")
"""Fields in which servers send a model's reasoning beside its text."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one prompt.

    Attributes:
        text: All that was written, without reasoning that the server sends apart.
        reasoning: Reasoning that the server sends apart; empty where it sends none.
        finish_reason: Why it ended, in the server's word; empty or None where the server gives none.
        usage: Tokens by the server's count.
        first_seconds: From the request to the first text; None where the reply came in one piece.
        seconds: From the request to the end.
        served: The model's name by the server.
        fingerprint: What the server calls its configuration; None if it does not.
    """

    text: str
    reasoning: str
    finish_reason: str | None
    usage: Usage
    first_seconds: float | None
    seconds: float
    served: str | None
    fingerprint: str | None


def read_events(chunks: Iterable[bytes], now: Callable[[], float], began: float, deadline: float) -> Reply:
    """Read a reply of chat or plain completions to its very end, so that the connection can serve again.

    A stream is complete where it says ``[DONE]`` or names a reason for its end. A reply that is one JSON object, from a
    server or proxy that does not stream, is complete by itself.

    Args:
        chunks: The body's bytes as they come.
        now: The clock.
        began: When the request was made.
        deadline: Seconds after which reading is given up.

    Raises:
        TransientError: The stream ends before the answer does, or goes on beyond the deadline.
        StreamError: The server tells of an error in place of an event.
        ValueError: An event is not in the protocol's form; or AttributeError, TypeError, LookupError.
    """
    heard = _Heard()
    pending = ""  # an event's data so far: it may go on in the next data line
    whole: list[str] = []  # lines of a body that is one JSON object
    moment = 0.0
    for line in lines_of(chunks):
        moment = now() - began
        if moment > deadline:  # looked at in every line: some servers keep a line open with comments
            raise TransientError("no reply in time")
        if whole or (line.lstrip().startswith("{") and not heard.seconds):
            whole.append(line)
        elif not line and pending:
            raise ValueError("an event is not JSON")
        elif line.startswith(DATA):
            pending += line[len(DATA) :].strip()
            if pending == DONE:
                heard.complete, pending = True, ""
                continue
            try:
                event = json.loads(pending)
            except ValueError:
                continue
            pending = ""
            heard.hear(event, moment)
    if pending:
        raise ValueError("the last event is not JSON")
    if whole:
        heard.hear(json.loads("\n".join(whole)), moment)
        heard.complete, heard.first = True, None
    return heard.reply(streamed=not whole)


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a text in UTF-8 without their ends, which are CR, LF or CRLF as in server-sent events.

    Args:
        chunks: The text's bytes, cut anywhere.

    Raises:
        UnicodeDecodeError: A line is not UTF-8.
    """
    rest, after_cr, first = b"", False, True
    for piece in chunks:
        chunk = piece[1:] if after_cr and piece.startswith(b"\n") else piece
        if piece:
            after_cr = piece.endswith(b"\r")
        *lines, rest = _LINE_END.split(rest + chunk)
        for line in lines:
            yield line.decode("utf-8-sig" if first else "utf-8")
            first = False
    if rest:
        yield rest.decode("utf-8-sig" if first else "utf-8")


@dataclass(slots=True)
class _Heard:
    """A reply while it is read."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    usage: Mapping[str, Any] = field(default_factory=dict)
    finish: str | None = None
    served: str | None = None
    fingerprint: str | None = None
    first: float | None = None
    seconds: float = 0.0
    complete: bool = False

    def hear(self, event: Mapping[str, Any], moment: float) -> None:
        """Take in one event, which came after so many seconds."""
        if event.get("error") or event.get("object") == "error":
            raise StreamError(event.get("error") or event)
        self.seconds = moment
        self.served = event.get("model") or self.served
        self.fingerprint = event.get("system_fingerprint") or self.fingerprint
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices") or ():
            if choice.get("index"):
                continue  # only one answer is asked for
            text, thought = _said(choice if "text" in choice else choice.get("delta") or choice.get("message") or {})
            if text:
                self.first = moment if self.first is None else self.first
                self.texts.append(text)
            if thought:
                self.thoughts.append(thought)
            reason = choice.get("finish_reason")
            if reason in NO_REASON:
                reason = None
            if reason is not None:
                self.finish = str(reason) or self.finish or ""
                self.complete = self.complete or bool(reason)

    def reply(self, *, streamed: bool) -> Reply:
        """The whole of it.

        Raises:
            TransientError: The end is missing.
        """
        if not self.complete:
            raise TransientError("the stream was cut in the middle")
        first = self.seconds if self.first is None else self.first
        return Reply(
            text="".join(self.texts),
            reasoning="".join(self.thoughts),
            finish_reason=self.finish,
            usage=read_usage(self.usage),
            first_seconds=first if streamed else None,
            seconds=self.seconds,
            served=self.served,
            fingerprint=self.fingerprint,
        )


def _said(message: Mapping[str, Any]) -> tuple[str, str]:
    """Text and reasoning of a message or a piece of one; its content is a text, null, or a list of parts."""
    content = message["text"] if "text" in message else message.get("content")
    thoughts = [_texts(message.get(name)) for name in THOUGHTS]
    thought = thoughts[0] or thoughts[1]  # a server that has both names sends the same under each
    if content is None or isinstance(content, str):
        return content or "", thought
    if not isinstance(content, list):
        raise TypeError("content is neither a text nor a list of parts")
    texts: list[str] = []
    for part in content:
        if not isinstance(part, str) and str(part.get("type")).startswith(("thinking", "reasoning")):
            thought += _texts(part.get("thinking") or part.get("reasoning") or part.get("text"))
        else:
            texts.append(_texts(part))
    return "".join(texts), thought


def _texts(part: object) -> str:
    """The text of a part, or of a list of parts; empty for anything that holds none."""
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "".join(map(_texts, part))
    return _texts(part.get("text")) if isinstance(part, Mapping) else ""
