"""Options of the run itself: which systems, how many questions at once, and what scores the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rmtbench.options.declare import option


def shard_of(text: str) -> str:
    """Read a part of the draws, such as ``2/8``.

    Raises:
        ValueError: It is none.
    """
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError("must be N/M with N from 1 to M; give such as 2/8")
    return f"{int(number)}/{int(count)}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Which systems, and how they are run."""

    TITLE: ClassVar[str] = "Run"

    systems: tuple[str, ...] = option(
        ("all",), "Systems, comma-separated, or 'all' (see rmtbench systems).", name="system", column=True
    )
    batch: int = option(
        1, "Questions at once: above 1 measures throughput.", at_least=1, column=True, place="a local model"
    )
    scorer: str = option("minilm", "BERTScore model: minilm, roberta-large, or a path.")
    shard: str | None = option(
        None, "Do part N of M of the draws only, as N/M; rmtbench merge joins the parts.", check=shard_of
    )
