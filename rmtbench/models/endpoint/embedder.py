"""An embedder behind a server: batched, asked again as a model is, its tokens counted, its width checked."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from rmtbench.errors import AnswerError, ServerGoneError, UserError
from rmtbench.models.base import Role
from rmtbench.models.embed_windows import Piece, Reads, Span, cut_windows, words_of
from rmtbench.models.endpoint.address import PREFIX
from rmtbench.models.endpoint.line import Line
from rmtbench.models.endpoint.tokenizer import TiktokenTokenizer, load_endpoint_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 128
"""Texts in one request: 512-token chunks stay far below every server's limit of tokens a request."""

CHARACTERS_A_TOKEN = 4
"""A rule of thumb for English, for the limit of tokens a minute alone; what is recorded is the server's count."""

WIDTHS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
"""Widths that are known beforehand; of any other model the first vector's holds from then on."""

MAX_TOKENS = dict.fromkeys(WIDTHS, 8191)
"""Tokens of one text that are known to be accepted; of any other model the server's limit is not known here."""


class EndpointEmbedder:
    """One served embedder. Safe for many threads.

    Attributes:
        name: What the user called it.
        dimension: Width of a vector.
        max_tokens: Most tokens of a text, where that is known; else None. A server refuses what is longer.
        sha256: Hash over host, model and width; a server shows no weights.
        tokens: Tokens embedded so far, by the server's count.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._mine = threading.local()
        self.tokens = 0
        self.name = f"{PREFIX}{line.asked.model}"
        self.max_tokens: int | None = MAX_TOKENS.get(line.asked.model)
        self.dimension = WIDTHS.get(line.asked.model, 0)
        first = self._request(["Say yes."], first=True)
        self.dimension = self.dimension or len(first[0])
        identity = f"openai embeddings\n{line.settings.address.host}\n{line.asked.model}\n{self.dimension}"
        self.sha256 = hashlib.sha256(identity.encode()).hexdigest()

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
        for start in range(0, len(distinct), BATCH):
            batch = distinct[start : start + BATCH]
            vectors[start : start + len(batch)] = self._request([text or " " for text in batch])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(norms > 0, norms, 1)
        row = {text: number for number, text in enumerate(distinct)}
        return vectors[[row[text] for text in texts]]

    def truncated(self, _texts: Sequence[str]) -> int:
        """None: a server refuses what is too long, and cuts nothing off."""
        return 0

    def _request(self, texts: list[str], *, first: bool = False) -> list[list[float]]:
        line, model = self._line, self._line.asked.model

        def send(seconds: float) -> tuple[list[list[float]], int]:
            # Without a format of its own the client asks for base64, which not every server has.
            made: Any = line.client.embeddings.create(
                model=model, input=texts, encoding_format="float", timeout=seconds
            )
            rows = {int(row.index): [float(value) for value in row.embedding] for row in made.data}
            if sorted(rows) != list(range(len(texts))):
                raise ValueError("not one vector a text")
            return [rows[number] for number in range(len(texts))], int(made.usage.prompt_tokens if made.usage else 0)

        host = line.settings.address.host
        try:
            vectors, tokens = line.call(send, lambda: sum(map(len, texts)) // CHARACTERS_A_TOKEN, first=first)
        except ServerGoneError:
            raise
        except AnswerError as error:
            raise UserError(
                f"no embeddings: {str(error).removeprefix(f'{host}: ')}",
                where=f"--embedder {self.name} ({host})",
                remedy="every embedding and answer so far is kept; mend it and give the same command again",
            ) from None
        for vector in vectors:
            width = self.dimension or len(vectors[0])
            if len(vector) != width:
                raise UserError(
                    f"{host} gave a vector of {len(vector)} numbers in place of {width}",
                    where=f"--embedder {self.name}",
                    remedy="check which model the server has under that name; nothing of it was kept",
                )
        with self._lock:
            self.tokens += tokens
        self._mine.tokens = self.thread_tokens + tokens
        return vectors


def _reads(model: str) -> Reads:
    try:
        words = cast("TiktokenTokenizer", load_endpoint_tokenizer(model, None))
    except UserError as error:
        raise UserError(
            f"long chunks cannot be cut into windows: {error.what}",
            where=f"--embedder {PREFIX}{model}",
            remedy="let tiktoken reach the network once, give smaller --chunk-tokens, or --set embed-windows=off",
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
