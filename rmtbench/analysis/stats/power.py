"""What a number of draws can show, and how many would show a given difference.

A difference that was not found may still exist.
"""

from __future__ import annotations

import math

from rmtbench.analysis.stats.intervals import t_quantile, upper_tail

MOST_CLUSTERS = 10**9


def minimum_detectable_effect(
    standard_error: float | None, clusters: int, *, significance: float = 0.05, power: float = 0.8
) -> float | None:
    """The smallest true difference that would be found significant as often as `power` says.

    ``(t_{1 - significance / 2} + t_power) * SE``, both with C - 1 degrees of freedom: Miller's formula (arXiv
    2411.00640, section on power), whose z are these t for many clusters.

    Args:
        standard_error: Of the paired difference, clustered; None where it is undefined.
        clusters: C.
        significance: Of the two-sided test.
        power: Between 0.5 and 1.

    Returns:
        The difference in the error's unit, above zero; None where the error is undefined, and where it is zero: then
        no variation was seen, and nothing is known of it.

    Raises:
        ValueError: The significance is not between 0 and 1, or the power not between 0.5 and 1.
    """
    if not 0.5 <= power < 1:
        raise ValueError(f"a power is between 0.5 and 1, not {power}")
    tail = upper_tail(1 - significance)
    if not standard_error or clusters < 2:
        return None
    return (t_quantile(tail, clusters - 1) + t_quantile(power, clusters - 1)) * standard_error


def trials_to_exclude(rate: float) -> int:
    """Return the fewest independent trials that would have shown an event of this rate, where none did.

    The smallest n with ``(1 - rate)^n <= 0.05``: the "rule of three", near ``3 / rate``; at most `MOST_CLUSTERS`.

    Args:
        rate: How often the event happens, between 0 and 1.

    Raises:
        ValueError: It is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise ValueError("a rate lies between 0 and 1")
    return math.ceil(min(math.log(0.05) / math.log1p(-rate), MOST_CLUSTERS))


def clusters_needed(
    effect: float,
    standard_error: float | None,
    clusters: int,
    *,
    significance: float = 0.05,
    power: float = 0.8,
    fewest: int | None = None,
) -> int | None:
    """The fewest clusters like these with which a difference would be found significant as often as `power` says.

    The error shrinks with the root of their number, and a sign-flip test needs ``2^(1 - C) <= significance`` besides.

    Args:
        effect: The true difference; its sign does not matter.
        standard_error: Of the paired difference, clustered, as it was measured; None where it is undefined.
        clusters: With how many it was.
        significance: Of the two-sided test.
        power: Between 0.5 and 1.
        fewest: With which the test can find anything; None for as many as one sign-flip test at that level needs.

    Returns:
        Their number, those at hand included; None where the error is undefined or zero, or the effect is zero or too
        small for any number.

    Raises:
        ValueError: The significance is not between 0 and 1, or the power not between 0.5 and 1.
    """

    def enough(count: int) -> bool:
        shrunk = None if standard_error is None else standard_error * math.sqrt(clusters / count)
        found = minimum_detectable_effect(shrunk, count, significance=significance, power=power)
        return found is not None and found <= abs(effect)

    if minimum_detectable_effect(standard_error, clusters, significance=significance, power=power) is None:
        return None
    low = max(2, math.ceil(1 - math.log2(significance)) if fewest is None else fewest)
    if enough(low):
        return low
    high = low
    while not enough(high):
        if high > MOST_CLUSTERS:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
