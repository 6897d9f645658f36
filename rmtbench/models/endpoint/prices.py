"""What tokens cost, from a dated table that anyone can edit. A model that is not in it has no cost: not 0."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rmtbench.errors import UserError
from rmtbench.options import flag

SHIPPED_PRICES = Path(__file__).parent.parent.parent / "assets" / "prices.toml"
FIELDS = {"model", "host", "input", "cached_input", "output", "currency", "source", "date"}


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens of one model cost.

    Attributes:
        model: Its name at the server.
        host: The server that asks this price; None for any.
        input: Tokens read.
        cached_input: Tokens read from the server's cache; the same as `input` where it gives no rebate.
        output: Tokens written; 0 for an embedder.
        currency: Such as ``USD``.
        source: Where the price stands.
        date: When it stood there.
    """

    model: str
    host: str | None
    input: float
    cached_input: float
    output: float
    currency: str
    source: str
    date: str

    def row(self) -> dict[str, Any]:
        """As it is recorded with a run."""
        return asdict(self)


def read_prices(path: Path | None = None) -> tuple[Price, ...]:
    """Read a table of prices.

    Args:
        path: A TOML file with a list ``price``; None for the one in the package.

    Raises:
        UserError: It cannot be read, or an entry lacks a field or has one that is wrong: which one.
    """
    path = path or SHIPPED_PRICES
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"no table of prices ({what})", where=f"{flag.prices} {path}", remedy="mend the file") from None
    entries = table.get("price")
    if not isinstance(entries, list):
        raise UserError(
            "holds no [[price]]", where=f"{flag.prices} {path}", remedy="see docs/reference/endpoint.md for the format"
        )
    return tuple(
        _price(entry, f"{flag.prices} {path}, entry {number}") for number, entry in enumerate(entries, start=1)
    )


def find_price(prices: tuple[Price, ...], model: str, host: str) -> Price | None:
    """The price of a model at a server; the last entry that fits, so that a user's line goes before.

    Args:
        prices: The table.
        model: The model's name as it was asked for.
        host: The server.
    """
    fitting = [price for price in prices if price.model == model and price.host in (None, host)]
    return fitting[-1] if fitting else None


def _price(entry: object, where: str) -> Price:
    remedy = "see docs/reference/endpoint.md for the format"
    if not isinstance(entry, Mapping) or set(entry) - FIELDS:
        raise UserError(f"fields are {', '.join(sorted(FIELDS))}", where=where, remedy=remedy)
    for name in ("model", "source"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise UserError(f"'{name}' must be a text", where=where, remedy=remedy)
    numbers = {name: entry.get(name, 0.0 if name == "output" else entry.get("input")) for name in
               ("input", "cached_input", "output")}  # fmt: skip
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise UserError(f"'{name}' must be the price of a million tokens", where=where, remedy=remedy)
    if not isinstance(entry.get("date"), date):
        raise UserError("'date' must be the day on which the price was read", where=where, remedy=remedy)
    return Price(
        model=entry["model"],
        host=entry.get("host"),
        **{name: float(value) for name, value in numbers.items()},
        currency=str(entry.get("currency", "USD")),
        source=entry["source"],
        date=entry["date"].isoformat(),
    )
