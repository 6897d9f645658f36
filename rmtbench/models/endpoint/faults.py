"""What a failure of the client means: try again, this question cannot be answered, or the run cannot go on.

Texts from the server pass through `Address.redact`, and the client's own exceptions are never chained to ours.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from rmtbench.errors import AnswerError, ContextTooLongError, UserError
from rmtbench.models.endpoint.address import Address
from rmtbench.options import flag

if TYPE_CHECKING:
    from openai import APIStatusError

AGAIN = frozenset({408, 409, 429})
"""Statuses below 500 that may pass."""
WRONG = (400, 413, 422)
"""Statuses of a request that is wrong by itself."""
NOT_IMPLEMENTED = 501
"""The one status above 500 that never passes."""
OURS = ("max_tokens", "max_completion_tokens", "temperature", "stream_options", "stream", "reasoning_effort")
"""Parameters that we send and that a server may refuse; a text that names two is about the first."""
OF_LENGTH = frozenset({"messages", "prompt", "input", "inputs", "max_tokens", "max_completion_tokens"})
"""What a refusal names where the prompt is too long."""
LONGEST_TEXT = 200

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
"""Environment variables that the client reads."""

_TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size|limit)|(input|prompt).{0,20}too long|too many.{0,8}tokens"
    # vLLM and Google; xAI; Alibaba; Moonshot; text-generation-inference
    r"|(input|prompt).{0,40}(longer than|exceeds)|maximum prompt length|range of input length|model token limit"
    r"|`inputs`.{0,30}must (be <=|have less than)",
    re.IGNORECASE,
)
_LARGER_THAN_A_MINUTE = re.compile(r"request too large", re.IGNORECASE)
"""A request of more tokens than an account may send in a minute: it never passes."""
_SMALL_CAP = re.compile(
    r"could not finish|higher max_\w*tokens|tokens'?:? integer below|max_\w*tokens.{0,60}(at least|>=|minimum)",
    re.IGNORECASE,
)
_NEGATIVE_CAP = re.compile(r"got -\d", re.IGNORECASE)
"""A server that subtracts the prompt from its context and complains of the rest: the prompt is too long."""
_LIMIT = re.compile(r"(?:maximum|max(?!_)|limit|length|window|size)[^0-9[]{0,40}(\d[\d,]*)", re.IGNORECASE)
_NUMBER = re.compile(r"\d[\d,]*")


class TransientError(Exception):
    """Something that may pass: asking again is right.

    Attributes:
        reason: What happened, in a few words.
        retry_after: Seconds that the server asks to wait.
        unreachable: Whether there was no server at all to talk to.
    """

    def __init__(self, reason: str, retry_after: float | None = None, *, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.retry_after, self.unreachable = reason, retry_after, unreachable


class StreamError(Exception):
    """What a server says in a stream in place of an event.

    Attributes:
        told: Its error, as it stands there.
    """

    def __init__(self, told: object) -> None:
        super().__init__(told.get("message", "") if isinstance(told, Mapping) else told)
        self.told = told


class RefusedError(AnswerError):
    """A request that the server refuses as it is.

    Attributes:
        param: The parameter that it refuses, as the error's field names it, else its text; None where neither does.
    """

    def __init__(self, text: str, param: str | None = None) -> None:
        super().__init__(text)
        self.param = param


class SmallCapError(RefusedError):
    """The server refuses a cap of so few tokens: it wants more, or the model could not finish within it."""


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """What a request was about, for messages: the server, the model, and what the user calls the option."""

    address: Address
    model: str
    option: str = flag.model


def explain(error: Exception, asked: RequestTarget) -> TransientError | UserError | AnswerError:  # noqa: PLR0911 - a table
    """Say what an exception of the client, or of reading a reply, means.

    Args:
        error: What was raised.
        asked: What the request was about.

    Returns:
        The exception to raise in its place.
    """
    import openai

    if isinstance(error, TransientError | UserError | AnswerError):
        return error
    if isinstance(error, openai.APITimeoutError):
        slow = type(error.__cause__).__name__ != "ConnectTimeout"
        return TransientError("no reply in time" if slow else "no connection in time", unreachable=not slow)
    if isinstance(error, openai.APIConnectionError):
        return _of_connection(error, asked)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, asked)
    if isinstance(error, StreamError):
        return _of_stream(error, asked)
    if isinstance(error, openai.APIResponseValidationError | ValueError | AttributeError | TypeError | LookupError):
        return TransientError("a malformed reply")
    # The transport's own exceptions, whichever it is, while a body is read: of a reply or of an error.
    slow = "Timeout" in type(error).__name__
    return TransientError("no reply in time" if slow else "the stream was cut in the middle")


def of_environment(error: Exception, environ: Mapping[str, str]) -> UserError:
    """What keeps a client from being made at all: it reads proxies and certificates from the environment.

    Args:
        error: What making it raised.
        environ: Environment variables; their values are not repeated, for a proxy's may hold a password.
    """
    if isinstance(error, OSError):  # of ssl too
        variable = next((name for name in CERTIFICATES if environ.get(name)), CERTIFICATES[0])
        return UserError(
            f"the certificates that {variable} names cannot be read ({error.strerror or type(error).__name__})",
            where=variable,
            remedy="let it name a file of certificates in PEM form, or unset it",
        )
    variable = next((name for name in PROXIES if environ.get(name)), PROXIES[0])
    if isinstance(error, ImportError):
        return UserError(
            f"the proxy that {variable} names is a SOCKS proxy, and the package for it is not installed",
            where=variable,
            remedy="pip install socksio, or unset the variable",
        )
    return UserError(
        f"the proxy that {variable} names cannot be used ({type(error).__name__})",
        where=variable,
        remedy="let it name a proxy such as http://localhost:3128, or unset it",
    )


def _of_connection(error: BaseException, asked: RequestTarget) -> TransientError | UserError:
    """What a failed connection means; a certificate that is not trusted, or a proxy's refusal, does not pass."""
    host, cause = asked.address.host, type(error.__cause__).__name__
    reason: BaseException | None = error
    while reason is not None:
        if isinstance(reason, ssl.SSLCertVerificationError):
            told = getattr(reason, "verify_message", "") or reason
            return UserError(
                f"the certificate of {host} is not trusted ({told})",
                where=next((name for name in CERTIFICATES if os.environ.get(name)), host),
                remedy="let SSL_CERT_FILE name a file with the certificates of its authority, or check the base URL",
            )
        reason = reason.__cause__ or reason.__context__
    if cause == "ProxyError":
        return TransientError("the proxy gives no connection", unreachable=True)
    refused = cause == "ConnectError"
    return TransientError("no connection" if refused else "the connection was dropped", unreachable=refused)


