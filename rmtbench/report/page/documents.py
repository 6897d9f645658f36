"""Documents of a run's draws, read again from where they lie, and believed only if their hash is the run's.

Knows which sources are read without asking: the handbook of the package and a user's own folder. Documents of public
data sets are read on request only, since a page that holds them must not be passed on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rmtbench.core import Document, RunSpec
from rmtbench.corpora.base import Dataset, TokenCounter
from rmtbench.errors import UserError
from rmtbench.options import flag

Choice = Literal["near", "all", "none"]
"""`near`: the package's own and the user's own documents; `all`: draw every corpus again; `none`: read nothing."""

NEAR = ("own", "embedded")
ASK = f"rmtbench report {flag.passages} reads it from where the data lies"


def is_offered(choice: Choice, kind: str) -> bool:
    """Whether documents of a kind of source are to be read at all."""
    return choice == "all" or (choice == "near" and kind in NEAR)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One draw's documents, as the run describes them.

    Attributes:
        spec: What the run asked.
        draw: Number of the draw.
        kind: Kind of its source.
        source: Hash of the source.
        sha256: Hash over the draw's documents and questions.
    """

    spec: RunSpec
    draw: int
    kind: str
    source: str
    sha256: str

    @classmethod
    def of(cls, spec: RunSpec, row: Mapping[str, Any]) -> Wanted:
        """From a run's spec and its row in ``corpora.jsonl``."""
        source = row.get("source") or {}
        kind, digest = source.get("kind", ""), source.get("sha256", "")
        return cls(spec, int(row["draw"]), str(kind), str(digest), str(row.get("sha256", "")))


@dataclass(slots=True)
class Documents:
    """Reads documents again; what was opened once is kept until the page is made.

    Attributes:
        choice: What is read.
        environ: Environment variables, for the folder of official files.
    """

    choice: Choice = "near"
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _opened: dict[tuple[str, str], Dataset] = field(default_factory=dict)
    _counters: dict[tuple[str, str | None, str | None], TokenCounter] = field(default_factory=dict)

    def offers(self, wanted: Wanted) -> bool:
        """Whether these documents are to be read at all."""
        return is_offered(self.choice, wanted.kind)

    def read(self, wanted: Wanted) -> Mapping[str, Document] | str:
        """Return the draw's documents by id, or a sentence that says why they are not here."""
        if not self.offers(wanted):
            return (
                f"The text of passages is not in this page: {ASK if self.choice == 'near' else 'it was not asked for'}."
            )
        try:
            return self._near(wanted) if wanted.kind in NEAR else self._drawn(wanted)
        except (UserError, OSError) as error:
            # Neither place nor remedy: they may name folders of this machine.
            reason = error.what if isinstance(error, UserError) else error.strerror
            return f"The documents could not be read again: {reason}."

    def _near(self, wanted: Wanted) -> Mapping[str, Document] | str:
        """All documents of a folder: their ids and texts do not depend on the draw, so that nothing is drawn."""
        from rmtbench.corpora.own import OwnFolder

        name = wanted.spec.dataset
        if wanted.kind == "own" and not (Path(name).expanduser() / "documents").is_dir():
            return "The folder of documents is not where it was when the run was made."
        folder = self._open(name, "near")
        if not isinstance(folder, OwnFolder) or folder.source.sha256 != wanted.source:
            return "The documents have changed since the run was made."
        return {document.id: document for document in folder.documents}

    def _drawn(self, wanted: Wanted) -> Mapping[str, Document] | str:
        """One draw made again: by the same seed, and the same tokenizer where a size is a number of tokens."""
        from rmtbench.corpora.base import DrawRequest
        from rmtbench.corpora.open import DATA_VARIABLE

        if wanted.kind != "miniature" and not self.environ.get(DATA_VARIABLE):
            return f"The text of passages is not in this page: {DATA_VARIABLE} must name the folder of official files."
        spec = wanted.spec
        dataset = self._open(spec.dataset, wanted.kind)
        request = DrawRequest(spec.size, wanted.draw, spec.seed, spec.questions)
        corpus = dataset.draw(request, self._counter(spec)).corpus
        if corpus.sha256 != wanted.sha256:
            return "The data set is not the one of the run: another draw came out."
        return {document.id: document for document in corpus.documents}

    def _open(self, name: str, kind: str) -> Dataset:
        from rmtbench.corpora.open import open_dataset

        if (name, kind) not in self._opened:
            generated = kind == "miniature"
            environ = {} if generated else self.environ
            self._opened[name, kind] = open_dataset(name, None, environ, generated=generated)
        return self._opened[name, kind]

    def _counter(self, spec: RunSpec) -> TokenCounter:
        """Counts tokens as the run did; the tokenizer is loaded with the first text, which many draws never count."""
        key = (spec.model, spec.tokenizer, spec.adapter)

        def count(texts: Sequence[str]) -> Sequence[int]:
            if key not in self._counters:
                from rmtbench.models.load import load_token_counter

                self._counters[key] = load_token_counter(*key)
            return self._counters[key](texts)

        return count
