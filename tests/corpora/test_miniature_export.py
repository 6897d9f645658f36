"""Draws of the miniature as official files: what comes back through the official loaders."""

from collections import Counter
from pathlib import Path

import pytest
from corpora_files import cited, draw, words

from rmtbench.core import Draw
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.export import export_draw
from rmtbench.corpora.miniature.dataset import Miniature
from rmtbench.corpora.open import open_dataset


def read_back(made: Draw, folder: Path) -> Draw:
    export_draw(made, folder)
    return open_dataset(made.corpus.dataset, folder, {}).draw(DrawRequest(made.corpus.size, 0), words)


def texts(made: Draw) -> Counter[tuple[str, str]]:
    return Counter((document.title, document.text) for document in made.corpus.documents)


@pytest.mark.parametrize("size", ["smoke", "small", "large"])
def test_hotpotqa_style_comes_back_from_an_official_file(tmp_path: Path, size: str) -> None:
    made = draw(Miniature("hotpotqa"), size)
    again = read_back(made, tmp_path / "out")
    assert texts(again) == texts(made)
    assert sorted(again.corpus.questions, key=lambda q: q.id) == sorted(made.corpus.questions, key=lambda q: q.id)
    # The official format has one answer a question: the one to show.
    assert {gold.question_id: gold.references for gold in again.gold} == {
        gold.question_id: gold.references[:1] for gold in made.gold
    }
    spans, spans_again = cited(made), cited(again)
    assert {name: sorted(facts) for name, facts in spans_again.items()} == {
        name: sorted(facts) for name, facts in spans.items()
    }


def test_squad_style_keeps_references_and_answer_places(tmp_path: Path) -> None:
    made = draw(Miniature("squad"), "small")
    again = read_back(made, tmp_path / "out")
    assert texts(again) == texts(made)
    assert {q.id: q.text for q in again.corpus.questions} == {q.id: q.text for q in made.corpus.questions}
    golds = {gold.question_id: gold for gold in again.gold}
    titles = {document.id: document.title for document in (*made.corpus.documents, *again.corpus.documents)}
    for gold in made.gold:
        ((span,),), (spans,) = gold.evidence, golds[gold.question_id].evidence
        assert golds[gold.question_id].references == gold.references
        assert (titles[span.document_id], span.start, span.end) in {
            (titles[each.document_id], each.start, each.end) for each in spans
        }
        assert all(each.start < span.end and span.start < each.end for each in spans)


def test_triviaqa_style_comes_back_but_for_what_has_no_answer(tmp_path: Path) -> None:
    made = draw(Miniature("triviaqa"), "small")
    again = read_back(made, tmp_path / "out")
    assert texts(again) == texts(made)
    asked = {question.id: question for question in made.corpus.questions}
    golds = {gold.question_id: gold for gold in made.gold}
    assert len(again.corpus.questions) >= 0.7 * sum(question.kind == "single" for question in asked.values())
    for question, gold in zip(again.corpus.questions, again.gold, strict=True):
        assert asked[question.id].text == question.text
        assert asked[question.id].kind == "single"
        assert golds[question.id].references == gold.references
