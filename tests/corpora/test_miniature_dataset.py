"""The miniature as a data set: budgets, styles, evidence, and the same bytes anywhere."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from corpora_files import check_same_draws_again, cited, draw, words

from experiments.training.mini_tokenizer import train_tokenizer
from rmtbench.core import Draw
from rmtbench.corpora.base import SIZES, DrawRequest, TokenCounter
from rmtbench.corpora.miniature.dataset import BUDGETS, NAMES, TOLERANCE, Miniature
from rmtbench.corpora.miniature.styles import STYLES, Style
from rmtbench.corpora.miniature.words import held_out, inventory
from rmtbench.errors import UserError

each_style = pytest.mark.parametrize("style", STYLES)
PINS: dict[Style, str] = {
    "squad": "b557ec78d4ae5137a18546bee5c3f1eac9b8ff38466836802a5ef5016334dbbe",
    "hotpotqa": "cd38ed4fa048f8ecb2e32830f5501b500ce8f4d534a88db77006067c332b7d31",
    "triviaqa": "18627a09863e7cc9d980f380ca42b3d88defb2531e2e97c5989c8954cb2455d0",
}
"""Hashes of the first smoke draws, counted in words. Where one changes on purpose, raise its style in `VERSIONS`."""


def fingerprint(style: Style) -> str:
    made = draw(Miniature(style), "smoke")
    content = (made.corpus.documents, made.corpus.questions, made.gold)
    return hashlib.sha256(repr(content).encode()).hexdigest()


def source_hash(style: Style) -> str:
    return Miniature(style).source.sha256


def name_words(made: Draw) -> set[str]:
    text = " ".join(f"{document.title} {document.text}" for document in made.corpus.documents)
    return set(re.findall(r"\w+", text)) & {word for kind in inventory().by_kind.values() for word in kind}


@pytest.fixture(scope="module")
def count_tokens() -> TokenCounter:
    tokenizer = train_tokenizer()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []

    return count


@each_style
@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_met_in_words_and_in_the_mini_models_tokens(
    style: Style, size: str, count_tokens: TokenCounter
) -> None:
    for count in (words, count_tokens):
        made = Miniature(style).draw(DrawRequest(size, 0), count)
        total = sum(count([f"{document.title}\n{document.text}" for document in made.corpus.documents]))
        assert abs(total - BUDGETS[style][size]) <= TOLERANCE * BUDGETS[style][size]


@each_style
def test_paragraphs_keep_60_to_150_words_when_budget_is_met(style: Style, count_tokens: TokenCounter) -> None:
    documents = Miniature(style).draw(DrawRequest("medium", 0), count_tokens).corpus.documents
    lengths = [len(paragraph.split()) for document in documents for paragraph in document.text.split("\n\n")]
    assert sum(not 60 <= length <= 150 for length in lengths) <= 0.02 * len(lengths)


def test_tokenizer_that_cuts_english_too_differently_is_refused() -> None:
    with pytest.raises(UserError, match="this tokenizer cuts English too differently"):
        Miniature("hotpotqa").draw(DrawRequest("smoke", 0), lambda texts: [len(text) for text in texts])


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(UserError, match="no size 'tiny' here"):
        draw(Miniature("squad"), "tiny")


@each_style
def test_same_request_gives_same_bytes_only(style: Style) -> None:
    check_same_draws_again(lambda: Miniature(style), "smoke")


@each_style
def test_a_draw_is_the_one_that_it_always_was(style: Style) -> None:
    assert fingerprint(style) == PINS[style]


def test_another_process_makes_the_same_draws() -> None:
    code = "from test_miniature_dataset import *; print(*map(fingerprint, STYLES), *map(source_hash, STYLES))"
    environ = os.environ | {"PYTHONHASHSEED": "4242", "PYTHONPATH": str(Path(__file__).parent)}
    made = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert made.stdout.split() == [*PINS.values(), *map(source_hash, STYLES)]


@each_style
def test_two_draws_share_words_but_hardly_a_name(style: Style) -> None:
    one, other = (draw(Miniature(style), "small", number) for number in (0, 1))
    titles = [{document.title for document in made.corpus.documents} for made in (one, other)]
    assert len(titles[0] & titles[1]) <= 0.05 * len(titles[0])
    assert one.corpus.questions != other.corpus.questions


@each_style
def test_names_are_of_all_seen_or_never_seen_words(style: Style) -> None:
    held = {word for kind in held_out().by_kind.values() for word in kind}
    found = {names: name_words(draw(Miniature(style, names), "small")) for names in NAMES}
    assert not found["seen"] & held
    assert found["held-out"] <= held
    assert found["all"] & held
    assert found["all"] - held


@each_style
def test_the_source_says_miniature_and_has_a_hash_of_its_own(style: Style) -> None:
    source = Miniature(style).source
    assert (source.kind, source.name) == ("miniature", f"{style} style")
    assert Miniature(style, "held-out").source.name == f"{style} style, held-out names"
    assert len({Miniature(each, names).source.sha256 for each in STYLES for names in NAMES}) == 9
    assert draw(Miniature(style), "smoke").corpus.source == source


def test_questions_are_cut_to_wanted_number_only() -> None:
    whole, cut = draw(Miniature("squad"), "smoke"), draw(Miniature("squad"), "smoke", questions=5)
    assert (cut.corpus.questions, cut.gold) == (whole.corpus.questions[:5], whole.gold[:5])
    assert cut.corpus.documents == whole.corpus.documents


@pytest.mark.parametrize(("size", "articles"), [("smoke", 1), ("small", 3), ("medium", 4), ("large", 7)])
def test_squad_style_is_articles_and_up_to_500_questions(size: str, articles: int) -> None:
    made = draw(Miniature("squad"), size)
    assert len(made.corpus.documents) == articles
    assert len(made.corpus.questions) == 500 or size == "smoke"
    assert min(len(document.text.split("\n\n")) for document in made.corpus.documents) >= 8


@pytest.mark.parametrize("number", [0, 1, 9])
def test_squad_style_evidence_is_the_answer_itself(number: int) -> None:
    made = draw(Miniature("squad"), "small", number)
    several = 0
    texts = {document.id: document.text for document in made.corpus.documents}
    for gold, spans in zip(made.gold, cited(made).values(), strict=True):
        assert spans == [[gold.references[0]]]
        ((span,),) = gold.evidence
        around = texts[span.document_id][max(0, span.start - 1) : span.end + 1]
        assert re.fullmatch(rf"\W?{re.escape(gold.references[0])}\W", around)
        several += len(gold.references) > 1
    assert several > 0.2 * len(made.gold)


@pytest.mark.parametrize(("number", "event"), [(111, "the Joumia Parade"), (152, "the Vasby Fair")])
def test_town_of_event_name_is_found_outside_it(number: int, event: str) -> None:
    made = draw(Miniature("squad"), "small", number)
    texts = {document.id: document.text for document in made.corpus.documents}
    (gold,) = (
        gold
        for question, gold in zip(made.corpus.questions, made.gold, strict=True)
        if event in question.text and gold.references[0] == event.split()[1]
    )
    ((span,),) = gold.evidence
    assert not texts[span.document_id].startswith(event.removeprefix("the "), span.start)


def test_hotpotqa_style_is_rows_of_ten_with_two_gold_paragraphs() -> None:
    kinds: Counter[str] = Counter()
    for number in range(3):
        made = draw(Miniature("hotpotqa"), "medium", number)
        assert (len(made.corpus.documents), len(made.corpus.questions)) == (320, 32)
        kinds.update(question.kind for question in made.corpus.questions)
        for gold in made.gold:
            assert len(gold.evidence) == len({spans[0].document_id for spans in gold.evidence}) == 2
    assert set(kinds) == {"bridge", "comparison", "yes/no"}
    assert min(kinds.values()) >= 10


@pytest.mark.parametrize("style", ["hotpotqa", "triviaqa"])
def test_evidence_is_the_sentence_that_states_the_fact(style: Style) -> None:
    made = draw(Miniature(style), "small")
    questions = {question.id: question for question in made.corpus.questions}
    for gold in made.gold:
        spans = [texts for (texts,) in cited(made)[gold.question_id]]
        assert all(re.fullmatch(r"[A-Z][^.]*\.", text) for text in spans)
        if questions[gold.question_id].kind in {"single", "bridge"}:
            assert gold.references[0] in spans[-1]
        assert (spans == []) == (questions[gold.question_id].kind == "unknown")


def test_distractors_share_names_and_relations_with_the_gold() -> None:
    world, _, _ = Miniature("hotpotqa").tell(DrawRequest("small", 0), words)
    used = Counter(word for entity in world.entities for word in entity.name.split())
    people = [entity for entity in world.entities if entity.kind == "person"]
    shared = [person for person in people if any(used[word] > 1 for word in person.name.split())]
    assert len(shared) > 0.9 * len(people)
    told = Counter(name for facts in world.facts.values() for name in facts)
    assert min(told.values()) > 1


def test_triviaqa_style_asks_by_alias_and_for_untold() -> None:
    made = draw(Miniature("triviaqa"), "small")
    kinds = Counter(question.kind for question in made.corpus.questions)
    assert set(kinds) == {"single", "unknown"}
    assert kinds["unknown"] > 5
    unknown = {question.id for question in made.corpus.questions if question.kind == "unknown"}
    assert all((gold.references == ("unknown",)) == (gold.question_id in unknown) for gold in made.gold)
    world, _, _ = Miniature("triviaqa").tell(DrawRequest("small", 0), words)
    aliases = {entity.alias for entity in world.entities if entity.alias}
    assert any(alias in question.text for alias in aliases for question in made.corpus.questions)
    assert len({question.text for question in made.corpus.questions}) == len(made.corpus.questions)
