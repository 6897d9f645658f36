"""Figures as people read them: three digits, a unit, and a dash where there is none. Knows no run and no table."""

from __future__ import annotations

import math

MISSING = "–"
"""Stands wherever there is no figure; never a zero."""

SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


def three_digits(value: float) -> str:
    """Three significant digits without an exponent, trailing zeros kept: ``12.0``, ``0.00500``, ``12,300``."""
    text = f"{value:#.3g}"
    # From 1,000 on, and below 0.0001, the g format writes an exponent.
    if "e" in text:
        return f"{float(text):,.0f}" if abs(value) >= 1 else f"{float(text):f}"
    return text.rstrip(".")


def seconds(*values: float | None) -> str:
    """Times as three significant digits and one unit.

    Args:
        *values: Seconds; several, such as a median and a 90th percentile, share the unit that suits the first.

    Returns:
        Such as ``12.3 ms`` or ``12.3/15.1 ms``; a dash if one is None.
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return MISSING
    if not any(known):
        return "0 s"
    leading = next(value for value in known if value)
    scale, unit = _unit(leading, SECONDS)
    return f"{'/'.join(three_digits(value / scale) if value else '0' for value in known)} {unit}"


def size(value: float | None) -> str:
    """Bytes in binary units, such as ``2.75 GiB``."""
    if value is None:
        return MISSING
    scale, unit = _unit(value, BYTES)
    return f"{value:,.0f} B" if unit == "B" else f"{three_digits(value / scale)} {unit}"


def score(value: float, error: float | None = None, marks: str = "") -> str:
    """A score with three decimals, its marks and its standard error: ``0.512†* ±.031``.

    An error of ``0.000`` is not shown: where nothing varied, nothing is known of the variation.
    """
    margin = f"{error or 0.0:.3f}".removeprefix("0")
    return f"{value:.3f}{marks}" + ("" if margin == ".000" else f" ±{margin}")


def score_within(value: float, low: float | None, high: float | None, marks: str = "") -> str:
    """A score with its marks and, where it is defined, its interval: ``0.900 (.55–.99)``."""
    if low is None or high is None:
        return f"{value:.3f}{marks}"
    ends = (f"{end:.2f}".removeprefix("0") for end in (low, high))
    return f"{value:.3f}{marks} ({'–'.join(ends)})"


def whole(value: float | None) -> str:
    """A count or a mean of counts as a whole number with thousands set apart: ``21,344``."""
    return MISSING if value is None else f"{value:,.0f}"


def quotient(above: float | None, below: float | None) -> float | None:
    """One figure over another; None where one is missing or the divisor is zero."""
    return above / below if above is not None and below else None


def times(above: float | None, below: float | None) -> str:
    """A quotient such as ``11.2x``."""
    value = quotient(above, below)
    return MISSING if value is None else f"{three_digits(value)}x"


def _unit(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """The largest unit in which the value, as it will be rounded, is at least one; else the smallest."""
    return next((unit for unit in units if float(f"{value / unit[0]:.3g}") >= 1), units[-1])


def money(amount: float | None, currency: str) -> str:
    """An amount with three significant digits, however small."""
    if amount is None:
        return MISSING
    decimals = max(2, 2 - math.floor(math.log10(amount))) if amount > 0 else 2
    return f"{amount:.{decimals}f} {currency}"
