"""A batch answers as its questions alone, by logits and by tokens, whatever its rows' lengths and ends."""

from __future__ import annotations

import pytest
from teacher_forced import Ids, largest_difference, logits_by_reader, logits_by_transformers

from rmtbench.core import Draw
from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.models.base import Prompt
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import OwnPrompts, SharedPrefix
from rmtbench.systems.in_prompt import whole_corpus

BATCHES = (2, 5, 6)
"""Of six rows, so that the last batch may be smaller than the others."""
ORDER = (3, 0, 5, 1, 4, 2)


def prompts(towns: Draw) -> list[Prompt]:
    """Six prompts over two, no, four, one, six and three documents, with questions of different lengths."""
    passages = whole_corpus(towns.corpus)
    counts = (2, 0, 4, 1, 6, 3)
    return [Prompt(passages[:n], asked.text) for n, asked in zip(counts, towns.corpus.questions, strict=True)]


def ids(model: LocalModel, prompt: Prompt) -> tuple[list[int], list[int]]:
    return model.context_ids(prompt.passages), model.question_ids(prompt.question)


def staggered(answers: list[tuple[int, ...]]) -> list[Ids]:
    """The answers cut so that rows end at different steps, the first and the last not the latest."""
    return [answer[: 2 + (3 * row + 2) % 7] for row, answer in enumerate(answers)]


@pytest.fixture
def alone(family: LocalModel, towns: Draw) -> list[tuple[int, ...]]:
    """What each of the six prompts is answered by itself."""
    answers = [family.generate([prompt])[0].output_ids for prompt in prompts(towns)]
    assert len(set(answers)) > 4
    return answers


def test_prompts_of_their_own_are_answered_as_alone(
    family: LocalModel, towns: Draw, alone: list[tuple[int, ...]]
) -> None:
    asked = prompts(towns)
    for batch in BATCHES:
        rows = [asked[place] for place in ORDER]
        batches = [family.generate(rows[start : start + batch]) for start in range(0, 6, batch)]
        found = [generation.output_ids for generations in batches for generation in generations]
        assert found == [alone[place] for place in ORDER], f"in batches of {batch}"


def test_prompts_of_their_own_have_logits_of_an_uncached_forward(
    family: LocalModel, towns: Draw, alone: list[tuple[int, ...]]
) -> None:
    pairs, answers = [ids(family, prompt) for prompt in prompts(towns)], staggered(alone)
    assert len(set(map(len, answers))) > 3
    expected = [logits_by_transformers(family, a + b, row) for (a, b), row in zip(pairs, answers, strict=True)]
    for batch in BATCHES:
        for some in (slice(start, start + batch) for start in range(0, 6, batch)):
            found = logits_by_reader(OwnPrompts(family.model, pairs[some], 8), answers[some])
            difference = largest_difference(found, expected[some])
            assert difference < 1e-4, f"{some} in batches of {batch}: largest difference {difference}"


def test_a_single_prompt_has_the_logits_of_an_uncached_forward(
    family: LocalModel, towns: Draw, alone: list[tuple[int, ...]]
) -> None:
    for prompt, answer in zip(prompts(towns), alone, strict=True):
        context, tail = ids(family, prompt)
        found = logits_by_reader(OwnPrompts(family.model, [(context, tail)], 8), [answer])
        difference = largest_difference(found, [logits_by_transformers(family, context + tail, answer)])
        assert difference < 1e-4, f"largest difference {difference}"


def test_questions_over_one_prefix_are_answered_as_alone(family: LocalModel, towns: Draw) -> None:
    questions = [question.text for question in towns.corpus.questions]
    with read_prefix(family, whole_corpus(towns.corpus), questions, batch=6).value as prefix:
        single = [prefix.generate([question])[0].output_ids for question in questions]
        assert len(set(single)) > 4
        for batch in BATCHES:
            rows = [questions[place] for place in ORDER]
            batches = [prefix.generate(rows[start : start + batch]) for start in range(0, 6, batch)]
            found = [generation.output_ids for generations in batches for generation in generations]
            assert found == [single[place] for place in ORDER], f"in batches of {batch}"


def test_questions_over_prefix_have_same_logits_in_batch(
    family: LocalModel, towns: Draw, alone: list[tuple[int, ...]]
) -> None:
    questions = [question.text for question in towns.corpus.questions]
    tails, answers = [family.question_ids(question) for question in questions], staggered(alone)
    with read_prefix(family, whole_corpus(towns.corpus), questions, batch=6).value as prefix:
        cache, tokens = prefix._cache, prefix.tokens
        assert cache is not None
        single = [
            logits_by_reader(SharedPrefix(family.model, cache, tokens, [tail]), [answer])[0]
            for tail, answer in zip(tails, answers, strict=True)
        ]
        for batch in BATCHES:
            for some in (slice(start, start + batch) for start in range(0, 6, batch)):
                found = logits_by_reader(SharedPrefix(family.model, cache, tokens, tails[some]), answers[some])
                difference = largest_difference(found, single[some])
                assert difference < 1e-4, f"{some} in batches of {batch}: largest difference {difference}"


def test_batch_shares_seconds_and_counts_every_rows_own_tokens(family: LocalModel, towns: Draw) -> None:
    asked = prompts(towns)
    generations = family.generate(asked)
    assert [row.prompt_tokens for row in generations] == [sum(map(len, ids(family, prompt))) for prompt in asked]
    assert len({(row.prefill_seconds, row.decode_seconds) for row in generations}) == 1
    assert {row.cached_tokens for row in generations} == {0}
