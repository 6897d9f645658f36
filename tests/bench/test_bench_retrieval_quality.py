"""The bench of retrieval on a data set: figures that can be worked out by hand; data without evidence is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmtbench.bench.retrieval_quality import run
from rmtbench.cli.bench_tables import quality_table
from rmtbench.errors import UserError
from rmtbench.options.benches import QualityBench

TOWNS = ("Arden", "Belmo", "Corvin", "Dunmere")


def own_folder(folder: Path, *, evidence: bool) -> Path:
    """Four towns, whose mayors are asked for by the town's name."""
    (folder / "documents").mkdir(parents=True)
    rows = []
    for town in TOWNS:
        sentence = f"The mayor of {town} is Tam {town[::-1].title()}."
        (folder / "documents" / f"{town}.md").write_text(f"{town} lies by a river.\n\n{sentence}\n")
        row = {"question": f"Who is the mayor of {town}?", "answers": [town[::-1].title()]}
        rows.append(row | ({"evidence": [{"document": f"{town}.md", "text": sentence}]} if evidence else {}))
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_every_retriever_finds_what_only_one_document_can_tell(tmp_path: Path, cross_encoder: Path) -> None:
    own = str(own_folder(tmp_path / "own", evidence=True))
    found = run(QualityBench(dataset=own, size="all", reranker=str(cross_encoder)))
    figures = found.to_json()
    rows = {row["retriever"]: row for row in figures["rows"]}
    assert list(rows) == ["sparse", "sparse, stemmed", "dense", "hybrid", "hybrid, stemmed", "hybrid, reranked"]
    for name in ("sparse", "sparse, stemmed", "dense", "hybrid", "hybrid, stemmed"):
        assert (rows[name]["recall@1"], rows[name]["recall@10"], rows[name]["mrr"]) == (1.0, 1.0, 1.0), name
    assert rows["hybrid, reranked"]["recall@5"] == 1.0
    assert rows["hybrid, reranked"]["mrr"] < 1.0, "random weights know no mayor"
    assert rows["sparse"]["recall@5_standard_error"] is None
    assert (figures["questions"], figures["chunks"], figures["hybrid_over_better"]["difference"]) == (4, 4, 0.0)
    assert json.loads(json.dumps(figures)) == figures
    table = quality_table(found)
    assert table.rows[0] == ("sparse", "1.000", "1.000", "1.000", "1.000", "1.000")


def test_data_without_evidence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no question has evidence"):
        run(QualityBench(dataset=str(own_folder(tmp_path / "own", evidence=False)), size="all"))
