"""A line to one server: the official client, our own retries around it, and what every request has in common."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from rmtbench.errors import AnswerError, ServerGoneError, UserError
from rmtbench.models.endpoint.address import OPENAI_URL, Address
from rmtbench.models.endpoint.dialect import Dialect
from rmtbench.models.endpoint.endings import check_not_interrupted, ended_by_cap
from rmtbench.models.endpoint.faults import (
    RefusedError,
    RequestTarget,
    SmallCapError,
    explain,
    of_environment,
)
from rmtbench.models.endpoint.limits import MinuteLimit
from rmtbench.models.endpoint.replies import Reply, read_events
from rmtbench.models.endpoint.retry import Clock, Patience, Retrying
from rmtbench.options import flag

if TYPE_CHECKING:
    from openai import OpenAI

Result = TypeVar("Result")

KNOCKS = 3
"""How often a server is looked for that has never answered yet."""
PROBE_TOKENS = 16
"""Longest reply to the first request, where the server takes so small a cap."""
SENT = frozenset(
    {"accept", "accept-encoding", "api-key", "authorization", "connection", "content-length", "content-type", "host",
     "user-agent"}
)  # fmt: skip
"""The headers that a server other than OpenAI's own gets."""


@dataclass(frozen=True)
class LineSettings:
    """How a server is to be spoken to.

    Attributes:
        address: Where it is, and the key.
        patience: How often and how long to ask again.
        requests_per_minute: Most requests a minute; None for no limit of ours.
        tokens_per_minute: Most tokens a minute, of prompts and longest answers; None for no limit of ours.
        reasoning_effort: What a reasoning model is to spend, in the server's word; None sends nothing.
    """

    address: Address
    patience: Patience = field(default_factory=Patience)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    reasoning_effort: str | None = None

    def facts(self) -> dict[str, Any]:
        """What of it is recorded with a run: nothing secret."""
        return {
            "endpoint": self.address.host,
            "attempts": self.patience.attempts,
            "deadline_seconds": self.patience.deadline,
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
            "reasoning_effort": self.reasoning_effort,
        }


