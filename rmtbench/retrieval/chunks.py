"""Documents cut into chunks that know exactly where they lie, so that retrieval can be checked against evidence.

The cutting is LlamaIndex's; counting is done with the tokenizer of the model that will read the chunks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Protocol

from rmtbench.core import Document
from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.retrieval.base import Chunk

if TYPE_CHECKING:
    from rmtbench.retrieval.splitter import Tokenize

Split = Literal["sentence", "token"]
"""Where a chunk may end: with a paragraph or sentence where possible, or with any word once the limit is reached."""


class Splitter(Protocol):
    """Cuts one text into spans of characters."""

    def spans(self, text: str, chunk_tokens: int) -> list[tuple[int, int]]:
        """Start and end of each chunk, in order, of at most so many tokens, added up over their pieces."""
        ...


def chunk_documents(
    documents: Iterable[Document],
    tokenize: Tokenize,
    chunk_tokens: int = 512,
    overlap: int = 0,
    split: Split = "sentence",
) -> tuple[Chunk, ...]:
    """Cut documents, each by itself: at paragraphs where possible, else at sentences, clauses or words; or by tokens.

    The first call imports LlamaIndex; call `warm_up` before timing it.

    Args:
        documents: What to cut; one without text gives no chunk, and equal texts give equal chunks.
        tokenize: Token ids of a text, without special tokens. Called for every piece: pass a fast one.
        chunk_tokens: Most tokens of a chunk's text, its title not counted; at least 1.
        overlap: Most tokens that a chunk repeats of the one before; smaller than `chunk_tokens`.
        split: Where a chunk may end.

    Returns:
        The chunks in the order of the documents, with ``document.text[chunk.start:chunk.end] == chunk.text``.

    Raises:
        UserError: A character of a document has more tokens than a chunk may have.
    """
    splitter = _make_splitter(split, tokenize, chunk_tokens, overlap)
    chunks = []
    for document in documents:
        try:
            for start, end in _spans(splitter, tokenize, document.text, chunk_tokens):
                chunks.append(Chunk(document.id, document.title, document.text[start:end], start, end))
        except ValueError as error:
            raise UserError(
                f"cannot be cut into chunks of at most {chunk_tokens} tokens ({error})",
                where=f"document {document.id!r}",
                remedy=f"choose a larger {flag.chunk_tokens}",
            ) from error
    return tuple(chunks)


def warm_up() -> None:
    """Import LlamaIndex and load its sentence tokenizer (seconds), so that cutting can be timed without them."""
    from rmtbench.retrieval.splitter import split_sentences

    split_sentences("A sentence.")


def indexed_text(chunk: Chunk) -> str:
    """What every index searches of a chunk: its title, then its text, as a prompt shows both."""
    return f"{chunk.title}\n{chunk.text}"


def _make_splitter(split: Split, tokenize: Tokenize, chunk_tokens: int, overlap: int) -> Splitter:
    if split == "token":
        from rmtbench.retrieval.token_splitter import TokenSplitter

        return TokenSplitter(tokenize, overlap)
    from rmtbench.retrieval.splitter import make_splitter

    return make_splitter(tokenize, chunk_tokens, overlap)


def _spans(splitter: Splitter, tokenize: Tokenize, text: str, chunk_tokens: int) -> list[tuple[int, int]]:
    """The splitter adds up the tokens of pieces. Joined, they can have more: then the text is cut a little shorter."""
    limit = chunk_tokens
    while True:
        spans = splitter.spans(text, limit)
        excess = max((len(tokenize(text[start:end])) for start, end in spans), default=0) - chunk_tokens
        if excess <= 0:
            return spans
        if limit == 1:
            raise ValueError("one token by itself is several in its surroundings")
        limit = max(1, limit - excess)
