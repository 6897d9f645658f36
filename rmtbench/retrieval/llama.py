"""The bridge to LlamaIndex: our indexes as its retrievers, and its retrievers as our indexes.

Imports LlamaIndex, which takes seconds: import this module only where it is used. Never touches LlamaIndex's settings,
whose default models call OpenAI.
"""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode

from rmtbench.errors import UserError
from rmtbench.retrieval.base import Chunk, Hit, Index
from rmtbench.retrieval.ranking import best_by_chunk
from rmtbench.retrieval.windows import Windows, whole_chunks


def to_nodes(chunks: Sequence[Chunk]) -> list[TextNode]:
    """Chunks as LlamaIndex nodes, by position.

    Args:
        chunks: Chunks of any documents, or the `parts` of `Windows` for nodes that an embedder reads to their end.

    Returns:
        Nodes with the chunk's text and place, its title as metadata and its document as source. Ids are made of
        document and place, so they are the same in every process.
    """
    return [
        TextNode(
            id_=f"{chunk.document_id}:{chunk.start}-{chunk.end}",
            text=chunk.text,
            start_char_idx=chunk.start,
            end_char_idx=chunk.end,
            metadata={"title": chunk.title},
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=chunk.document_id)},
        )
        for chunk in chunks
    ]


class IndexRetriever(BaseRetriever):  # type: ignore[misc]  # the library counts as untyped
    """One of our indexes as a LlamaIndex retriever, for its query engines, fusion and rerankers."""

    def __init__(self, index: Index, chunks: Sequence[Chunk], k: int = 10) -> None:
        """Wrap an index.

        Args:
            index: Made from `chunks`.
            chunks: The chunks by position.
            k: How many nodes a query gets.
        """
        super().__init__()
        self._index = index
        self._nodes = to_nodes(chunks)
        self._k = k

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        (hits,) = self._index.search([query_bundle.query_str], self._k)
        return [NodeWithScore(node=self._nodes[hit.position], score=hit.score) for hit in hits]


class RetrieverIndex:
    """Any LlamaIndex retriever as one of our indexes, a chunk scored by its best node.

    How many nodes it finds is its own; at most k chunks are taken. A retriever of windows has to find more than k
    nodes, since several may be of one chunk.
    """

    def __init__(self, retriever: BaseRetriever, chunks: Sequence[Chunk], windows: Windows | None = None) -> None:
        """Wrap a retriever.

        Args:
            retriever: Made from ``to_nodes(chunks)``, or ``to_nodes(windows.parts)``, so that its nodes are known by
                their ids.
            chunks: The chunks by position.
            windows: What `cut_chunks` made of the chunks; None where each chunk is a node.
        """
        cut = windows or whole_chunks(chunks)
        self._retriever = retriever
        self._positions: dict[str, list[int]] = {}  # chunks that overlap may share a window
        for node, position in zip(to_nodes(cut.parts), cut.owners.tolist(), strict=True):
            self._positions.setdefault(node.node_id, []).append(position)

    @property
    def bytes(self) -> int:
        """Zero: a retriever does not say what it keeps."""
        return 0

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k chunks of each query, best first, ties by position; fewer where the retriever found fewer.

        Raises:
            UserError: The retriever gave a node of other chunks, or one without a score.
        """
        return [
            best_by_chunk(hit for found in self._retriever.retrieve(query) for hit in self._hits(found))[:k]
            for query in queries
        ]

    def _hits(self, found: NodeWithScore) -> list[Hit]:
        positions = self._positions.get(found.node_id)
        if positions is None or found.score is None:
            fault = "a node that is none of the chunks" if positions is None else "a node without a score"
            raise UserError(
                f"the retriever {type(self._retriever).__name__} gave {fault}",
                where=f"node {found.node_id}",
                remedy="build the retriever from the nodes that `to_nodes` makes, and let it score them",
            )
        return [Hit(position, float(found.score)) for position in positions]
