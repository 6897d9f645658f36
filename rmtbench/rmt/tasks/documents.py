"""Noise from real documents: their sentences, for facts to lie between."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from rmtbench.corpora.handbook import HANDBOOK
from rmtbench.corpora.own_documents import read_documents
from rmtbench.errors import UserError
from rmtbench.options import flag

_MARKED = re.compile(r"\s*(#|\||[-*+>] |\d+[.)] |[=~`-]{3})")
"""How a line begins that is no running text: headings, tables, lists, fences."""
_SENTENCE = re.compile(r"[A-Z\"'(].*?[.!?](?=\s|$)")
_LEAST_SENTENCES = 50
"""With fewer, the same few sentences come again and again, and a memory learns to know them."""


def document_noise(name: str) -> list[str]:
    """The sentences of all documents in their order, without headings, lists and tables.

    Args:
        name: ``handbook``, or a folder of documents.

    Raises:
        UserError: The folder cannot be read, or has too few sentences.
    """
    folder = HANDBOOK / "documents" if name == HANDBOOK.name else Path(name)
    try:
        texts = [document.text for document in read_documents(folder).read]
    except OSError as error:
        raise UserError(
            f"the documents cannot be read: {error.strerror or error}",
            where=flag.task,
            remedy="name handbook, or a folder of documents, behind the colon",
        ) from error
    found = list(dict.fromkeys(sentence for text in texts for sentence in sentences(text.splitlines())))
    if len(found) < _LEAST_SENTENCES:
        raise UserError(
            f"'{name}' has {len(found)} sentences, and noise needs {_LEAST_SENTENCES}",
            where=flag.task,
            remedy="name a folder with more running text",
        )
    return found


def sentences(lines: Iterable[str]) -> list[str]:
    """Whole sentences of running text; lines of one paragraph are joined.

    Args:
        lines: Of one document; an empty or marked line ends a paragraph.
    """
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if not line.strip() or _MARKED.match(line):
            paragraphs.append([])
        else:
            paragraphs[-1].append(line.strip())
    texts = (" ".join(paragraph).replace("**", "") for paragraph in paragraphs)
    return [sentence for text in texts for sentence in _SENTENCE.findall(text)]