def _of_stream(error: StreamError, asked: RequestTarget) -> TransientError | AnswerError:
    """What an error means that comes after the status: some servers answer 200 before they look at a request."""
    message = str(error)
    said = _said(message, asked.address)
    if _TOO_LONG.search(message):
        return ContextTooLongError(_too_long(message, said))
    code = str(error.told.get("code")) if isinstance(error.told, Mapping) else ""
    if code in map(str, WRONG) or _is_moderated(error.told):
        return RefusedError(f"{asked.address.host} refuses the request ({code}, in the stream): {said}")
    return TransientError(f"an error in the stream: {said}")


def _of_status(error: APIStatusError, asked: RequestTarget) -> TransientError | UserError | AnswerError:
    address, status = asked.address, int(error.status_code)
    message, named = _message(error), _named_parameter(error)
    said = _said(message, address)
    if named in OURS and status in (403, 404):
        return RefusedError(f"{address.host} refuses the request ({status}): {said}", named)
    if (hopeless := _of_account(error, asked)) is not None:
        return hopeless
    if (too_long := _of_length(error, message, named, said)) is not None:
        return too_long
    if status in AGAIN or (status >= 500 and status != NOT_IMPLEMENTED):
        return TransientError(f"status {status}", _retry_after(error.response.headers))
    if status in (400, 422) and (error.code == "integer_below_min_value" or _SMALL_CAP.search(message)):
        text = (
            f"{address.host} refuses so small a cap of tokens ({status}): {said}; "
            f"give more with {flag.think_tokens} or {flag.max_answer_tokens}"
        )
        return SmallCapError(text, named)
    param = named or next((name for name in OURS if _names(message, name)), None)
    return RefusedError(f"{address.host} refuses the request ({status}): {said}", param)


