"""The seam of all data sets: opened once (cheap, hashed), then asked for seeded draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from rmtbench.core import Draw, Source

TokenCounter = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each text, without special tokens, by the tokenizer of the model under test."""

SIZES = ("smoke", "small", "medium", "large")

BUDGETS = {"smoke": 1_000, "small": 21_000, "medium": 43_000, "large": 85_000}
"""Tokens of the sizes of data sets that say nothing else."""


@dataclass(frozen=True, slots=True)
class DrawRequest:
    """Which draw of a dataset is wanted.

    Attributes:
        size: One of `SIZES`, or a number of tokens such as ``8k``; for own documents, ``all`` is allowed too and
            means every document.
        draw: Number of the draw, from 0; with `seed` it decides everything random.
        seed: Seed of the whole run.
        questions: At most this many questions; None for the size's own number.
    """

    size: str
    draw: int
    seed: int = 0
    questions: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What `rmtbench data list` and `check` print: counts over the whole source, before any draw.

    Attributes:
        documents: How many there are.
        questions: How many there are.
        notes: Further counts, by what is counted.
        remark: One line on what was left out; empty if nothing was.
    """

    documents: int
    questions: int
    notes: Mapping[str, int]
    remark: str = ""


class Dataset(Protocol):
    """One opened source of documents and questions."""

    @property
    def name(self) -> str:
        """`squad`, `hotpotqa`, `triviaqa`, `handbook`, or the folder's name for own documents."""
        ...

    @property
    def source(self) -> Source:
        """Kind, name and hash of what was opened."""
        ...

    def facts(self) -> DatasetFacts:
        """Counts over the whole source, for people."""
        ...

    def draw(self, request: DrawRequest, count_tokens: TokenCounter) -> Draw:
        """Make one draw; the same request gives the same bytes.

        Args:
            request: Which draw.
            count_tokens: Counts tokens where a size is a token budget.

        Raises:
            UserError: The source is too small for the size, or the size does not exist.
        """
        ...


@dataclass(frozen=True, slots=True)
class OfficialFiles:
    """How a data set is read from the files that its authors publish.

    Attributes:
        names: Files looked for in a folder; the first one there is taken.
        begins: First character of such a file, by which others are passed over.
        read: The rows of a file; raises `UserError` where it is not in the format.
        make: The data set over such rows, or over the same from the hub.
        below: Folder that is entered where it is there.
    """

    names: Sequence[str]
    begins: Literal["[", "{"]
    read: Callable[[Path], Any]
    make: Callable[[Source, Any], Dataset]
    below: str | None = None


@dataclass(frozen=True, slots=True)
class HubRows:
    """How a data set is read from the Hugging Face hub.

    Attributes:
        repository: Its id there.
        configuration: Which of its configurations; None for the only one.
        rows: From a `datasets.Dataset` to the same rows as the official files give.
    """

    repository: str
    configuration: str | None
    rows: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class DatasetKind:
    """All that the rest of the package knows of a data set; its file exports one as ``DATASET``.

    Attributes:
        name: What ``--dataset`` takes.
        label: Its name as people write it.
        order: Where it stands in lists; the package's own are below 100.
        official: How official files are read; None if `embedded` opens it.
        hub: How rows from the hub are read; None if it is not there.
        embedded: Opens a data set that needs no files; `official` is None then.
        default_size: The size where the user names none.
        sizes: What `rmtbench data list` measures.
        tokens: About how many tokens each named size has.
        miniature: Whether the generated corpora have its style, for profiles without files.
        reader: Which default model reads it: `real`, or `generated` for the miniature's English.
        normal_form: The data set whose official evaluator's rules score its answers.
    """

    name: str
    label: str
    order: int = 100
    official: OfficialFiles | None = None
    hub: HubRows | None = None
    embedded: Callable[[], Dataset] | None = None
    default_size: str = "small"
    sizes: Sequence[str] = SIZES
    tokens: Mapping[str, int] = field(default_factory=lambda: BUDGETS)
    miniature: bool = False
    reader: Literal["real", "generated"] = "real"
    normal_form: Literal["squad", "hotpotqa", "triviaqa"] = "squad"

    def __post_init__(self) -> None:
        if (self.embedded is None) == (self.official is None):
            raise ValueError(f"data set '{self.name}': give either embedded or official")
