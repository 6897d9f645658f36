"""A line to one server: the official client, our own retries around it, and what every request has in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rmtbench.errors import AnswerError, ServerGoneError, UserError
from rmtbench.models.endpoint.address import Address
from rmtbench.models.endpoint.faults import Asked, explain, of_reading
from rmtbench.models.endpoint.limits import TokenBucket
from rmtbench.models.endpoint.replies import Reply, read_events
from rmtbench.models.endpoint.retry import Clock, Patience, Retrying

if TYPE_CHECKING:
    from openai import OpenAI

Api = Literal["chat", "completions"]
Result = TypeVar("Result")

NEW_TOKEN_LIMIT = "max_completion_tokens"  # noqa: S105 - the name of a parameter
"""What OpenAI's reasoning models call `max_tokens`."""


KNOCKS = 3
"""How often a server is looked for that has never answered yet."""


@dataclass(frozen=True)
class LineSettings:
    """How a server is to be spoken to.

    Attributes:
        address: Where it is, and the key.
        patience: How often and how long to ask again.
        requests_per_minute: Most requests a minute; None for no limit of ours.
        tokens_per_minute: Most tokens a minute, of prompts and longest answers; None for no limit of ours.
    """

    address: Address
    patience: Patience = field(default_factory=Patience)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def facts(self) -> dict[str, Any]:
        """What of it is recorded with a run: nothing secret."""
        return {
            "endpoint": self.address.host,
            "attempts": self.patience.attempts,
            "deadline_seconds": self.patience.deadline,
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
        }


@dataclass(frozen=True)
class Dialect:
    """Parameters that differ between servers; found out by the first request.

    Attributes:
        token_limit: What the longest answer is called.
        greedy: Whether the server lets the temperature be 0.
        usage: Whether it can be asked for usage at the end of a stream.
    """

    token_limit: str = "max_tokens"  # noqa: S105 - the name of a parameter
    greedy: bool = True
    usage: bool = True

    def without(self, param: str | None) -> Dialect | None:
        """The dialect of a server that refuses a parameter; None if there is no other way to say it."""
        if param == self.token_limit != NEW_TOKEN_LIMIT:
            return Dialect(NEW_TOKEN_LIMIT, self.greedy, self.usage)
        if param == "temperature" and self.greedy:
            return Dialect(self.token_limit, greedy=False, usage=self.usage)
        if param == "stream_options" and self.usage:
            return Dialect(self.token_limit, self.greedy, usage=False)
        return None

    def parameters(self, max_tokens: int) -> dict[str, Any]:
        """The parameters of one request."""
        return {
            self.token_limit: max_tokens,
            **({"temperature": 0} if self.greedy else {}),
            "stream": True,
            **({"stream_options": {"include_usage": True}} if self.usage else {}),
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
    asked: Asked
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
        self,
        api: Api,
        text: str,
        max_tokens: int,
        dialect: Dialect,
        count_tokens: Callable[[], int],
        *,
        first: bool = False,
        system: str | None = None,
    ) -> Reply:
        """One prompt, one reply.

        Args:
            api: ``chat`` sends the text as the user's message, ``completions`` as it is.
            text: The whole prompt.
            max_tokens: Longest answer.
            dialect: How to say it.
            count_tokens: Tokens of the prompt, for the limit a minute.
            first: As for `call`.
            system: The system message of a chat; None for none.

        Raises:
            UserError: As `call`; AnswerError too.
        """
        # As the body's own fields, which go out as they stand: as arguments, the client would compare each with its
        # declared type, a sixth of a call's time.
        messages = [{"role": "system", "content": system}] if system is not None else []
        messages.append({"role": "user", "content": text})
        said = {"messages": messages} if api == "chat" else {"prompt": text}
        body = {**dialect.parameters(max_tokens), **said}

        def send(seconds: float) -> Reply:
            began = self.clock.now()
            model = self.asked.model
            if api == "chat":
                asking: Any = self.client.chat.completions.with_streaming_response.create(
                    model=model, messages=[], extra_body=body, timeout=seconds
                )
            else:
                asking = self.client.completions.with_streaming_response.create(
                    model=model, prompt="", extra_body=body, timeout=seconds
                )
            with asking as response:
                try:
                    return read_events(response.iter_lines(), self.clock.now, began, seconds)
                except Exception as error:  # noqa: BLE001 - whichever transport the client has under it
                    fault = of_reading(error)
            raise fault

        return self.call(send, lambda: count_tokens() + max_tokens, first=first)

    def find_dialect(self, api: Api, system: str | None = None) -> tuple[Dialect, Reply]:
        """Ask something short, so that a wrong key, name or URL is met before anything else, and learn how to ask.

        Args:
            api: How prompts are sent.
            system: The system message, so that a server that takes none is met here too.

        Raises:
            UserError: There is no answer, for whatever reason.
        """
        dialect = Dialect()
        while True:
            try:
                return dialect, self.ask(api, "Say yes.", 16, dialect, lambda: 16, first=True, system=system)
            except AnswerError as error:
                other = dialect.without(refused_parameter(str(error), dialect))
                if other is None:
                    raise self._silent(error, api) from None
                dialect = other
            except ServerGoneError as error:
                raise self._silent(error, api) from None

    def _silent(self, error: AnswerError | ServerGoneError, api: Api) -> UserError:
        remedy = "check the URL and that the server is up; nothing was asked yet"
        if api == "chat" and "status 5" in str(error):
            # Some servers fail so, without a word, where the model has no chat format (transformers serve does).
            remedy = "see the server's log; a model without a chat format takes --api completions"
        elif "refuses the request" in str(error):
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


def refused_parameter(message: str, dialect: Dialect) -> str | None:
    """The parameter that a server's refusal names, of those that can be said otherwise."""
    known: Sequence[str] = (dialect.token_limit, "temperature", "stream_options")
    return next((name for name in known if name in message), None)


def open_line(settings: LineSettings, model: str, *, option: str = "--model", clock: Clock | None = None) -> Line:
    """Open a line; nothing is sent yet.

    Args:
        settings: How to speak to the server.
        model: The model's name there.
        option: What the user calls it, for messages.
        clock: Time and chance; None for the real ones.
    """
    from openai import OpenAI

    clock = clock or Clock(now=time.monotonic)
    address = settings.address
    client = OpenAI(api_key=address.key, base_url=address.url, max_retries=0, timeout=settings.patience.deadline)
    requests, tokens = (
        TokenBucket(limit) if limit is not None else None
        for limit in (settings.requests_per_minute, settings.tokens_per_minute)
    )
    retrying = Retrying(address.host, settings.patience, clock, requests, tokens)
    return Line(settings, Asked(address, model, option), client, retrying, clock)
