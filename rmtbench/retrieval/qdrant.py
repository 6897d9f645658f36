"""Embeddings in Qdrant through LlamaIndex's own vector store, for a server that several machines share.

A collection's name is a hash of its chunks, windows and embedder, so it never holds anything else. A point's name is
its place, so an interrupted upload writes the same points again. The extra `qdrant` installs the packages.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rmtbench.errors import ServerGoneError, UserError
from rmtbench.measure import Stopwatch, Timed, add_seconds, timed
from rmtbench.models.base import Embedder
from rmtbench.models.embed_windows import RULE
from rmtbench.options import flag
from rmtbench.retrieval.base import Chunk, Hit
from rmtbench.retrieval.dense import embed_chunks
from rmtbench.retrieval.identity import chunks_hash
from rmtbench.retrieval.ranking import best_of_more
from rmtbench.retrieval.windows import Windows, cut_chunks, whole_chunks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qdrant_client import QdrantClient

IN_PROCESS = "memory"
"""In place of a URL: Qdrant within this process, which is exact and meant for few chunks."""

KEY_VARIABLE = "QDRANT_API_KEY"
OPTION = flag.qdrant

BLOCK = 2048
"""Number of windows that are embedded and uploaded at once."""

DIGITS = 6
"""Decimal places of a score. Scores of equal vectors may differ in the seventh, which must not decide a tie."""

EXACT_UNTIL, SEARCH_EFFORT = 100_000, 256
"""Maximum windows for exact search by the server; above, the candidates that its graph keeps while searching."""


def open_qdrant(place: str, environ: Mapping[str, str]) -> QdrantClient:
    """Connect to a server, or start one within this process.

    Args:
        place: `IN_PROCESS`, or the server's URL. Only its host is ever shown, because it may hold a password.
        environ: Environment variables, for the key.

    Raises:
        UserError: The packages are not installed, the URL is none, or no server answers there with this key.
    """
    try:
        import llama_index.vector_stores.qdrant  # noqa: F401 - now, and not within a timed part
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise UserError(
            "Qdrant's client is not installed", where=OPTION, remedy="pip install 'rmtbench[qdrant]'"
        ) from error
    if place == IN_PROCESS:
        return QdrantClient(location=":memory:")
    try:
        parts = urlsplit(place)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        remedy = f"give such as http://localhost:6333, or {IN_PROCESS}"
        raise UserError("not the URL of a server", where=OPTION, remedy=remedy)
    key = environ.get(KEY_VARIABLE, "").strip() or None
    try:
        client = QdrantClient(url=place, api_key=key, check_compatibility=False, timeout=60)
        client.get_collections()
    except Exception as error:  # noqa: BLE001 - whichever transport the client has under it; its text may hold the key
        status = getattr(error, "status_code", None)
        what = f"status {status}" if status else "no connection"
        raise UserError(
            f"Qdrant at {host_of(place)} does not answer ({what})",
            where=OPTION,
            remedy=f"check the URL and that the server is up; its key, if any, is read from {KEY_VARIABLE}",
        ) from None
    return client


def host_of(place: str) -> str:
    """Return the part of a URL that may be shown."""
    return urlsplit(place).netloc.rpartition("@")[2]


def keep_in_qdrant(
    chunks: Sequence[Chunk],
    client: QdrantClient,
    embedder: Embedder,
    document_embedder: Embedder,
    *,
    windows: bool = True,
) -> Timed[QdrantIndex]:
    """Fill a collection, or take over the one that already holds these chunks.

    Args:
        chunks: What to index.
        client: As `open_qdrant` returns it.
        embedder: Embeds queries.
        document_embedder: Embeds chunks; the same model.
        windows: Whether a chunk longer than its embedder reads is embedded by windows, or only its beginning.

    Returns:
        The index, with the seconds of ``embed`` and ``index``, or of ``load``.

    Raises:
        UserError: A chunk cannot be cut into windows.
        ServerGoneError: The server no longer answers.
    """
    from llama_index.vector_stores.qdrant import QdrantVectorStore

    made_from = f"{chunks_hash(chunks)} {embedder.sha256}" + (f" {RULE}" if windows else "")
    digest = hashlib.sha256(made_from.encode()).hexdigest()
    name = f"rmtbench-{digest[:32]}"
    cutting = timed("embed", lambda: cut_chunks(chunks, document_embedder) if windows else whole_chunks(chunks))
    cut = cutting.value
    with _told():
        whole = client.collection_exists(name) and client.count(name).count == len(cut.parts)
        opened = timed(
            "load" if whole else "index",
            lambda: QdrantVectorStore(name, client=client, index_doc_id=False, batch_size=256),
        )
        index = QdrantIndex(opened.value, client, embedder, len(cut.parts))
        if whole:
            return Timed(index, add_seconds({"load": cutting.total_seconds}, opened.seconds))
        filled = _fill(opened.value, cut, digest, document_embedder)
    return Timed(index, add_seconds(cutting.seconds, opened.seconds, filled))


def _fill(store: Any, cut: Windows, digest: str, embedder: Embedder) -> Mapping[str, float]:  # noqa: ANN401
    """Embed and upload all windows; returns the seconds of ``embed`` and ``index``."""
    from llama_index.core.schema import TextNode

    watch, owners = Stopwatch(), cut.owners.tolist()
    for start in range(0, len(cut.parts), BLOCK):
        block = cut.parts[start : start + BLOCK]
        with watch.part("embed"):
            vectors = embed_chunks(block, embedder)  # [windows of the block, dimension]
        with watch.part("index"):
            nodes = [
                TextNode(
                    id_=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{digest} {place}")),
                    text=part.text,
                    metadata={"title": part.title, "position": owners[place]},
                    embedding=vector.tolist(),
                )
                for place, (part, vector) in enumerate(zip(block, vectors, strict=True), start=start)
            ]
            store.add(nodes)
    return watch.seconds


class QdrantIndex:
    """Ranks chunks by the cosine of their best window, whose embeddings Qdrant keeps. Safe for many threads."""

    def __init__(self, store: Any, client: QdrantClient, embedder: Embedder, vectors: int) -> None:  # noqa: ANN401
        """Search a collection that holds all windows: see `keep_in_qdrant`.

        Args:
            store: LlamaIndex's store over the collection.
            client: The store's client.
            embedder: Embeds queries.
            vectors: Number of windows in the collection.
        """
        self._store, self._embedder, self._vectors = store, embedder, vectors
        self._local = "Local" in type(client._client).__name__  # noqa: SLF001 - the only place that tells
        # Within this process there is no server that serialises calls.
        self._turn: AbstractContextManager[Any] = threading.Lock() if self._local else nullcontext()

    @property
    def vectors(self) -> int:
        """Number of windows in it."""
        return self._vectors

    @property
    def bytes(self) -> int:
        """Size of the vectors within this process; 0 if a server keeps them."""
        return 4 * self.vectors * self._embedder.dimension if self._local else 0

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Return the best k chunks of each query, best first, ties by position.

        Raises:
            ServerGoneError: The server no longer answers.
        """
        if not self.vectors:
            return [[] for _ in queries]
        return [self.search_vector(vector, k) for vector in self._embedder.embed(queries, "query")]

    def search_vector(self, query: NDArray[np.float32], k: int) -> list[Hit]:
        """Return the best k chunks of one embedded query.

        Args:
            query: A unit vector, shape ``[dimension]``.
            k: Number of chunks, at least 1.

        Raises:
            ServerGoneError: The server no longer answers.
        """
        with _told(), self._turn:
            return best_of_more(partial(self._ask, query.tolist()), k, self.vectors)

    def _ask(self, query: list[float], count: int) -> list[Hit]:
        from llama_index.core.vector_stores.types import VectorStoreQuery

        params: dict[str, Any] | None = {"hnsw_ef": max(SEARCH_EFFORT, count)}
        if self.vectors <= EXACT_UNTIL:
            params = None if self._local else {"exact": True}  # within this process every search is exact
        asked = VectorStoreQuery(query_embedding=query, similarity_top_k=count)
        found = self._store.query(asked, search_params=params)
        return [
            Hit(node.metadata["position"], round(float(score), DIGITS))
            for node, score in zip(found.nodes, found.similarities, strict=True)
        ]


@contextmanager
def _told() -> Iterator[None]:
    """Turn the client's errors into the one that stops a run and lets it be resumed."""
    from qdrant_client.http.exceptions import ApiException

    try:
        yield
    except ApiException as error:
        status = getattr(error, "status_code", None)
        raise ServerGoneError(
            f"Qdrant does not answer any more ({f'status {status}' if status else 'no connection'})",
            where=OPTION,
            remedy="every answer so far is kept; once the server is well, the same command resumes",
        ) from None
