"""An embedder behind a server: batched, asked again as a model is, its tokens counted, its width checked."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from rmtbench.errors import AnswerError, ContextTooLongError, ServerGoneError, UserError
from rmtbench.models.base import Role
from rmtbench.models.embed_windows import Piece, Reads, Span, cut_windows, words_of
from rmtbench.models.endpoint.address import PREFIX
from rmtbench.models.endpoint.faults import RefusedError, StreamError
from rmtbench.models.endpoint.line import Line
from rmtbench.models.endpoint.tokenizer import TiktokenTokenizer, load_endpoint_tokenizer
from rmtbench.options import flag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 128
"""Texts in one request, until the server refuses so many: 512-token chunks stay below most limits of tokens."""

CHARACTERS_A_TOKEN = 4
"""A rule of thumb for English, for the limit of tokens a minute alone; what is recorded is the server's count."""

WIDTHS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
"""Widths that are known beforehand; of any other model the first vector's holds from then on."""

MAX_TOKENS = dict.fromkeys(WIDTHS, 8191)
"""Tokens of one text that are known to be accepted; of any other model the server's limit is not known here."""


class _TooManyError(Exception):
    """The server refuses a request of several texts; it may take fewer."""


class EndpointEmbedder:
    """One served embedder. Safe for many threads.

    Args:
        line: The line to its server.
        batch: Most texts in one request. A refused batch is halved, and so are all that follow.

    Attributes:
        name: What the user called it.
        dimension: Width of a vector.
        max_tokens: Most tokens of a text, where that is known; else None. A server refuses what is longer.
        sha256: Hash over address, model by both names, and width; a server shows no weights.
        tokens: Tokens embedded so far, by the server's count.
    """

    def __init__(self, line: Line, batch: int = BATCH) -> None:
        self._line = line
        self._batch = batch
        self._served: str | None = None
        self._lock = threading.Lock()
        self._mine = threading.local()
        self.tokens = 0
        self.name = f"{PREFIX}{line.asked.model}"
        self.max_tokens: int | None = MAX_TOKENS.get(line.asked.model)
        self.dimension = WIDTHS.get(line.asked.model, 0)
        first = self._request(["Say yes."], first=True)
        self.dimension = self.dimension or len(first[0])
        self.sha256 = hashlib.sha256(self._identity().encode()).hexdigest()

    @property
    def thread_tokens(self) -> int:
        """Of `tokens`, those that this thread has asked for."""
        return getattr(self._mine, "tokens", 0)

    def prompt(self, _role: Role) -> str:
        """Empty: a server shows no prompts, and applies its own if it has any."""
        return ""

    def windows(self, texts: Sequence[str], heads: Sequence[str]) -> list[list[Span]]:
        """As `Embedder.windows`; where the limit is not known, nothing is cut.

        Raises:
            UserError: A text may be too long, and tiktoken cannot get the file that it counts with.
        """
        longest = max((len((head + text).encode()) for head, text in zip(heads, texts, strict=True)), default=0)
        if self.max_tokens is None or longest <= self.max_tokens:  # no token is shorter than a byte
            return [[(0, len(text))] for text in texts]
        return cut_windows(_reads(self._line.asked.model), texts, heads, self.max_tokens)

    def embed(self, texts: Sequence[str], _role: Role = "passage") -> NDArray[np.float32]:
        """Embed texts, equal ones once; an empty one, which servers refuse, as a space.

        Returns:
            Shape ``[len(texts), dimension]``, rows of unit length.

        Raises:
            UserError: The server does not give vectors, or not of its width.
        """
        import numpy as np

        distinct = list(dict.fromkeys(texts))
        vectors = np.empty((len(distinct), self.dimension), dtype=np.float32)
        start = 0
        while start < len(distinct):
            batch = distinct[start : start + self._batch]
            try:
                vectors[start : start + len(batch)] = self._request([text or " " for text in batch])
            except _TooManyError:
                self._batch = max(1, min(self._batch, len(batch) // 2))
            else:
                start += len(batch)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(norms > 0, norms, 1)
        row = {text: number for number, text in enumerate(distinct)}
        return vectors[[row[text] for text in texts]]

    def truncated(self, _texts: Sequence[str]) -> int:
        """None: a server refuses what is too long, and cuts nothing off."""
        return 0

    def _identity(self) -> str:
        """All that tells this embedder from others: several can be behind one host, or take turns under one name."""
        address, model = self._line.settings.address, self._line.asked.model
        facts = ["openai embeddings", address.host, model, str(self.dimension)]
        if address.path not in ("", "v1"):
            facts.append(f"path {address.path}")
        if self._served not in (None, "", model):
            facts.append(f"served {self._served}")
        return "\n".join(facts)

    def _request(self, texts: list[str], *, first: bool = False) -> list[NDArray[np.float32]]:
        line, model = self._line, self._line.asked.model

        def send(seconds: float) -> _Made:
            # Without a format of its own the client asks for base64, which not every server has.
            made: Any = line.client.embeddings.create(
                model=model, input=texts, encoding_format="float", timeout=seconds
            )
            if told := getattr(made, "error", None):
                raise StreamError(told)
            tokens = (made.usage.prompt_tokens or made.usage.total_tokens or 0) if made.usage else 0
            return _Made(_in_order(made.data, len(texts)), int(tokens), made.model)

        host = line.settings.address.host
        try:
            made = line.call(send, lambda: sum(map(len, texts)) // CHARACTERS_A_TOKEN, first=first)
        except AnswerError as error:
            if len(texts) > 1 and isinstance(error, RefusedError | ContextTooLongError):
                raise _TooManyError from None
            raise UserError(
                f"no embeddings: {str(error).removeprefix(f'{host}: ')}",
                where=f"{flag.embedder} {self.name} ({host})",
                remedy="every embedding and answer so far is kept; mend it and give the same command again",
            ) from None
        self._check(made)
        with self._lock:
            self.tokens += made.tokens
        self._mine.tokens = self.thread_tokens + made.tokens
        return made.vectors

    def _check(self, made: _Made) -> None:
        """Refuse vectors of another width or without a direction, and those of a model by another name."""
        import numpy as np

        host = self._line.settings.address.host
        width, wrong = self.dimension or len(made.vectors[0]), ""
        for vector in made.vectors:
            if vector.shape != (width,):
                wrong = f"a vector of {vector.size} numbers in place of {width}"
            elif not 0 < np.linalg.norm(vector) < np.inf:
                wrong = "a vector that is zero or not finite"
        if wrong:
            raise UserError(
                f"{host} gave {wrong}",
                where=f"{flag.embedder} {self.name}",
                remedy="check which model the server has under that name; nothing of it was kept",
            )
        self._served = self._served or made.served
        if made.served and made.served != self._served:
            raise ServerGoneError(
                f"the embedder that answers has changed from '{self._served}' to '{made.served}'",
                where=host,
                remedy="every answer so far is kept, and nothing of the new one; once the first one answers again, "
                "the same command resumes",
            )


@dataclass(frozen=True, slots=True)
class _Made:
    """A whole reply: vectors in the texts' order, tokens embedded, and the model's name by the server."""

    vectors: list[NDArray[np.float32]]
    tokens: int
    served: str | None


def _in_order(rows: Sequence[Any], count: int) -> list[NDArray[np.float32]]:
    """The vectors in the texts' order: by their numbers, or as they come where a server numbers none, or all 0.

    Raises:
        ValueError: There is not one vector a text.
    """
    numbers = [int(row.index or 0) for row in rows]
    if set(numbers) == {0}:
        numbers = list(range(len(rows)))
    found = {number: _vector(row.embedding) for number, row in zip(numbers, rows, strict=True)}
    if sorted(found) != list(range(count)):
        raise ValueError("not one vector a text")
    return [found[number] for number in range(count)]


def _vector(sent: str | Sequence[float]) -> NDArray[np.float32]:
    """Return a vector from its numbers, or from base64: some servers send it although numbers were asked for."""
    import numpy as np

    if isinstance(sent, str):
        return np.frombuffer(base64.b64decode(sent), dtype="<f4").astype(np.float32)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        return np.atleast_1d(np.asarray(sent, dtype=np.float32))


def _reads(model: str) -> Reads:
    try:
        words = cast("TiktokenTokenizer", load_endpoint_tokenizer(model, None, needed_for="windows of long chunks"))
    except UserError as error:
        raise UserError(
            f"long chunks cannot be cut into windows: {error.what}",
            where=f"{flag.embedder} {PREFIX}{model}",
            remedy=f"let tiktoken reach the network once, give smaller {flag.chunk_tokens}, "
            f"or {flag.embed_windows}=off",
        ) from None

    def split(text: str) -> list[list[Piece]]:
        ids = words.encode(text)
        _, starts = words.encoding.decode_with_offsets(ids)
        spans = list(zip(starts, [*starts[1:], len(text)], strict=True))
        number, numbers = 0, []
        for start, _ in spans:
            number += text[start : start + 1].isspace()  # its words begin with their space
            numbers.append(number)
        return words_of(spans, numbers)

    return Reads(lambda texts: [len(words.encode(text)) for text in texts], split)