def _of_account(error: APIStatusError, asked: RequestTarget) -> UserError | None:
    """What stops the whole run: a wrong URL, key or name, or an empty account."""
    address, status = asked.address, int(error.status_code)
    if 300 <= status < 400:
        found = re.match(r"https?://(?:[^/?#]*@)?([^/?#]+)", error.response.headers.get("location", ""))
        return UserError(
            f"{address.host} redirects to {found[1] if found else 'another path'} ({status}), which is not followed",
            where=f"{asked.option} {asked.model}",
            remedy="give the base URL to which it redirects, if you trust that server with your key",
        )
    if status in (401, 403) and not _is_moderated(error.body):
        return UserError(
            f"{address.host} does not take the key of the environment variable {address.key_variable} ({status})",
            where=f"{asked.option} {asked.model}",
            remedy=f"put a key that is valid there into {address.key_variable}, or name another variable",
        )
    if status == 404:
        return UserError(
            f"{address.host} knows no model '{asked.model}' (404)",
            where=f"{asked.option} {asked.model}",
            remedy="check the model's name, and that the base URL is whole: most end in /v1",
        )
    if error.code == "insufficient_quota" or status == 402:
        return UserError(
            f"{address.host}: the account's quota is used up ({status})",
            where=address.key_variable,
            remedy="raise the quota and give the same command again: every answer so far is kept",
        )
    return None


def _is_moderated(told: object) -> bool:
    """Whether a refusal is about one question's text, as OpenRouter's of a flagged input is, and not about the key."""
    about = told.get("metadata") if isinstance(told, Mapping) else None
    return isinstance(about, Mapping) and bool(about.get("flagged_input") or about.get("reasons"))


def _of_length(error: APIStatusError, message: str, named: str | None, said: str) -> ContextTooLongError | None:
    """A refusal of the prompt's length; None for another. The parameter that it names goes before its text."""
    status = int(error.status_code)
    if status in (413, 429) and _LARGER_THAN_A_MINUTE.search(message):
        return ContextTooLongError(f"the prompt exceeds the account's limit a minute (the server: {said})")
    named_here = named is None or named.partition("[")[0].partition(".")[0] in OF_LENGTH
    told = error.code == "context_length_exceeded" or (
        named_here and bool(_TOO_LONG.search(message) or _NEGATIVE_CAP.search(message))
    )
    return ContextTooLongError(_too_long(message, said)) if told and status in WRONG else None


def _named_parameter(error: APIStatusError) -> str | None:
    """The parameter that an error names: OpenAI's field for it, else the place that FastAPI's validation gives."""
    if isinstance(error.param, str) and error.param:
        return error.param
    place = _place(error.body)
    return str(place[-1]) if place else None


def _place(body: object) -> list[object]:
    """The first ``loc`` anywhere in an error's body; empty without one."""
    if isinstance(body, Mapping):
        place = body.get("loc")
        if isinstance(place, list):
            return place
        body = list(body.values())
    return next((found for each in body if (found := _place(each))), []) if isinstance(body, list) else []


def _names(message: str, parameter: str) -> bool:
    """Whether a text is about a parameter. Of streaming, servers speak in other words too."""
    word = r"stream(s|ed|ing)?" if parameter == "stream" else parameter
    return re.search(rf"(?<![a-z_]){word}(?![a-z_])", message, re.IGNORECASE) is not None


def _message(error: APIStatusError) -> str:
    """What the server says of it: OpenAI's field for it, else FastAPI's, which many servers have, else all of it."""
    body: object = error.body
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body
    return str(body or error.message)


def _too_long(message: str, said: str) -> str:
    """By how many tokens a prompt is too long, from the two numbers that servers name."""
    limit = min((int(number.replace(",", "")) for number in _LIMIT.findall(message)), default=0)
    needed = max((int(number.replace(",", "")) for number in _NUMBER.findall(message)), default=0)
    if not limit or needed <= limit:
        return f"the prompt exceeds the model's context (the server: {said})"
    return (
        f"prompt and answer of {needed:,} tokens exceed the model's context of {limit:,} by {needed - limit:,} tokens"
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now, whichever way the server says them; None if it does not, or not in a way that is known."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1000)
        text = headers.get("retry-after")
        if text is None:
            return None
        if found := re.fullmatch(r"([0-9.]+) ?s?", text.strip()):
            return float(found[1])
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _said(text: str, address: Address) -> str:
    """A server's own words on one line, without secrets, and not at any length."""
    line = " ".join(address.redact(text).split())
    return line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}…"
