"""Text of passages in the page: read again where the documents are, and believed by their hash only."""

import json

import pytest
from large_results import rewrite, rows_of
from page_cases import data_of, page_of
from report_runs import add_run, spec_of
from typer.testing import CliRunner

from rmtbench.cli.main import make_app
from rmtbench.core import Answer, Document
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.miniature.dataset import Miniature
from rmtbench.corpora.open import open_dataset
from rmtbench.models.load import load_token_counter
from rmtbench.report.page.outcomes import flag, outcome
from rmtbench.report.page.passages import cut_passages

TEXT = "Alpha was first. Beta came after it. Gamma was third."


def own_folder(place, text=TEXT):
    """A folder of one document and one question."""
    (place / "documents").mkdir(parents=True)
    (place / "documents" / "letters.md").write_text(f"# Letters\n\n{text}\n")
    row = {
        "question": "What came after Alpha?",
        "answers": ["Beta"],
        "evidence": [{"document": "letters.md", "text": "Beta"}],
    }
    (place / "questions.jsonl").write_text(json.dumps(row) + "\n")
    return place


def add_reading_run(results, dataset, draw, **fields):
    """A run whose answers name passages of a draw: each retrieved the first characters of the first document."""
    source = draw.corpus.source
    spec = spec_of("rag-sparse", top_k=1, dataset=dataset, draws=1, **fields)
    folder = add_run(results, spec, questions=1)
    corpora, gold, answers = (rows_of(path) for path in (folder.corpora, folder.gold, folder.answers))
    corpora[0] |= {
        "sha256": draw.corpus.sha256,
        "source": {"kind": source.kind, "name": source.name, "sha256": source.sha256},
    }
    first = draw.corpus.documents[0]
    answers[0]["retrieved"] = [[first.id, 0, 20, 1.0]]
    gold[0]["evidence"] = [[[first.id, 17, 36]]]
    for path, rows in ((folder.corpora, corpora), (folder.gold, gold), (folder.answers, answers)):
        rewrite(path, rows)
    return first


def texts_of(page):
    """The passages and the reason of the only corpus."""
    (corpus,) = data_of(page)["corpora"]
    return (None if corpus["texts"] is None else data_of(page, f"block-{corpus['texts']}")), corpus["why"]


def test_an_own_folder_that_is_still_there_gives_its_text(tmp_path):
    folder = own_folder(tmp_path / "papers")
    draw = open_dataset(str(folder), None, {}).draw(DrawRequest("all", 0), lambda texts: [1] * len(texts))
    add_reading_run(tmp_path / "results", str(folder), draw, size="all")
    texts, why = texts_of(page_of(tmp_path / "results"))
    assert texts == {"letters.md": ["Letters", [[0, TEXT[:36]]]]}
    assert why == ""


def test_documents_that_have_changed_are_not_shown(tmp_path):
    folder = own_folder(tmp_path / "papers")
    draw = open_dataset(str(folder), None, {}).draw(DrawRequest("all", 0), lambda texts: [1] * len(texts))
    add_reading_run(tmp_path / "results", str(folder), draw, size="all")
    (folder / "documents" / "letters.md").write_text("# Letters\n\nSomething else came after Beta since.\n")
    page = page_of(tmp_path / "results")
    assert texts_of(page) == (None, "The documents have changed since the run was made.")
    assert "Something else" not in page


def test_a_folder_that_is_gone_is_told_without_its_path(tmp_path):
    folder = own_folder(tmp_path / "papers")
    draw = open_dataset(str(folder), None, {}).draw(DrawRequest("all", 0), lambda texts: [1] * len(texts))
    add_reading_run(tmp_path / "results", str(folder), draw, size="all")
    (folder / "documents" / "letters.md").unlink()
    (folder / "documents").rmdir()
    texts, why = texts_of(page_of(tmp_path / "results"))
    assert texts is None
    assert why == "The folder of documents is not where it was when the run was made."


def test_passages_of_the_handbook_come_by_themselves(tmp_path):
    draw = open_dataset("handbook", None, {}).draw(DrawRequest("all", 0), lambda texts: [1] * len(texts))
    first = add_reading_run(tmp_path, "handbook", draw, size="all")
    texts, _ = texts_of(page_of(tmp_path))
    assert texts == {first.id: [first.title, [[0, first.text[:36]]]]}


