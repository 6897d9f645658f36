"""A limit a minute as a bucket that fills steadily: short bursts pass, the mean never exceeds the limit."""

from __future__ import annotations

import threading

BURST_SECONDS = 5.0
"""A bucket holds what flows in during this time."""


class TokenBucket:
    """Gives out a steady number a minute. Whoever takes is told how long to wait first; safe for many threads."""

    def __init__(self, per_minute: float) -> None:
        self._rate = per_minute / 60
        self._capacity = max(1.0, self._rate * BURST_SECONDS)
        self._level = self._capacity
        self._filled: float | None = None
        self._lock = threading.Lock()

    def take(self, amount: float, now: float) -> float:
        """Take an amount, on credit where the bucket is too empty for it.

        Args:
            amount: How much; it may exceed what the bucket holds.
            now: Seconds of a monotonic clock.

        Returns:
            Seconds to wait until the credit is paid back; 0 where there was none.
        """
        with self._lock:
            since = 0.0 if self._filled is None else max(0.0, now - self._filled)
            self._level = min(self._capacity, self._level + since * self._rate) - amount
            self._filled = max(now, self._filled or now)
            return max(0.0, -self._level / self._rate)
