"""SQuAD: whole articles, every reference kept, every answer found again where it stands."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from corpora_files import check_same_draws_again, cited, draw, refusal, tokens, words, write_json

from rmtbench.core import Span
from rmtbench.corpora.base import Dataset
from rmtbench.corpora.open import open_dataset

FOUNDED = "Port Amaret was founded in 1642. It got its charter in 1688, 46 years after 1642."


def question(identity: str, *answers: tuple[str, int]) -> dict:
    return {
        "id": identity,
        "question": f" What about {identity}? ",
        "answers": [{"text": text, "answer_start": start} for text, start in answers],
    }


def paragraph(context: str, *questions: dict) -> dict:
    return {"context": context, "qas": list(questions)}


def article(title: str, *paragraphs: dict) -> dict:
    return {"title": title, "paragraphs": list(paragraphs)}


def opened(folder: Path, articles: Sequence[dict]) -> Dataset:
    return open_dataset("squad", write_json(folder / "dev-v1.1.json", {"version": "1.1", "data": articles}), {})


def many(articles: int, paragraphs: int, questions: int) -> list[dict]:
    """Articles whose paragraphs each hold one answer to each of their questions."""
    return [
        article(
            f"Town_{number}",
            *(
                paragraph(
                    f"Street {place} of town {number} is {place + 7} miles long.",
                    *(question(f"{number}-{place}-{which}", (f"{place}", 7)) for which in range(questions)),
                )
                for place in range(paragraphs)
            ),
        )
        for number in range(articles)
    ]


def test_all_references_are_kept_in_order_and_duplicates_once(tmp_path: Path) -> None:
    asked = question("q", ("1642", 27), ("in 1642", 24), ("1642", 27), ("1642", 76))
    made = draw(opened(tmp_path, [article("Port_Amaret", paragraph(FOUNDED, asked))]), "smoke")
    [gold] = made.gold
    assert gold.references == ("1642", "in 1642")
    assert cited(made) == {"q": [["1642", "in 1642", "1642"]]}, "one fact, stated by any of three spans"
    assert [(span.start, span.end) for span in gold.evidence[0]] == [(27, 31), (24, 31), (76, 80)]
    assert [(one.text, one.kind) for one in made.corpus.questions] == [("What about q?", "span")]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Grey_Pans_(Vessay)", "Grey Pans (Vessay)"),
        ("Beyonc%C3%A9", "Beyoncé"),
        ("Amaret%2C_Port", "Amaret, Port"),
        ("Vessay", "Vessay"),
    ],
)
def test_titles_lose_underscores_and_percent_signs(tmp_path: Path, written: str, read: str) -> None:
    made = draw(opened(tmp_path, [article(written, paragraph(FOUNDED, question("q", ("1642", 27))))]), "smoke")
    assert [(document.id, document.title) for document in made.corpus.documents] == [(read, read)]
    assert made.corpus.documents[0].text == FOUNDED, "the title is no part of the text"


def test_articles_of_one_title_are_told_apart(tmp_path: Path) -> None:
    articles = [article("Quay", paragraph(f"Quay {number}.", question(f"q{number}", ("Quay", 0)))) for number in "123"]
    made = draw(opened(tmp_path, articles), "small")
    assert [document.id for document in made.corpus.documents] == ["Quay", "Quay (2)", "Quay (3)"]
    assert {document.title for document in made.corpus.documents} == {"Quay"}


def test_paragraphs_are_apart_and_answers_move_along(tmp_path: Path) -> None:
    second = paragraph("Founded: 1642. Burnt: 1642.", question("b", ("1642", 22)))
    made = draw(opened(tmp_path, [article("T", paragraph(FOUNDED, question("a", ("1688", 55))), second)]), "smoke")
    assert made.corpus.documents[0].text == f"{FOUNDED}\n\nFounded: 1642. Burnt: 1642."
    start = len(FOUNDED) + 2 + 22
    assert {gold.question_id: gold.evidence for gold in made.gold} == {
        "a": ((Span("T", 55, 59),),),
        "b": ((Span("T", start, start + 4),),),
    }


@pytest.mark.parametrize(
    ("answer", "annotated", "start", "end", "astray"),
    [
        ("1642", 76, 76, 80, 0),
        ("1642", 70, 76, 80, 1),  # not there: the nearest occurrence
        ("1642", 3, 27, 31, 1),
        ("1642", 5000, 76, 80, 1),
        (".", -1, 31, 32, 1),  # not counted from the end
        ("1999", 27, 0, len(FOUNDED), 1),  # nowhere: the whole paragraph
    ],
)
def test_an_answer_lies_where_it_is_annotated_or_else_nearby(
    tmp_path: Path, answer: str, annotated: int, start: int, end: int, astray: int
) -> None:
    articles = [article("T", paragraph(FOUNDED, question("q", (answer, annotated))))]
    dataset = opened(tmp_path, articles)
    assert draw(dataset, "smoke").gold[0].evidence == ((Span("T", start, end),),)
    assert dataset.facts().notes["answers not where they are annotated"] == astray


def test_repeated_paragraph_is_kept_once_and_asked_twice(tmp_path: Path) -> None:
    shared = "The ferry has run since 1858."
    articles = [
        article(
            "One", paragraph("First.", question("a", ("First", 0))), paragraph(shared, question("b", ("1858", 24)))
        ),
        article("Two", paragraph(shared, question("c", ("ferry", 4))), paragraph("Second.")),
        article("Three", paragraph(shared, question("d", ("since", 18)))),
    ]
    dataset = opened(tmp_path, articles)
    made = draw(dataset, "small")
    texts = [document.text for document in made.corpus.documents]
    assert "\n\n".join(texts).count(shared) == 1
    assert "" not in texts
    assert cited(made) == {"a": [["First"]], "b": [["1858"]], "c": [["ferry"]], "d": [["since"]]}
    assert dataset.facts().notes["duplicate paragraphs"] == 2


def test_questions_of_one_id_are_refused_and_not_dropped(tmp_path: Path) -> None:
    articles = [article(name, paragraph(FOUNDED, question("0", ("1642", 27)))) for name in ("One", "Two")]
    told = ("", "question id '0' stands twice", "make the ids unique")
    assert refusal(lambda: opened(tmp_path, articles), tmp_path / "dev-v1.1.json") == told


@pytest.mark.parametrize(("size", "count"), [("small", 3), ("medium", 4), ("large", 7)])
def test_a_size_is_a_number_of_whole_articles(tmp_path: Path, size: str, count: int) -> None:
    articles = many(9, 5, 2)
    made = draw(opened(tmp_path, articles), size)
    whole = {"\n\n".join(entry["context"] for entry in one["paragraphs"]) for one in articles}
    assert len(made.corpus.documents) == len({document.text for document in made.corpus.documents} & whole) == count
    assert len(made.corpus.questions) == count * 10, "all of them, where there are fewer than 500"


def test_the_first_500_of_the_shuffled_questions_are_asked(tmp_path: Path) -> None:
    dataset = opened(tmp_path, many(3, 60, 4))
    asked = draw(dataset, "small").corpus.questions
    assert len({one.id for one in asked}) == 500
    assert len({one.id.split("-")[0] for one in asked[:50]}) == 3, "the articles are mixed"
    fewer = draw(dataset, "small", questions=20)
    assert fewer.corpus.questions == asked[:20]
    assert [gold.question_id for gold in fewer.gold] == [one.id for one in asked[:20]]


def test_smoke_is_first_paragraphs_to_thousand_tokens(tmp_path: Path) -> None:
    contexts = [f"Paragraph {number}. {'word ' * 298}".strip() for number in range(5)]
    dataset = opened(tmp_path, [article("T", *(paragraph(one, question(one[10], ("word", 13))) for one in contexts))])
    made = draw(dataset, "smoke")
    assert made.corpus.documents[0].text == "\n\n".join(contexts[:3])
    assert {one.id for one in made.corpus.questions} == {"0", "1", "2"}


def test_smoke_holds_a_first_paragraph_however_long(tmp_path: Path) -> None:
    dataset = opened(
        tmp_path, [article("T", paragraph("word " * 2000, question("q", ("word", 0))), paragraph("More."))]
    )
    assert tokens(draw(dataset, "smoke")) == 2001


def test_too_few_articles_are_told_with_the_sizes_that_fit(tmp_path: Path) -> None:
    dataset = opened(tmp_path, many(5, 1, 1))
    assert refusal(lambda: draw(dataset, "large"), Path("dev-v1.1.json")) == (
        "",
        "size 'large' needs 7 articles; there are 5",
        "use more data, or --size smoke or small or medium",
    )


def test_a_draw_is_the_same_every_time_and_other_draws_differ(tmp_path: Path) -> None:
    check_same_draws_again(lambda: opened(tmp_path, many(9, 3, 2)), "small")


def test_facts_count_the_whole_file(tmp_path: Path) -> None:
    two = article("T", paragraph(FOUNDED, question("q", ("1642", 27), ("in 1642", 24)), question("r", ("46", 61))))
    facts = opened(tmp_path, [two, *many(2, 3, 1)]).facts()
    assert (facts.documents, facts.questions) == (3, 8)
    assert facts.notes == {
        "paragraphs": 7,
        "duplicate paragraphs": 0,
        "questions with several distinct references": 1,
        "answers not where they are annotated": 0,
    }


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "articles", "questions"), [("dev-subset-v1.1.json", 12, 2944), ("train-v1.1.subset44.json", 44, 11877)]
)
def test_real_articles_are_drawn_whole_with_answers(real_data: Path, file: str, articles: int, questions: int) -> None:
    dataset = open_dataset("squad", real_data / "squad" / file, {})
    facts = dataset.facts()
    assert (facts.documents, facts.questions) == (articles, questions)
    lengths = {}
    for size, count in {"smoke": 1, "small": 3, "medium": 4, "large": 7}.items():
        for number in range(4):
            made = draw(dataset, size, number)
            facts_cited = cited(made)
            assert len(made.corpus.documents) == count
            for gold in made.gold:
                assert set(facts_cited[gold.question_id][0]) == set(gold.references)
            assert size == "smoke" or len(made.corpus.questions) == 500
            assert not any(set("_%") & set(document.title) for document in made.corpus.documents)
            lengths.setdefault(size, []).append(sum(words([document.text for document in made.corpus.documents])))
    assert 500 < min(lengths["smoke"]) <= max(lengths["smoke"]) <= 1020
    assert sum(lengths["small"]) < sum(lengths["medium"]) < sum(lengths["large"])
    assert all(2_000 < total / 3 < 10_000 for total in lengths["small"])


@pytest.mark.real
def test_real_dev_questions_have_up_to_six_references(real_data: Path) -> None:
    golds = {
        file: [gold for number in range(4) for gold in draw(open_dataset("squad", path, {}), "large", number).gold]
        for file, path in (("dev", real_data / "squad"), ("train", real_data / "squad" / "train-v1.1.subset44.json"))
    }
    assert 2 < max(len(gold.references) for gold in golds["dev"]) <= 6
    assert all(len(gold.references) == len(set(gold.references)) for gold in golds["dev"])
    assert {len(gold.references) for gold in golds["train"]} == {1}
