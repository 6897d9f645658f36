"""Cached = uncached, batched = single, ours = transformers: token for token, on real models with random weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import OwnPrompts, SharedPrefix, forward
from rmtbench.models.slots import SlotCache

QUESTIONS = ["Who is the mayor?", "Which river, please, and how long is it?", "When?", "Where does the old road end?"]


def passages(count: int, salt: str = "") -> tuple[Passage, ...]:
    return tuple(
        Passage(f"Town {number}", f"Town {number}{salt} has {number * 7} mills, a bridge and a fair in May. " * 4)
        for number in range(count)
    )


@pytest.fixture(scope="module", params=["tiny", "gpt2"])
def model(request) -> LocalModel:
    return replace(load_model(f"random:{request.param}"), max_answer_tokens=10)


def single(model: LocalModel, context: tuple[Passage, ...]) -> list[tuple[int, ...]]:
    return [model.generate([Prompt(context, question)])[0].output_ids for question in QUESTIONS]


def assert_same(expected: list[tuple[int, ...]], found: list[tuple[int, ...]]) -> None:
    for row, (left, right) in enumerate(zip(expected, found, strict=True)):
        differ = [place for place, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1]]
        assert not differ, f"row {row}: first differing token at {differ[0]}: {left} and {right}"


def test_answers_depend_on_what_was_read(tiny_model):
    """Without this, every equality below could hold by chance."""
    answers = single(tiny_model, passages(6)) + single(tiny_model, passages(6, " upon Oss"))
    assert len(set(answers)) > len(answers) // 2


def test_our_loop_writes_what_transformers_generate_writes(model):
    context = passages(6)
    expected = []
    for question in QUESTIONS:
        ids = torch.tensor([model.context_ids(context) + model.question_ids(question)])
        written = model.model.generate(ids, max_new_tokens=10, do_sample=False, pad_token_id=0)
        expected.append(tuple(written[0, ids.shape[1] :].tolist()))
    assert_same(expected, single(model, context))


def test_logits_with_a_prefix_equal_those_of_one_plain_forward(model):
    context, tail = model.context_ids(passages(6)), model.question_ids(QUESTIONS[1])
    cache = SlotCache(model.model.config.num_hidden_layers, 1, len(context) + len(tail))
    forward(model.model, cache, context, start=0)
    ours = forward(model.model, cache, tail, start=len(context))[0]
    with torch.inference_mode():
        plain = model.model(torch.tensor([context + tail])).logits[0, -1]
    difference = float((ours - plain).abs().max())
    assert difference < 1e-4 * float(plain.abs().max()), f"largest difference {difference}"


def test_a_cached_context_answers_as_an_uncached_one(model):
    context = passages(6)
    with read_prefix(model, context, QUESTIONS, batch=1).value as prefix:
        cached = [prefix.generate([question])[0].output_ids for question in QUESTIONS]
        again = [prefix.generate([question])[0].output_ids for question in reversed(QUESTIONS)]
    assert_same(single(model, context), cached)
    assert_same(cached, again[::-1])


def test_a_batch_over_one_prefix_answers_as_single_questions(model):
    context = passages(6)
    with read_prefix(model, context, QUESTIONS, batch=len(QUESTIONS)).value as prefix:
        batched = [generation.output_ids for generation in prefix.generate(QUESTIONS)]
    assert_same(single(model, context), batched)


def test_a_batch_of_unequal_prompts_answers_as_single_ones(model):
    prompts = [Prompt(passages(count), question) for count, question in zip((5, 0, 2, 1), QUESTIONS, strict=True)]
    expected = [model.generate([prompt])[0].output_ids for prompt in prompts]
    assert_same(expected, [generation.output_ids for generation in model.generate(prompts)])


def test_rows_that_end_early_leave_the_others_as_they_were(model):
    context = passages(4)
    expected = single(model, context)
    stop = expected[1][2]  # the second row's third token ends every row that writes it

    def shorten(ids: tuple[int, ...]) -> tuple[int, ...]:
        return ids[: ids.index(stop)] if stop in ids else ids

    ending = LocalModel(model.model, model.contract, frozenset({stop}), model.context_limit, 10, model.provenance)
    prompts = [Prompt(context, question) for question in QUESTIONS]
    wanted = [shorten(ids) for ids in expected]
    assert len({len(ids) for ids in wanted}) > 1, "the rows must differ in length for this to test anything"
    for generations in (
        ending.generate(prompts),
        read_prefix(ending, context, QUESTIONS, batch=4).value.generate(QUESTIONS),
    ):
        assert [generation.output_ids for generation in generations] == wanted
        assert generations[1].finish == "eos"


def test_the_cache_is_neither_grown_nor_copied_by_answering(model):
    with read_prefix(model, passages(6), QUESTIONS, batch=2).value as prefix:
        layers = prefix._cache.layers
        before = [(layer.keys.data_ptr(), layer.values.data_ptr(), layer.keys.shape) for layer in layers]
        held = [layer.keys[:, :, : prefix.tokens].clone() for layer in layers]
        for start in (0, 2):
            prefix.generate(QUESTIONS[start : start + 2])
        assert [(layer.keys.data_ptr(), layer.values.data_ptr(), layer.keys.shape) for layer in layers] == before
        assert all(
            torch.equal(layer.keys[:, :, : prefix.tokens], keys) for layer, keys in zip(layers, held, strict=True)
        )


def test_a_slot_cache_refuses_to_write_beyond_its_end(tiny_model):
    cache = SlotCache(tiny_model.model.config.num_hidden_layers, 1, 4)
    with pytest.raises(ValueError, match="beyond the cache's 4"):
        forward(tiny_model.model, cache, [5, 6, 7, 8, 9], start=0)


def test_readers_tell_rows_apart(tiny_model):
    """The same tail behind different contexts gives different logits; behind the same prefix, the same."""
    tail = tiny_model.question_ids(QUESTIONS[0])
    contexts = [tiny_model.context_ids(passages(count)) for count in (1, 3)]
    own = OwnPrompts(tiny_model.model, [(context, tail) for context in contexts], 2).read()
    assert not torch.allclose(own[0], own[1], atol=1e-3)
    cache = SlotCache(tiny_model.model.config.num_hidden_layers, 1, len(contexts[0]) + 2 * len(tail) + 4)
    forward(tiny_model.model, cache, contexts[0], start=0)
    shared = SharedPrefix(tiny_model.model, cache, len(contexts[0]), [tail, tail]).read()
    assert torch.allclose(shared[0], shared[1], atol=1e-5)
    assert torch.allclose(shared[0], own[0], atol=1e-4)
