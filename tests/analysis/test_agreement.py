"""A run that is not exact has a row of its own, is named as such, and tells how many answers are the exact ones."""

from __future__ import annotations

import json
from pathlib import Path

from report_runs import add_run, spec_of

from rmtbench.journal.layout import RunFolder
from rmtbench.report.markdown import table as drawn
from rmtbench.report.tables import Chapter
from rmtbench.report.write import write_report

COMPOSED = (("prefix", "composed"), ("recompute", "0.15"))


def rewrite(folder: RunFolder, number: int, ids: list[int]) -> None:
    """Have one answer be other tokens; without any it is empty."""
    rows = [json.loads(line) for line in folder.answers.read_text().splitlines()]
    rows[number] |= {"output_ids": ids} | ({} if ids else {"text": "", "raw": ""})
    folder.answers.write_text("".join(json.dumps(row) + "\n" for row in rows))


def texts(results: Path) -> tuple[str, str]:
    [chapter] = write_report(results, quick=True).chapters
    scores = next(drawn(table) for table in chapter.tables if table.title.startswith("Table 2: scores"))
    found = [drawn(table) for table in chapter.anatomy if "not exact" in table.title]
    return scores, found[0] if found else ""


def test_agreement_and_score_difference_stand_beside_the_run(tmp_path: Path) -> None:
    exact = add_run(tmp_path, spec_of(), score=0.6, seconds=2.0)
    other = add_run(tmp_path, spec_of(settings=COMPOSED), score=0.5)
    rewrite(other, 3, [5, 6, 8])
    scores, table = texts(tmp_path)
    name = exact.path.name.rpartition("-")[2]
    assert "| cag, prefix=composed, recompute=0.15 |" in scores
    assert "not exact, from caches that the model would not have computed so" in scores
    assert f"7 of 8 answers are token for token the exact run's (87.5%; run {name})" in scores
    row = next(line for line in table.splitlines() if "prefix=composed" in line)
    assert [cell.strip() for cell in row.split("|")[5:-1]][:5] == [name, "7 of 8", "0.875", "-0.100", "-0.100"]


def test_chunk_caches_compare_with_same_retrieval(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of("rag-sparse", top_k=1))
    plain = add_run(tmp_path, spec_of("rag-sparse", top_k=3), seconds=4.0)
    add_run(tmp_path, spec_of("rag-sparse", top_k=3, settings=(("chunk_cache", "2GB"),)), seconds=1.0)
    _, table = texts(tmp_path)
    row = next(line for line in table.splitlines() if "chunk_cache" in line)
    assert plain.path.name.rpartition("-")[2] in row
    assert "8 of 8" in row
    assert row.rstrip(" |").endswith("600 ms / 2.40 s")


def test_failed_answers_are_not_compared(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of(), failed=2)
    add_run(tmp_path, spec_of(settings=(("kv_bits", "8"),)))
    assert "6 of 6 answers" in texts(tmp_path)[0]


def test_an_empty_answer_differs_from_one_with_words(tmp_path: Path) -> None:
    exact = add_run(tmp_path, spec_of())
    other = add_run(tmp_path, spec_of(settings=(("kv_bits", "4"),)))
    rewrite(other, 2, [])
    rewrite(exact, 5, [])
    rewrite(other, 5, [])
    assert "7 of 8 answers" in texts(tmp_path)[0]


def test_without_exact_run_nothing_is_claimed(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of(settings=(("kv_bits", "4"),)))
    add_run(tmp_path, spec_of(draws=1))
    scores, table = texts(tmp_path)
    assert "kv_bits=4 (run" in scores
    assert "no exact run has answered the same questions" in scores
    assert "–" in table


def test_a_report_of_exact_runs_says_nothing_of_it(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of(settings=(("kv_cache", "on"),)))
    add_run(tmp_path, spec_of(settings=(("prefix", "plain"),)))
    scores, table = texts(tmp_path)
    assert "exact" not in scores
    assert table == ""


INT8 = (("weights", "int8"),)


def test_int8_weights_have_tables_of_their_own_beside_native(tmp_path: Path) -> None:
    native = add_run(tmp_path, spec_of("full-context"), score=0.6, seconds=2.0)
    few = add_run(tmp_path, spec_of("full-context", settings=INT8), score=0.5)
    rewrite(few, 3, [5, 6, 8])
    first, second = write_report(tmp_path, quick=True).chapters
    assert "int8" not in drawn_whole(first)
    name = native.path.name.rpartition("-")[2]
    assert "8b, int8 weights, official data" in second.title
    assert f"7 of 8 answers are token for token those with native weights (87.5%; run {name})" in drawn_whole(second)
    [table] = [drawn(table) for table in second.anatomy if table.title.startswith("Anatomy: int8 weights")]
    row = next(line for line in table.splitlines() if "weights=int8" in line)
    assert [cell.strip() for cell in row.split("|")[5:-1]][:5] == [name, "7 of 8", "0.875", "-0.100", "-0.100"]


def test_int8_weights_are_not_compared_with_another_machine(tmp_path: Path) -> None:
    add_run(tmp_path, spec_of(), provenance={"machine": "four cores"})
    add_run(tmp_path, spec_of(settings=INT8))
    told = "".join(map(drawn_whole, write_report(tmp_path, quick=True).chapters))
    assert "no run with native weights has answered the same questions" in told


def drawn_whole(chapter: Chapter) -> str:
    return "\n".join(map(drawn, chapter.tables))
