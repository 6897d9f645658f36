"""Questions and answers in Chromium: systems side by side, passages with their evidence, filters, and deep links."""

import json

import pytest
from large_results import rewrite, rows_of
from page_cases import show, write_page
from report_runs import add_run, spec_of

from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.open import open_dataset

pytestmark = pytest.mark.browser

RIGHT = {"cag": (1, 1, 0, 0, 1, 0), "rag-sparse": (1, 0, 1, 0, 0, 0), "rag-dense": (0, 0, 0, 1, 1, 0)}
"""Which of six questions each system answers rightly; of those not right by cag, the last says ``unknown``."""
KINDS = ("number", "date", "number", "date", "name", "name")
PLACES = ([0.1], [0.1, 0.9], [0.5], [], [0.9], [0.9])


def write_answers(folder, system, first):
    """Put questions, outcomes and passages of the handbook into a run."""
    gold, answers, scores = rows_of(folder.gold), rows_of(folder.answers), rows_of(folder.scores)
    for at, right in enumerate(RIGHT[system]):
        gold[at] |= {"question": f"Question number {at} of six?", "references": [f"reference {at}"], "kind": KINDS[at]}
        gold[at] |= {"positions": PLACES[at], "evidence": [[[first.id, 10, 30]]]}
        said = "unknown" if system == "cag" and at == 5 else f"{system} says {at}"
        answers[at] |= {"text": said, "raw": said, "error": None, "finish": "eos"}
        if system != "cag":
            answers[at]["retrieved"] = [[first.id, 0, 20, 2.5], [first.id, 40, 60, 1.5]]
        scores[at]["scores"] |= {"em": float(right), "f1": float(right)}
    if system == "rag-dense":
        answers[2] |= {"text": "", "raw": "", "error": "out of memory", "finish": "error"}
    for path, rows in ((folder.gold, gold), (folder.answers, answers), (folder.scores, scores)):
        rewrite(path, rows)


@pytest.fixture(scope="module")
def handbook(tmp_path_factory):
    """Three systems over the handbook, whose text the page may show; the page's path and the first document."""
    results = tmp_path_factory.mktemp("handbook")
    draw = open_dataset("handbook", None, {}).draw(DrawRequest("all", 0), lambda texts: [1] * len(texts))
    source, first = draw.corpus.source, draw.corpus.documents[0]
    for system in RIGHT:
        spec = spec_of(system, dataset="handbook", size="all", draws=1, top_k=None if system == "cag" else 2,
                       embedder="minilm" if system == "rag-dense" else None)  # fmt: skip
        folder = add_run(results, spec, questions=6, kind="embedded")
        (corpus,) = rows_of(folder.corpora)
        kept = {"kind": source.kind, "name": source.name, "sha256": source.sha256}
        rewrite(folder.corpora, [corpus | {"sha256": draw.corpus.sha256, "source": kept}])
        write_answers(folder, system, first)
    return write_page(results), first


def questions_shown(page):
    return [row.locator("div").first.inner_text() for row in page.locator(".list .row").all()]


def numbers_shown(page, count):
    page.wait_for_function(
        "(count) => document.querySelector('#panel p[aria-live]').textContent.startsWith(`${count} of`)", arg=count
    )
    return [int(text.split()[2]) for text in questions_shown(page)]


def select(page, label, value):
    page.get_by_role("combobox", name=label, exact=True).select_option(label=value)


def open_answers(look, handbook, fragment="#tab=Answers", **options):
    page = look(handbook[0], **options)
    page.goto(handbook[0].as_uri() + fragment)
    page.reload()
    page.locator(".answers .answer").first.wait_for()
    return page


def test_all_systems_answer_one_question_side_by_side(look, handbook):
    page = open_answers(look, handbook, width=1400)
    cards = page.locator(".answers .answer")
    assert cards.locator("h4").all_inner_texts() == ["cag", "rag-sparse top-2", "rag-dense top-2"]
    assert cards.locator("p.badge").all_inner_texts() == ["right", "right", "wrong"]
    assert "cag says 0" in cards.nth(0).inner_text()
    tops = [card.bounding_box()["y"] for card in cards.all()]
    assert tops[0] == tops[1]


def test_passages_show_their_text_with_the_gold_evidence_marked(look, handbook):
    page = open_answers(look, handbook)
    text = handbook[1].text
    card = page.locator(".answer", has=page.get_by_role("heading", name="rag-sparse"))
    passages = card.locator(".passages li")
    assert passages.locator(".text").all_text_contents() == [text[0:20], text[40:60]]
    assert passages.locator("mark").all_text_contents() == [text[10:20]]
    assert "holds evidence" in passages.nth(0).inner_text()
    assert page.locator(".detail > .passages mark").text_content() == text[10:30]


def test_passages_without_text_say_why_and_give_place_and_score(look, usual):
    page = look(usual / "index.html")
    page.goto((usual / "index.html").as_uri() + "#tab=Answers")
    page.reload()
    select(page, "Other system", next(
        text for text in page.get_by_label("Other system").locator("option").all_inner_texts() if "top-10" in text
    ))  # fmt: skip
    card = page.locator(".answer", has=page.get_by_role("heading", name="rag-sparse top-10"))
    card.get_by_role("region", name="Retrieved passages").wait_for()
    assert "rmtbench report --passages" in card.inner_text()
    assert "0–4" in card.inner_text()


