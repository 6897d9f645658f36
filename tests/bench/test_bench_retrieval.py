"""The retrieval bench: every promised figure is there, and the searches that are compared find the same."""

import json

from rmtbench.bench.retrieval import invent_chunks, invent_queries, run


def test_small_bench_gives_figures_and_equal_rankings():
    result = run(chunks=120, queries=6, k=5).to_json()
    assert result["rankings_equal"] is True
    assert result["simple_vector_store_rankings_equal"] is True
    for name in ("sparse", "dense", "rank_bm25", "simple_vector_store", "embed_query", "dense_product"):
        assert 0 < result[f"{name}_ms"] <= result[f"{name}_p90_ms"]
    for name in ("sparse", "dense", "rank_bm25", "simple_vector_store"):
        assert result[f"{name}_build_s"] > 0
    assert result["dense_bytes"] == 120 * 384 * 4
    assert result["versions"]["numpy"]
    assert result["threads"] >= 1
    assert json.loads(json.dumps(result)) == result


def test_the_invented_text_is_seeded_and_of_realistic_length():
    chunks = invent_chunks(50, seed=3)
    assert chunks == invent_chunks(50, seed=3) != invent_chunks(50, seed=4)
    assert all(100 <= len(chunk.text.split()) <= 500 for chunk in chunks)
    queries = invent_queries(chunks, 20, seed=1)
    assert queries == invent_queries(chunks, 20, seed=1)
    assert all(6 <= len(query.split()) <= 20 for query in queries)
