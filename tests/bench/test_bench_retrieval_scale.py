"""The bench of indexes in files: every promised figure, the same text whenever it is read, and no stage done twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rmtbench.bench.retrieval_scale import InventedChunks, run
from rmtbench.errors import UserError
from rmtbench.options.benches import ScaleBench
from rmtbench.retrieval.bm25 import FastBM25Index
from rmtbench.retrieval.bm25_files import open_bm25
from rmtbench.retrieval.identity import chunks_hash


@pytest.mark.parametrize("kind", ["pq", "hnsw"])
def test_small_bench_gives_figures_and_is_not_repeated(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    asked = ScaleBench(chunks=1500, queries=12, kind=kind, folder=tmp_path)
    figures = run(asked, k=5, dimension=16).to_json()
    for part in ("sparse", "dense"):
        assert figures[part]["build_s"] > 0
        assert figures[part]["build_peak_bytes"] > 10**7
        assert figures[part]["disk_bytes"] > 1500 * 16 * 4
    assert 0 < figures["sparse"]["query_ms"] <= figures["sparse"]["query_p99_ms"]
    efforts = figures["dense"]["efforts"]
    assert [row["effort"] for row in efforts] == sorted(row["effort"] for row in efforts)
    assert efforts[-1]["recall"] == 1.0
    assert all(row["time_ratio"] > 0 for row in efforts)
    assert json.loads(json.dumps(figures)) == figures
    said: list[str] = []
    again = run(asked, k=5, dimension=16, report=said.append).to_json()
    assert said == []
    assert (again["sparse"], again["dense"]) == (figures["sparse"], figures["dense"])
    with pytest.raises(UserError, match="a bench with other settings"):
        run(replace(asked, chunks=1600), k=5, dimension=16)


def test_invented_chunks_are_searched_as_in_memory(tmp_path: Path) -> None:
    chunks = InventedChunks(1200)
    run(ScaleBench(chunks=1200, queries=10, kind="flat", folder=tmp_path), dimension=8)
    listed = list(chunks)
    assert listed == list(chunks)
    assert len({chunk.text for chunk in listed}) == 1200
    assert all(100 <= len(chunk.text.split()) <= 500 for chunk in listed)
    queries = chunks.queries(20)
    assert all(6 <= len(query.split()) <= 20 for query in queries)
    kept = open_bm25(tmp_path / "sparse", chunks_hash(chunks))
    assert kept.search(queries, 10) == FastBM25Index(listed).search(queries, 10)
