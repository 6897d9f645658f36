"""TriviaQA's answers: which texts are accepted, and where evidence states one."""

import pytest

from rmtbench.core import Span
from rmtbench.corpora.official import trivia_references
from rmtbench.corpora.rows import TriviaDocument
from rmtbench.corpora.triviaqa import MOST_SPANS, find_answers
from rmtbench.normalize import normalize_triviaqa


def answer(*aliases: str, **more) -> dict:
    return {"Aliases": list(aliases), "NormalizedAliases": [normalize_triviaqa(one) for one in aliases], **more}


@pytest.mark.parametrize(
    ("given", "references"),
    [
        (answer("The Petrel", "Petrel (ship)", Value="Petrel"), ("Petrel", "The Petrel", "Petrel (ship)")),
        (answer("Petrel", "Petrel", Value="Petrel"), ("Petrel",)),
        # The official ground truths are the normal forms: what they do not have is dropped, what they alone have added.
        ({"Aliases": ["Petrel", "Tern"], "NormalizedAliases": ["petrel"], "Value": "Auk"}, ("Petrel",)),
        (
            {"Aliases": ["Petrel"], "NormalizedAliases": ["petrel ship", "auk", "petrel"]},
            ("Petrel", "auk", "petrel ship"),
        ),
        ({"NormalizedAliases": ["petrel"], "Value": None}, ("petrel",)),
        ({"NormalizedAliases": ["petrel"], "HumanAnswers": ["S.S. Petrel"]}, ("S.S. Petrel", "petrel")),
        # "The" has an empty normal form; a missing value, which is empty too, is not taken for it.
        ({"Aliases": ["The"], "NormalizedAliases": ["", "band"]}, ("The", "band")),
    ],
)
def test_references_are_official_normal_forms(given: dict, references: tuple[str, ...]) -> None:
    assert trivia_references(given, "row 0") == references
    truths = {*given["NormalizedAliases"], *map(normalize_triviaqa, given.get("HumanAnswers", []))}
    assert {normalize_triviaqa(reference) for reference in references} == truths


@pytest.mark.parametrize(
    ("references", "text", "found"),
    [
        (["Petrel"], "A petrel, the PETREL; no petrels.", ["petrel", "PETREL"]),
        (["Petrel", "Petrel Ship"], "The petrel ship.", ["petrel ship"]),
        (["S.S. Petrel"], "On the SxS. Petrel, on the S.S. Petrel.", ["S.S. Petrel"]),
        (["$5"], "It cost $5 or US$5, not $50.", ["$5"]),
        (["Été"], "En été.", ["été"]),
        (["ship Petrel"], "One; a ship (the 'Petrel'). A SHIP: Petrel!", ["ship (the 'Petrel", "SHIP: Petrel"]),
        (["–ship Petrel"], "A the–ship Petrel.", ["A the–ship Petrel."]),  # an article that ends within a word
        (["hip"], "A ship.", []),
        (["The"], "A ship.", []),  # its normal form is empty and would be everywhere
    ],
)
def test_an_answer_is_found_at_word_boundaries_in_any_case(references: list[str], text: str, found: list[str]) -> None:
    spans = find_answers(references, TriviaDocument("d", "D", text))
    assert [text[span.start : span.end] for span in spans] == found


def test_every_place_of_a_frequent_answer_is_cited() -> None:
    text = "France is mentioned here. " * 200
    spans = find_answers(["France"], TriviaDocument("d", "D", text))
    assert [span.start for span in spans] == [26 * number for number in range(200)]


def test_a_frequent_answer_is_cited_so_often_and_no_more() -> None:
    spans = find_answers(["a"], TriviaDocument("d", "D", "a b " * (MOST_SPANS + 9)))
    assert spans == [Span("d", 4 * number, 4 * number + 1) for number in range(MOST_SPANS)]
