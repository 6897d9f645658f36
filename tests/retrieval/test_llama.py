"""The bridge to LlamaIndex, in both directions and without a network."""

import socket

import pytest

from rmtbench.errors import UserError
from rmtbench.retrieval.base import Chunk
from rmtbench.retrieval.bm25 import FastBM25Index

CHUNKS = [
    Chunk("a", "River Orle", "It rises in the hills.", 0, 22),
    Chunk("a", "River Orle", "It ends at the sea.", 23, 42),
    Chunk("b", "Bread", "The dough rests.", 5, 21),
    Chunk("c", "Bread", "The dough rests.", 0, 16),
]


@pytest.fixture(autouse=True)
def network_off(monkeypatch):
    def refuse(*args):
        raise AssertionError("retrieval reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(scope="module")
def llama():
    from rmtbench.retrieval import llama

    return llama


def test_nodes_know_where_their_chunk_lies(llama):
    nodes = llama.to_nodes(CHUNKS)
    assert [node.text for node in nodes] == [chunk.text for chunk in CHUNKS]
    assert [(node.ref_doc_id, node.start_char_idx, node.end_char_idx) for node in nodes] == [
        ("a", 0, 22),
        ("a", 23, 42),
        ("b", 5, 21),
        ("c", 0, 16),
    ]
    assert [node.metadata["title"] for node in nodes] == [chunk.title for chunk in CHUNKS]
    assert len({node.node_id for node in nodes}) == 4
    assert [node.node_id for node in nodes] == [node.node_id for node in llama.to_nodes(CHUNKS)]


def test_an_index_is_a_retriever_that_keeps_its_ranking_and_scores(llama):
    index = FastBM25Index(CHUNKS)
    found = llama.IndexRetriever(index, CHUNKS, k=3).retrieve("dough at the sea")
    hits = index.search(["dough at the sea"], 3)[0]
    assert [(item.node.text, item.score) for item in found] == [(CHUNKS[hit.position].text, hit.score) for hit in hits]


def test_a_retriever_works_in_a_llama_index_query_engine(llama):
    from llama_index.core.llms import MockLLM
    from llama_index.core.query_engine import RetrieverQueryEngine
    from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer

    retriever = llama.IndexRetriever(FastBM25Index(CHUNKS), CHUNKS, k=1)
    synthesizer = get_response_synthesizer(llm=MockLLM(), response_mode=ResponseMode.COMPACT)
    response = RetrieverQueryEngine(retriever, synthesizer).query("where does it end: at the sea?")
    assert [source.node.start_char_idx for source in response.source_nodes] == [23]
    assert "title: River Orle" in str(response)  # the mock model answers with its prompt
    assert "It ends at the sea." in str(response)


def test_a_retriever_is_an_index_and_the_way_there_and_back_changes_nothing(llama):
    index = FastBM25Index(CHUNKS)
    back = llama.RetrieverIndex(llama.IndexRetriever(index, CHUNKS, k=4), CHUNKS)
    queries = ["the dough", "hills", "unknown"]
    for k in (1, 2, 4):
        assert back.search(queries, k) == index.search(queries, k)
    assert back.bytes == 0


def make_retriever(found):
    from llama_index.core.base.base_retriever import BaseRetriever

    class Fixed(BaseRetriever):
        def _retrieve(self, query_bundle):
            return found

    return Fixed()


def test_a_foreign_retriever_is_ranked_by_score_then_position(llama):
    from llama_index.core.schema import NodeWithScore

    nodes = llama.to_nodes(CHUNKS)
    found = [NodeWithScore(node=nodes[position], score=score) for position, score in [(3, 0.5), (0, 0.1), (1, 0.5)]]
    (hits,) = llama.RetrieverIndex(make_retriever(found), CHUNKS).search(["x"], 2)
    assert [(hit.position, hit.score) for hit in hits] == [(1, 0.5), (3, 0.5)]


@pytest.mark.parametrize(
    ("own", "score", "fault"), [(False, 1.0, "none of the chunks"), (True, None, "without a score")]
)
def test_nodes_that_cannot_be_ranked_are_refused(llama, own, score, fault):
    from llama_index.core.schema import NodeWithScore, TextNode

    node = llama.to_nodes(CHUNKS)[0] if own else TextNode(id_="foreign", text="x")
    index = llama.RetrieverIndex(make_retriever([NodeWithScore(node=node, score=score)]), CHUNKS)
    with pytest.raises(UserError, match=fault) as caught:
        index.search(["x"], 1)
    assert node.node_id in caught.value.where
    assert "to_nodes" in caught.value.remedy
