"""Options of `rmtbench report` and `rmtbench decide`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rmtbench.options.declare import option


@dataclass(frozen=True, kw_only=True)
class AllPairs:
    """Which comparisons a verdict rests on."""

    all_pairs: bool = option(False, "Compare all pairs and correct for them, not only the leader with each other.")


@dataclass(frozen=True, kw_only=True)
class Reporting(AllPairs):
    """What is printed, and what is written."""

    TITLE: ClassVar[str] = "rmtbench report"

    full: bool = option(False, "Print all tables.")
    anatomy: bool = option(False, "As --full, with time by stage, preparation, memory and tokens.")
    published: bool = option(False, "Set published figures of other data beside own documents, too.")
    quick: bool = option(False, "Only tables: no comparisons, no verdict, no figures, no page.")
    training_log: tuple[Path, ...] = option(
        (), "Also draw the curves of a log of rmtbench train; repeatable.", repeated=True
    )
    passages: bool | None = option(
        None, "Text of passages in the page: of all documents, or of none (default: own folders and the handbook)."
    )


@dataclass(frozen=True, kw_only=True)
class Deciding(AllPairs):
    """Terms, what decides, and of which runs."""

    TITLE: ClassVar[str] = "rmtbench decide"

    questions: int = option(200, "Questions that one corpus will get.", at_least=1)
    max_seconds: float | None = option(None, "Longest wait for nine of ten answers.", above=0)
    max_memory: str | None = option(None, "Most memory, such as 8GB or 7.5GiB.")
    price_per_hour: float = option(0.0, "Of the machine.", at_least=0, at_most=1e9)
    price_input: float = option(0.0, "Of a million tokens read.", at_least=0, at_most=1e9)
    price_cached: float = option(0.0, "Of a million tokens read from a cache.", at_least=0, at_most=1e9)
    price_output: float = option(0.0, "Of a million tokens written.", at_least=0, at_most=1e9)
    margin: float = option(0.02, "Smallest difference of the metric that matters.", above=0, at_most=1)
    metric: str = option("em", "em, f1, minilm_cosine, bertscore_f1, recall, or another of the runs.")
    dataset: str | None = option(None, "Only this dataset.")
    size: str | None = option(None, "Only this size.")
    model: str | None = option(None, "Only this model.")
