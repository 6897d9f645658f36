"""Sizes in tokens: whole rows, articles or documents up to the budget, the named sizes left as they are."""

from __future__ import annotations

import pytest

from rmtbench.analysis.sections import size_order
from rmtbench.core import Source, token_budget
from rmtbench.corpora.base import Dataset, DrawRequest
from rmtbench.corpora.hotpotqa import HotpotQA
from rmtbench.corpora.miniature.dataset import Miniature
from rmtbench.corpora.rows import HotpotRow, SquadArticle, SquadParagraph, SquadQuestion
from rmtbench.corpora.squad import Squad
from rmtbench.errors import UserError
from rmtbench.spec import make_request

SOURCE = Source("official", "rows.json", "0" * 64)


def count(texts) -> list[int]:
    return [len(text.split()) for text in texts]


def total(dataset: Dataset, size: str) -> tuple[int, int, int]:
    corpus = dataset.draw(DrawRequest(size, 0), count).corpus
    tokens = sum(count([f"{document.title}\n{document.text}" for document in corpus.documents]))
    return tokens, len(corpus.documents), len(corpus.questions)


def hotpot(rows: int) -> HotpotQA:
    made = [
        HotpotRow(
            id=f"r{row}",
            question="Which?",
            answer="word",
            kind="bridge",
            facts=((f"T{row}", 0),),
            paragraphs=((f"T{row}", ("word " * 299,)),),
        )
        for row in range(rows)
    ]
    return HotpotQA(SOURCE, made)


def squad(articles: int, title: str = "") -> Squad:
    made = [
        SquadArticle(
            f"A{number}{title}",
            tuple(
                SquadParagraph(
                    f"{number}-{place} " + "word " * 99, (SquadQuestion(f"{number}-{place}", "Which?", (("word", 4),)),)
                )
                for place in range(15)
            ),
        )
        for number in range(articles)
    ]
    return Squad(SOURCE, made)


@pytest.mark.parametrize(("size", "tokens"), [("1k", 1_000), ("125k", 125_000), ("9999k", 9_999_000)])
def test_a_number_of_thousands_is_a_size(size: str, tokens: int) -> None:
    assert token_budget(size) == tokens
    assert make_request("mini", {"systems": ("cag",), "size": size}).size == size


@pytest.mark.parametrize("size", ["0k", "08k", "8", "8K", "8.5k", "k", "10000k", "-1k", "8k ", "٨k"])
def test_anything_else_is_none(size: str) -> None:
    assert token_budget(size) is None
    with pytest.raises(UserError, match="no size"):
        make_request("mini", {"systems": ("cag",), "size": size})


def test_hotpotqa_takes_whole_rows_while_the_next_one_fits() -> None:
    assert total(hotpot(9), "1k") == (900, 3, 3)
    assert total(hotpot(9), "2k") == (1_800, 6, 6)
    with pytest.raises(UserError, match="size '4k' needs 4,000 tokens; there are 2,700"):
        hotpot(9).draw(DrawRequest("4k", 0), count)


def test_squad_takes_whole_articles_and_cuts_last() -> None:
    tokens, documents, questions = total(squad(3), "2k")
    assert (documents, questions) == (2, 20)
    assert 1_960 <= tokens <= 2_040
    with pytest.raises(UserError, match="size '8k' needs 8,000 tokens; there are 4,503"):
        squad(3).draw(DrawRequest("8k", 0), count)


def test_squad_counts_titles_too() -> None:
    assert total(squad(3, " word" * 49), "1k") == (950, 1, 9)


@pytest.mark.parametrize("style", ["squad", "hotpotqa", "triviaqa"])
@pytest.mark.parametrize(("size", "tokens"), [("2k", 2_000), ("8k", 8_000)])
def test_the_miniature_meets_the_budget(style, size: str, tokens: int) -> None:
    from rmtbench.models.load import load_token_counter

    counter = load_token_counter("mini")
    corpus = Miniature(style).draw(DrawRequest(size, 0), counter).corpus
    made = sum(counter([f"{document.title}\n{document.text}" for document in corpus.documents]))
    assert made == pytest.approx(tokens, rel=0.02)


def test_sizes_in_tokens_follow_the_named_ones_by_their_number() -> None:
    assert sorted(["all", "125k", "8k", "large", "small", "16k"], key=size_order) == [
        "small", "large", "8k", "16k", "125k", "all"
    ]  # fmt: skip
