"""What the tests of several loaders share: files as they lie on a disk, and what came of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from rmtbench.core import Draw
from rmtbench.corpora.base import Dataset, DrawRequest
from rmtbench.errors import UserError

SCHEMA = "see docs/reference/data.md for the format"
"""The remedy for a field that is missing or of another type."""


def words(texts: Sequence[str]) -> list[int]:
    """Counts words, where a model's tokenizer would count tokens."""
    return [len(text.split()) for text in texts]


def draw(dataset: Dataset, size: str, number: int = 0, seed: int = 0, questions: int | None = None) -> Draw:
    return dataset.draw(DrawRequest(size, number, seed, questions), words)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, content: object) -> Path:
    return write(path, json.dumps(content))


def cited(made: Draw) -> Mapping[str, list[list[str]]]:
    """The texts at the evidence spans of each question: one list a fact."""
    texts = {document.id: document.text for document in made.corpus.documents}
    return {
        gold.question_id: [[texts[span.document_id][span.start : span.end] for span in fact] for fact in gold.evidence]
        for gold in made.gold
    }


def tokens(made: Draw) -> int:
    """Length of the corpus as a budget counts it: titles and texts."""
    return sum(words([f"{document.title}\n{document.text}" for document in made.corpus.documents]))


def refusal(action: Callable[[], object], path: Path) -> tuple[str, str, str]:
    """Where (after the path of the file), what and remedy of the user's error."""
    with pytest.raises(UserError) as caught:
        action()
    error = caught.value
    assert error.where.startswith(str(path))
    return error.where.removeprefix(str(path)), error.what, error.remedy


def check_same_draws_again(opened: Callable[[], Dataset], size: str) -> None:
    """The same request gives the same bytes from a file read anew; another number or seed gives others."""
    first, again = draw(opened(), size), draw(opened(), size)
    assert again == first
    assert again.corpus.sha256 == first.corpus.sha256
    for other in (draw(opened(), size, number=1), draw(opened(), size, seed=1)):
        assert other.corpus.sha256 != first.corpus.sha256
        assert other.corpus.id != first.corpus.id