@dataclass(frozen=True)
class Line:
    """An open line. Made by `open_line`; safe for many threads.

    Attributes:
        settings: How the server is spoken to.
        asked: The server and model, for messages.
        client: The official client, which never retries by itself.
        retrying: Does, in its place.
        clock: Time.
    """

    settings: LineSettings
    asked: RequestTarget
    client: OpenAI = field(repr=False)
    retrying: Retrying = field(repr=False)
    clock: Clock = field(repr=False)

    def call(
        self, send: Callable[[float], Result], count_tokens: Callable[[], int] = lambda: 0, *, first: bool = False
    ) -> Result:
        """Make a request of the client, again where it helps.

        Args:
            send: Makes one; given the seconds that are left.
            count_tokens: Tokens of the request and the longest reply.
            first: Whether nothing has been heard of the server yet: a wrong URL is then told soon.

        Raises:
            UserError: The key, the model or the quota is wrong, or the server is gone.
            AnswerError: There is no reply to this request.
        """

        def tried(seconds: float) -> Result:
            try:
                return send(seconds)
            except Exception as error:  # noqa: BLE001 - explained below, and never chained: it may hold the key
                fault = explain(error, self.asked)
            raise fault

        return self.retrying.call(tried, count_tokens, KNOCKS if first else None)

    def ask(
        self, text: str, max_tokens: int, dialect: Dialect, count_tokens: Callable[[], int], *, first: bool = False
    ) -> Reply:
        """One prompt, one reply.

        Args:
            text: The whole prompt.
            max_tokens: Longest answer.
            dialect: How to say it.
            count_tokens: Tokens of the prompt, for the limit a minute.
            first: As for `call`.

        Raises:
            UserError: As `call`; AnswerError too.
        """
        chats, model = dialect.api == "chat", self.asked.model
        api: Any = self.client.chat.completions if chats else self.client.completions
        # As the body's own fields, which go out as they stand: as arguments, the client would compare each with its
        # declared type, a sixth of a call's time.
        required = {"model": model, "messages": []} if chats else {"model": model, "prompt": ""}
        body = dialect.body(text, max_tokens)

        def send(seconds: float) -> Reply:
            began = self.clock.now()
            with api.with_streaming_response.create(**required, extra_body=body, timeout=seconds) as response:
                reply = read_events(response.iter_bytes(), self.clock.now, began, seconds)
            check_not_interrupted(reply.finish_reason)
            return reply

        return self.call(send, lambda: count_tokens() + max_tokens, first=first)

    def find_dialect(self, dialect: Dialect, longest: int) -> tuple[Dialect, Reply]:
        """Ask something short, so that a wrong key, name or URL is met before anything else, and learn how to ask.

        Args:
            dialect: What the user wants: a system message that the server does not take is met here too.
            longest: Most tokens of a real answer, reasoning included: what is asked for where less is refused, or where
                the model spends less on reasoning alone.

        Raises:
            UserError: There is no answer, for whatever reason, or the model has no room to write any text.
        """
        cap = PROBE_TOKENS
        while True:
            try:
                reply = self.ask("Say yes.", cap, dialect, lambda: PROBE_TOKENS, first=True)
            except SmallCapError as error:
                if cap >= longest:
                    raise self._silent(error, dialect) from None
                cap = longest
                continue
            except RefusedError as error:
                other = dialect.without(error.param)
                if other is None:
                    raise self._silent(error, dialect) from None
                dialect = other
                continue
            except (AnswerError, ServerGoneError) as error:
                raise self._silent(error, dialect) from None
            reasoned = reply.reasoning or reply.usage.reasoning
            if not reasoned or reply.text.strip() or not ended_by_cap(reply.finish_reason):
                return dialect, reply
            if cap >= longest:
                raise self._no_room(cap)
            cap = longest

    def _no_room(self, cap: int) -> UserError:
        return UserError(
            f"{self.asked.model} spends all of {cap} tokens on reasoning, before any text",
            where=self.settings.address.host,
            remedy=f"give it room with {flag.think_tokens}=4096, or less to do with {flag.reasoning_effort}=low",
        )

    def _silent(self, error: AnswerError | ServerGoneError, dialect: Dialect) -> UserError:
        remedy = "check the URL and that the server is up; nothing was asked yet"
        if dialect.api == "chat" and "status 5" in str(error):
            # Some servers fail so, without a word, where the model has no chat format (transformers serve does).
            remedy = f"see the server's log; a model without a chat format takes {flag.api} completions"
        elif isinstance(error, SmallCapError):
            remedy = f"give more with {flag.think_tokens}=4096, or {flag.max_answer_tokens}; nothing was asked yet"
        elif isinstance(error, RefusedError) and error.param == "reasoning_effort":
            remedy = f"choose a word that the server takes with {flag.reasoning_effort}, or leave it out"
        elif isinstance(error, RefusedError):
            remedy = "check the model's name and the URL; nothing was asked yet"
        host = self.settings.address.host
        gone = isinstance(error, ServerGoneError)
        return (ServerGoneError if gone else UserError)(
            str(error)
            .removeprefix(f"{host}: ")
            .removeprefix(f"{host} ")
            .replace("does not answer any more", "does not answer"),
            where=host,
            remedy=remedy,
        )


def open_line(settings: LineSettings, model: str, *, option: str = flag.model) -> Line:
    """Open a line; nothing is sent yet.

    Args:
        settings: How to speak to the server.
        model: The model's name there.
        option: What the user calls it, for messages.

    Raises:
        UserError: The environment names a proxy or certificates that cannot be used.
    """
    from openai import DefaultHttpxClient, OpenAI

    def keep_ours(request: Any) -> None:  # noqa: ANN401 - of whichever transport the client has under it
        # The client adds what the environment says for OpenAI's own server: organization, project, and any headers.
        for name in set(request.headers) - SENT:
            if not name.startswith("x-stainless-"):  # it reads these itself
                del request.headers[name]

    clock = Clock(now=time.monotonic)
    address = settings.address
    hooks = {} if address.url.startswith(OPENAI_URL.removesuffix("v1")) else {"request": [keep_ours]}
    try:
        client = OpenAI(
            api_key=address.key,
            base_url=address.base,
            default_query=address.query,
            default_headers=address.headers,
            http_client=DefaultHttpxClient(follow_redirects=False, event_hooks=hooks),  # a key is for one server
            max_retries=0,
            timeout=settings.patience.deadline,
        )
    except Exception as error:  # noqa: BLE001 - it reads the environment, by whatever library, and raises that one's errors
        # Not chained: the client's own exception may hold a proxy's password.
        raise of_environment(error, os.environ) from None
    requests, tokens = (
        MinuteLimit(limit) if limit is not None else None
        for limit in (settings.requests_per_minute, settings.tokens_per_minute)
    )
    retrying = Retrying(address.host, settings.patience, clock, requests, tokens)
    return Line(settings, RequestTarget(address, model, option), client, retrying, clock)
