"""A limit a minute: short bursts pass, and no 60 seconds hold more than the limit."""

from __future__ import annotations

import threading
from collections import deque

BURST_SECONDS = 5.0
"""What may pass at once is what flows in during this time: some servers refuse a minute's requests in one second."""
MINUTE = 60.0


class MinuteLimit:
    """Gives out at most a number in any 60 seconds, and steadily but for short bursts; safe for many threads.

    An amount above the limit waits until that much has flowed in, and nothing else passes in the same minute.
    """

    def __init__(self, per_minute: float) -> None:
        self._limit = per_minute
        self._rate = per_minute / MINUTE
        self._burst = max(1.0, self._rate * BURST_SECONDS)
        self._level = self._burst
        self._last: float | None = None
        self._given: deque[tuple[float, float]] = deque()
        self._within = 0.0
        self._lock = threading.Lock()

    def take(self, amount: float, now: float) -> float:
        """Take an amount. Whoever asks later gets it later.

        Args:
            amount: How much; it may exceed the limit.
            now: Seconds of a monotonic clock.

        Returns:
            Seconds to wait before it may be used; 0 where there is room at once.
        """
        with self._lock:
            last = now if self._last is None else self._last
            at = max(now, last, last + (amount - self._level) / self._rate)
            at = self._after_those_of_the_minute(amount, at)
            self._level = min(max(self._burst, amount), self._level + (at - last) * self._rate) - amount
            self._last = at
            self._given.append((at, amount))
            self._within += amount
            return at - now

    def _after_those_of_the_minute(self, amount: float, at: float) -> float:
        """Return when the minute before has room for an amount, and forget what was given out before it."""
        while self._given:
            begun, taken = self._given[0]
            if begun > at - MINUTE and self._within + amount <= self._limit:
                break
            at = max(at, begun + MINUTE)
            self._given.popleft()
            self._within -= taken
        return at
