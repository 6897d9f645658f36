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
    heard = _Heard(deadline)
    try:
        for line in lines_of(chunks):
            heard.hear_line(line, now() - began)
        heard.end()
    except Exception:
        # A whole answer is not paid for twice because its server closes the connection the wrong way.
        if not (heard.done or (heard.finish and heard.usage)):
            raise
    return heard.reply()


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

    deadline: float
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    finish: str | None = None
    served: str | None = None
    fingerprint: str | None = None
    first: float | None = None
    seconds: float = 0.0
    done: bool = False
    answered: bool = False  # whether there was an answer at all, even an empty one
    refused: bool = False
    pending: str = ""  # an event's data so far: it may go on in the next data line
    body: list[str] = field(default_factory=list)  # lines of a reply that is one JSON object

    def hear_line(self, line: str, moment: float) -> None:
        """Take in one line, which came after so many seconds; nothing behind ``[DONE]`` counts."""
        if moment > self.deadline:  # looked at in every line: some servers keep a line open with comments
            raise TransientError("no reply in time")
        if self.done:
            return
        if self.body or (line.lstrip().startswith("{") and not self.seconds):
            self.body.append(line)
            self.seconds = moment
        elif not line and self.pending:
            raise ValueError("an event is not JSON")
        elif line.startswith(DATA):
            self.pending += line[len(DATA) :].strip()
            if self.pending == DONE:
                self.done, self.pending = True, ""
                return
            try:
                event = json.loads(self.pending)
            except ValueError:
                return
            self.pending, self.seconds = "", moment
            self.hear(event)

    def end(self) -> None:
        """Take in the end."""
        if self.pending:
            raise ValueError("the last event is not JSON")
        if self.body:
            self.hear(json.loads("\n".join(self.body)))
            self.done = True

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in one event."""
        if event.get("error") or event.get("object") == "error":
            raise StreamError(event.get("error") or event)
        self.served = event.get("model") or self.served
        self.fingerprint = event.get("system_fingerprint") or self.fingerprint
        self._count(event.get("usage"))
        timings = event.get("timings")
        if isinstance(timings, Mapping) and timings.get("cache_n", -1) >= 0:  # llama.cpp, which says -1 before it knows
            self.usage["cached_tokens"] = timings["cache_n"]
        for choice in event.get("choices") or ():
            if choice.get("index"):
                continue  # only one answer is asked for
            self.answered = True
            self._count(choice.get("usage"))  # Moonshot's
            # Some servers send beside the last piece the whole message once more.
            said = next((choice[name] for name in ("delta", "message") if name in choice), choice) or {}
            text, thought = _said(said)
            if text:
                self.first = self.seconds if self.first is None else self.first
                self.texts.append(text)
            if thought:
                self.thoughts.append(thought)
            self.refused = self.refused or bool(said.get("refusal"))
            reason = choice.get("finish_reason")
            if reason not in (None, *NO_REASON):
                self.finish = str(reason) or self.finish or ""

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        self.usage |= {name: count for name, count in (usage or {}).items() if count is not None}

    def reply(self) -> Reply:
        """The whole of it.

        Raises:
            TransientError: The end is missing.
            ValueError: There is no answer in it.
        """
        if not (self.done or self.finish):
            raise TransientError("the stream was cut in the middle")
        if not self.answered:
            raise ValueError("a reply without an answer")
        first = self.seconds if self.first is None else self.first
        return Reply(
            text="".join(self.texts),
            reasoning="".join(self.thoughts),
            finish_reason="refusal" if self.refused and not self.texts else self.finish,
            usage=read_usage(self.usage),
            first_seconds=None if self.body else first,
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
