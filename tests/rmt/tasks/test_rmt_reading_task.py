"""Reading dense text: the suite's own prose in full segments, questions of every kind."""

import random
import re

import pytest
from task_contracts import contract_of, text_of, whole_text

from rmtbench.corpora.miniature.asking import all_kinds
from rmtbench.models.base import Passage
from rmtbench.rmt.tasks.base import Sample
from rmtbench.rmt.tasks.corpus import read_text
from rmtbench.rmt.tasks.registry import make_task

SIZE = 200
SEEDS = range(60)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    task = make_task("reading", contract_of(), SIZE, "all")
    return [task.sample(5, random.Random(seed)) for seed in SEEDS]


def steps(sample: Sample) -> list[tuple[str, str, str]]:
    said = text_of(contract_of(), sample.answer).partition(" Answer: ")[0]
    noted = r"(?: (?:\1|one|two))?"  # behind objects that are set side by side
    return [found.groups() for found in re.finditer(rf"([^,.:]+), (\w+): ([^.]+?){noted}\.(?: |$)", said)]


def test_texts_of_one_segment_or_many_are_full(samples: list[Sample]) -> None:
    assert {tuple(map(len, sample.segments)) for sample in samples} == {(SIZE,) * 5}
    task = make_task("reading", contract_of(), SIZE)
    for segments in (1, 2, 32):
        sample = task.sample(segments, random.Random(segments))
        assert [len(segment) for segment in sample.segments] == [SIZE] * segments
        assert sample.told_by < segments


def test_every_kind_of_question_is_asked(samples: list[Sample]) -> None:
    assert {sample.kind for sample in samples} == set(all_kinds())


def test_answers_basis_is_read_by_named_segment(samples: list[Sample]) -> None:
    for sample in samples:
        read = whole_text(contract_of(), list(sample.segments)[: sample.told_by + 1])
        for _, relation, found in steps(sample):
            assert relation == "name" or found == "unknown" or found in read


def test_answer_is_unknown_before_last_fact_is_read(samples: list[Sample]) -> None:
    # A year or a number is hardly ever said of two things in so short a text.
    checked = 0
    for sample in samples:
        figures = [found for _, _, found in steps(sample) if found.isdigit()]
        if sample.kind in {"single", "comparison"} and figures and sample.told_by:
            before = whole_text(contract_of(), list(sample.segments)[: sample.told_by])
            checked += not all(re.search(rf"\b{figure}\b", before) for figure in figures)
    assert checked >= 5


def test_before_that_the_right_answer_says_unknown(samples: list[Sample]) -> None:
    late = [sample for sample in samples if sample.told_by]
    assert len(late) > len(samples) / 3
    for sample in late:
        said = [text_of(contract_of(), sample.right_after(number)) for number in range(sample.told_by)]
        assert all(text.endswith("Answer: unknown</s>") for text in said)
        assert len(set(said)) <= 2
    assert any(sample.partly for sample in late)


def test_the_text_is_the_corpus_as_a_prompt_would_hold_it() -> None:
    contract = contract_of()
    pages = [("Arden", "Arden lies on the Oss. It is old."), ("Belmo", "Belmo was founded in 1801.")]
    text = read_text(contract.tokenizer, pages)
    prompt = contract.context_ids([Passage(*page) for page in pages])
    assert prompt[-len(text.ids) :] == text.ids


@pytest.mark.parametrize("kind", ["mini", "gpt2", "bert"])
def test_a_character_is_read_with_the_token_that_holds_it(kind: str) -> None:
    contract = contract_of(kind)
    pages = [("Arden", "Arden lies on the Oss. It is old."), ("Belmo", "Belmo was founded in 1801. So they say.")]
    text = read_text(contract.tokenizer, pages)
    for number, sentence in ((0, "Arden lies on the Oss."), (1, "Belmo was founded in 1801.")):
        read = text.behind(number, len(sentence))
        said = [contract.tokenizer.decode(text.ids[:count]).replace(" .", ".") for count in (read, read - 1)]
        assert [words.endswith((sentence, sentence.lower())) for words in said] == [True, False]


def test_a_text_too_short_for_one_paragraph_is_refused() -> None:
    with pytest.raises(ValueError, match="fits into 1 segments of 8 tokens"):
        make_task("reading", contract_of(), 8).sample(1, random.Random(0))


def test_the_same_random_state_makes_the_same_text() -> None:
    task = make_task("reading", contract_of(), SIZE)
    one, again = (task.sample(3, random.Random(4)) for _ in range(2))
    assert (list(one.segments), one.question, one.answer) == (list(again.segments), again.question, again.answer)
