"""The text of the passages that runs retrieved and of their gold evidence, cut from the documents they were read from.

A run keeps places, not texts. The documents are read again where they lie, and only if their hash is the run's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rmtbench.core import Document, RunSpec
from rmtbench.journal.columns import Spans
from rmtbench.report.page.documents import Documents, Wanted

Needed = dict[str, set[tuple[int, int]]]
"""Characters ``(start, end)`` of the documents' texts, by document id."""


Place = int | str
"""Where the page finds a block: the number of an element, or ``FILE#NUMBER`` in a file beside the page."""


class Described(Protocol):
    """A run as far as its documents go."""

    @property
    def run_id(self) -> str:
        """Its name."""

    @property
    def spec(self) -> RunSpec:
        """What was asked."""

    @property
    def corpora(self) -> Sequence[Mapping[str, Any]]:
        """A row a draw."""


@dataclass(slots=True)
class Passages:
    """What all runs of a page need of their documents.

    Attributes:
        documents: Where documents are read from.
        corpora: The corpora met so far, in that order, and what is needed of each.
        draws: For each set of draws, the position in `corpora` of every draw, by its number.
    """

    documents: Documents = field(default_factory=Documents)
    corpora: list[tuple[Wanted, Needed]] = field(default_factory=list)
    draws: list[dict[int, int]] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)
    _sets: dict[tuple[tuple[int, int], ...], int] = field(default_factory=dict)

    def add(self, run: Described, spans: Callable[[], Spans]) -> int:
        """Note what one run needs.

        Args:
            run: The run.
            spans: Returns what it retrieved and its evidence; called only where these documents are to be read.

        Returns:
            The position of its draws in `draws`.
        """
        places = {int(row["draw"]): self._corpus(run, row) for row in run.corpora}
        needed = {draw: self.corpora[place][1] for draw, place in places.items() if self._readable(place)}
        if needed:
            _collect(spans(), needed)
        key = tuple(sorted(places.items()))
        if key not in self._sets:
            self._sets[key] = len(self.draws)
            self.draws.append(places)
        return self._sets[key]

    def cut(self, place: Callable[[object], Place]) -> list[dict[str, Any]]:
        """Read the documents of every corpus and keep the passages needed.

        Args:
            place: Takes one corpus's passages into the page and returns their position there.

        Returns:
            One row a corpus: `texts`, the position, or null where there is no text; and `why` there is none.
        """
        rows: list[dict[str, Any]] = []
        for wanted, spans in self.corpora:
            found = self.documents.read(wanted) if spans or not self.documents.offers(wanted) else {}
            if isinstance(found, str):
                rows.append({"texts": None, "why": found})
            else:
                rows.append({"texts": place(cut_passages(found, spans)), "why": ""})
        return rows

    def _corpus(self, run: Described, row: Mapping[str, Any]) -> int:
        digest = str(row.get("sha256") or f"{run.run_id}, draw {row['draw']}")
        if digest not in self._known:
            self._known[digest] = len(self.corpora)
            self.corpora.append((Wanted.of(run.spec, row), {}))
        return self._known[digest]

    def _readable(self, place: int) -> bool:
        return self.documents.offers(self.corpora[place][0])


def cut_passages(documents: Mapping[str, Document], spans: Mapping[str, Iterable[tuple[int, int]]]) -> dict[str, Any]:
    """Return the title and the passages of each document: ``{id: [title, [[start, text], ...]]}``.

    Passages that touch or overlap become one. Places outside a text are left out.

    Args:
        documents: The documents by id.
        spans: Characters that are needed, by document id.
    """
    cut: dict[str, Any] = {}
    for name in sorted(spans):
        document = documents.get(name)
        if document is None:
            continue
        ranges: list[list[int]] = []
        for start, end in sorted(spans[name]):
            if ranges and start <= ranges[-1][1]:
                ranges[-1][1] = max(ranges[-1][1], end)
            else:
                ranges.append([start, end])
        cut[name] = [document.title, [[start, document.text[start:end]] for start, end in ranges]]
    return cut


def _collect(spans: Spans, needed: Mapping[int, Needed]) -> None:
    for draw, name, start, end in zip(spans.draws, spans.names, spans.starts, spans.ends, strict=True):
        if draw in needed:
            needed[draw].setdefault(spans.documents[name], set()).add((start, end))