def test_other_data_is_read_on_request_only(tmp_path):
    count = load_token_counter("mini")
    draw = Miniature("hotpotqa").draw(DrawRequest("smoke", 0), count)
    first = add_reading_run(tmp_path, "hotpotqa", draw, model="mini", size="smoke")
    texts, why = texts_of(page_of(tmp_path))
    assert texts is None
    assert "rmtbench report --passages" in why
    texts, why = texts_of(page_of(tmp_path, "all"))
    assert texts == {first.id: [first.title, [[0, first.text[:36]]]]}


def test_a_draw_that_comes_out_otherwise_is_not_believed(tmp_path):
    count = load_token_counter("mini")
    draw = Miniature("hotpotqa").draw(DrawRequest("smoke", 1), count)
    add_reading_run(tmp_path, "hotpotqa", draw, model="mini", size="smoke")
    texts, why = texts_of(page_of(tmp_path, "all"))
    assert texts is None
    assert why == "The data set is not the one of the run: another draw came out."


def test_official_files_are_asked_for_and_no_network_is(tmp_path):
    add_run(tmp_path, spec_of("rag-sparse", top_k=1, draws=1))
    texts, why = texts_of(page_of(tmp_path, "all", {}))
    assert texts is None
    assert "RMTBENCH_DATA" in why


def test_nobody_reads_anything_for_a_page_without_passages(tmp_path):
    draw = open_dataset("handbook", None, {}).draw(DrawRequest("all", 0), lambda texts: [1] * len(texts))
    add_reading_run(tmp_path, "handbook", draw, size="all")
    texts, why = texts_of(page_of(tmp_path, "none"))
    assert texts is None
    assert "not asked for" in why


def test_runs_over_the_same_documents_share_one_text(tmp_path):
    draw = open_dataset("handbook", None, {}).draw(DrawRequest("all", 0), lambda texts: [1] * len(texts))
    add_reading_run(tmp_path, "handbook", draw, size="all")
    add_reading_run(tmp_path, "handbook", draw, size="all", chunk_tokens=64)
    data = data_of(page_of(tmp_path))
    assert len(data["corpora"]) == 1
    assert data["draws"] == [{"0": 0}]
    assert [run["draws"] for run in data["runs"]] == [0, 0]


def test_touching_passages_become_one():
    documents = {"d": Document("d", "Title", "0123456789")}
    spans = {"d": {(0, 3), (3, 5), (4, 6), (8, 99)}, "gone": {(0, 2)}}
    assert cut_passages(documents, spans) == {"d": ["Title", [[0, "012345"], [8, "89"]]]}


def test_places_count_letters_and_not_bytes():
    assert cut_passages({"d": Document("d", "T", "a\U0001f680bc")}, {"d": {(1, 3)}}) == {
        "d": ["T", [[1, "\U0001f680b"]]]
    }


@pytest.mark.parametrize(
    ("text", "scores", "letter"),
    [
        ("blue", {"em": 1.0, "f1": 1.0}, "r"),
        ("unknown", {"em": 1.0, "f1": 1.0}, "r"),
        ("Unknown.", {"em": 0.0, "f1": 0.0}, "u"),
        ("The answer is unknown to most", {"em": 0.0, "f1": 0.0}, "w"),
        ("dark blue", {"em": 0.0, "f1": 0.5}, "p"),
        ("red", {"em": 0.0, "f1": None}, "w"),
        ("red", {}, "n"),
        ("unknown", {}, "u"),
        ("unknown " * 10**6, {"em": 0.0, "f1": 0.0}, "w"),
    ],
)
def test_what_became_of_an_answer_is_one_letter(text, scores, letter):
    assert outcome(Answer("q", text, "eos"), scores) == letter


def test_failed_answers_are_failed_and_nothing_else():
    failed = Answer("q", "", "error", error="out of memory")
    assert (outcome(failed, {"em": 0.0, "f1": 0.0}), flag(failed)) == ("f", " ")
    assert flag(Answer("q", " ", "eos")) == "e"
    assert flag(Answer("q", "long", "length")) == "c"


@pytest.mark.parametrize(
    ("flags", "held"), [((), True), (("--no-passages",), False), (("--passages",), True), (("--quick",), None)]
)
def test_the_command_asks_for_all_passages_or_for_none(tmp_path, flags, held):
    draw = open_dataset("handbook", None, {}).draw(DrawRequest("all", 0), lambda texts: [1] * len(texts))
    add_reading_run(tmp_path, "handbook", draw, size="all")
    ended = CliRunner().invoke(make_app(), ["report", str(tmp_path), *flags])
    assert ended.exit_code == 0, ended.output
    path = tmp_path / "report" / "index.html"
    assert path.exists() == (held is not None)
    if held is not None:
        assert (texts_of(path.read_text(encoding="utf-8"))[0] is not None) == held
