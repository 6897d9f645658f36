"""Asking again: exponential back-off with jitter, a deadline for the whole, and a circuit for a server that is gone.

Clock, sleep and chance are given, so that a test needs no waiting. Safe for many threads.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from rmtbench.errors import AnswerError, ServerGoneError
from rmtbench.models.endpoint.faults import TransientError
from rmtbench.models.endpoint.limits import MinuteLimit
from rmtbench.plural import many

Result = TypeVar("Result")

CLOSED_SECONDS = 600.0
"""A server that asks for a longer wait than this, as for the rest of a day, serves nobody until then."""


@dataclass(frozen=True)
class Clock:
    """Time and chance: seconds of a monotonic clock, a way to wait, and numbers in [0, 1)."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = field(default_factory=lambda: random.Random().random)  # noqa: S311 - jitter


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long a question is asked again.

    Attributes:
        attempts: Most requests for one reply.
        deadline: Seconds from the first request to the end of the last one, all waiting included.
        first_wait: Seconds before the second request; doubled each time.
        longest_wait: Where doubling ends. A server's `Retry-After` may ask for more.
        strikes: Replies in a row given up, without any success in between, after which the server counts as gone.
    """

    attempts: int = 8
    deadline: float = 600.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    strikes: int = 3

    def wait(self, attempt: int, chance: float) -> float:
        """Seconds before the next request: half of the doubled time is certain, half is chance."""
        whole = min(self.longest_wait, self.first_wait * 2.0 ** (attempt - 1))
        return whole * (0.5 + 0.5 * chance)


class Retrying:
    """Calls a server, again where it helps. One for each server, shared by all threads."""

    def __init__(
        self, host: str, patience: Patience, clock: Clock, requests: MinuteLimit | None, tokens: MinuteLimit | None
    ) -> None:
        self._host, self._patience, self._clock = host, patience, clock
        self._requests, self._tokens = requests, tokens
        self._lock = threading.Lock()
        self._last_success = float("-inf")
        self._given_up = 0
        self._gone: str | None = None

    def call(
        self, send: Callable[[float], Result], count_tokens: Callable[[], int], knocks: int | None = None
    ) -> Result:
        """One reply, whatever it takes within the patience; the first whole one is kept.

        Args:
            send: Makes one request; given the seconds that are left. Raises `TransientError` where asking again helps.
            count_tokens: Tokens of the request and the longest reply, for the limit of tokens a minute.
            knocks: Most requests while there is no server to talk to; None for as many as for anything else.

        Raises:
            AnswerError: Given up; the reason is the last one.
            ServerGoneError: Given up, and nobody else gets replies either.
        """
        began = self._clock.now()
        for attempt in count(1):
            self._refuse_if_gone()
            began += self._wait_for_room(count_tokens)
            self._refuse_if_gone()
            try:
                result = send(self._left(began))
            except TransientError as transient:
                fault = transient
            else:
                self._succeeded()
                return result
            pause = max(self._patience.wait(attempt, self._clock.chance()), fault.retry_after or 0.0)
            most = knocks if knocks is not None and fault.unreachable else self._patience.attempts
            if attempt >= most or pause >= self._left(began):
                raise self._give_up(fault, attempt, began) from None
            self._clock.sleep(pause)
        raise AssertionError("unreachable")

    def _left(self, began: float) -> float:
        return self._patience.deadline - (self._clock.now() - began)

    def _wait_for_room(self, count_tokens: Callable[[], int]) -> float:
        """Wait until the limits a minute allow a request; how long. No fault of the server's, and not of its time."""
        pauses: Sequence[float] = [
            bucket.take(amount, self._clock.now())
            for bucket, amount in (
                (self._requests, 1),
                (self._tokens, count_tokens() if self._tokens is not None else 0),
            )
            if bucket is not None
        ]
        start, pause = self._clock.now(), max(pauses, default=0.0)
        if pause > 0:
            self._clock.sleep(pause)
        return self._clock.now() - start

    def _refuse_if_gone(self) -> None:
        if self._gone is not None:
            raise self._stop(self._gone)

    def _succeeded(self) -> None:
        with self._lock:
            self._last_success = self._clock.now()
            self._given_up = 0

    def _give_up(self, fault: TransientError, attempts: int, began: float) -> AnswerError | ServerGoneError:
        closed = (fault.retry_after or 0.0) > CLOSED_SECONDS
        with self._lock:
            alone = self._last_success < began
            self._given_up = self._given_up + 1 if alone else 0
            if closed:
                self._gone = f"{fault.reason}; it asks to wait {fault.retry_after:,.0f} s"
            # Without a server nothing can be answered; a server that fails may still fail for this question alone.
            if alone and (fault.unreachable or self._given_up >= self._patience.strikes):
                self._gone = fault.reason
        seconds = self._clock.now() - began
        if self._gone is not None:
            return self._stop(self._gone)
        return AnswerError(f"{self._host}: {fault.reason}, {many(attempts, 'request')} in {seconds:.0f} s")

    def _stop(self, reason: str) -> ServerGoneError:
        return ServerGoneError(
            f"the server does not answer any more ({reason})",
            where=self._host,
            remedy="every answer so far is kept; once the server is back, the same command resumes",
        )