@pytest.mark.parametrize(
    ("one", "is_", "other", "but", "numbers"),
    [
        ("cag", "right", "rag-sparse top-2", "not right", [1, 4]),
        ("cag", "not right", "rag-sparse top-2", "right", [2]),
        ("rag-dense top-2", "right", "cag", "wrong", [3]),
        ("cag", "“unknown”", "none", None, [5]),
        ("cag", "anything", "rag-dense top-2", "failed", [2]),
        ("cag", "right", "rag-dense top-2", "right", [4]),
    ],
)
def test_any_two_systems_can_be_held_against_each_other(look, handbook, one, is_, other, but, numbers):
    page = open_answers(look, handbook)
    label = lambda name: f"{name} (1 failed)" if "dense" in name else name  # noqa: E731
    if other == "cag":
        select(page, "Other system", "none")
    select(page, "System", label(one))
    select(page, "Other system", label(other))
    select(page, "…its answer is", is_)
    if but:
        select(page, "…the other's is", but)
    assert numbers_shown(page, len(numbers)) == numbers


def test_filters_by_kind_place_and_words_work_together(look, handbook):
    page = open_answers(look, handbook)
    select(page, "Evidence is in", "the last fifth")
    assert numbers_shown(page, 3) == [1, 4, 5]
    select(page, "Kind of question", "name")
    assert numbers_shown(page, 2) == [4, 5]
    page.get_by_label("Search in").fill("UNKNOWN question")
    assert numbers_shown(page, 1) == [5]
    page.get_by_role("button", name="All questions").click()
    assert numbers_shown(page, 6) == [0, 1, 2, 3, 4, 5]
    select(page, "Evidence is in", "no known place")
    assert numbers_shown(page, 1) == [3]


def test_one_button_asks_where_one_is_right_and_the_other_is_not(look, handbook):
    page = open_answers(look, handbook)
    page.get_by_role("button", name="cag right, rag-sparse top-2 not").click()
    assert numbers_shown(page, 2) == [1, 4]
    page.get_by_role("button", name="rag-sparse top-2 right, cag not").click()
    assert numbers_shown(page, 1) == [2]
    page.get_by_role("button", name="Both not right").click()
    assert numbers_shown(page, 2) == [3, 5]


def test_a_link_leads_to_the_same_filter_and_question(look, handbook):
    page = open_answers(look, handbook)
    page.get_by_role("button", name="cag right, rag-sparse top-2 not").click()
    numbers_shown(page, 2)
    page.locator(".list .row").nth(1).click()
    page.locator(".detail .asked", has_text="Question number 4").wait_for()
    address = page.url
    again = look(handbook[0])
    again.goto(address)
    again.reload()
    again.locator(".detail .asked", has_text="Question number 4").wait_for()
    assert numbers_shown(again, 2) == [1, 4]
    assert again.get_by_role("tab", name="Answers").get_attribute("aria-selected") == "true"
    assert again.url == address


def test_back_and_forward_go_through_tabs_filters_and_questions(look, handbook):
    page = look(handbook[0])
    show(page, "Tables")
    show(page, "Answers")
    numbers_shown(page, 6)
    page.get_by_role("button", name="Both not right").click()
    numbers_shown(page, 2)
    page.locator(".list .row").nth(1).click()
    page.locator(".detail .asked", has_text="Question number 5").wait_for()
    page.go_back()
    page.locator(".detail .asked", has_text="Question number 3").wait_for()
    page.go_back()
    assert numbers_shown(page, 6) == [0, 1, 2, 3, 4, 5]
    page.go_back()
    page.wait_for_selector("#panel[aria-labelledby=tab-Tables]")
    page.go_back()
    page.wait_for_selector("#panel[aria-labelledby=tab-Summary]")
    for _ in range(4):
        page.go_forward()
    page.locator(".detail .asked", has_text="Question number 5").wait_for()


def test_reloading_keeps_what_was_typed_and_decided(look, handbook):
    page = look(handbook[0])
    show(page, "Decision")
    page.get_by_label("Longest wait").fill("1.5")
    page.wait_for_url("**max_seconds=1.5*")
    verdict = page.locator(".verdict").inner_text()
    page.reload()
    assert page.get_by_label("Longest wait").input_value() == "1.5"
    assert page.locator(".verdict").inner_text() == verdict
    show(page, "Tables")
    page.get_by_label("Show rows").fill("cag")
    page.wait_for_url("**rows=cag*")
    page.reload()
    assert page.get_by_label("Show rows").input_value() == "cag"


def test_arrow_keys_move_the_chosen_question_and_its_address(look, handbook):
    page = open_answers(look, handbook)
    page.locator(".list").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.locator(".detail .asked", has_text="Question number 3").wait_for()
    page.wait_for_url("**question=0%3A*")
    page.go_back()
    page.wait_for_function("() => !location.hash.includes('question')")


def test_systems_asked_other_questions_are_matched_by_question(look, tmp_path):
    add_run(tmp_path, spec_of(draws=1), questions=3)
    folder = add_run(tmp_path, spec_of("rag-sparse", top_k=1, draws=1), questions=3)
    for path in (folder.gold, folder.answers, folder.scores):
        rewrite(path, rows_of(path)[::-1])
    rows = rows_of(folder.answers)
    for row in rows:
        row |= {"text": f"said to {row['question_id']}", "raw": ""}
    rewrite(folder.answers, rows)
    page = look(write_page(tmp_path))
    show(page, "Answers")
    page.locator(".answers .answer").first.wait_for()
    assert "said to q0-0" in page.locator(".answer").nth(1).inner_text()
    assert json.loads(page.evaluate("JSON.stringify(document.title)")) == "Answers – rmtbench report"
