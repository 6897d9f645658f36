"""Shared prefix = plain prefix = no cache, alone, in batches and admitted as others end: in tokens and in logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from teacher_forced import logits_by_transformers
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.core import Draw
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.miniature.dataset import Miniature
from rmtbench.corpora.miniature.styles import Style
from rmtbench.kvcache.exact import attention
from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.kvcache.exact.shared import read_shared
from rmtbench.kvcache.exact.shared_places import SharedPlaces
from rmtbench.kvcache.exact.uncached import uncached_reader
from rmtbench.models.base import Prompt
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.systems.in_prompt import whole_corpus

BATCHES = (1, 2, 5, 6)


def ends(model: LocalModel, towns: Draw) -> LocalModel:
    """The model with end tokens, such that answers end at different steps and places are taken over."""
    prompts = [Prompt(whole_corpus(towns.corpus), question.text) for question in towns.corpus.questions]
    answers = [model.generate([prompt])[0].output_ids for prompt in prompts]
    return replace(model, end_ids=frozenset(answer[row % 5] for row, answer in enumerate(answers) if row % 2))


@pytest.mark.parametrize("fused", [True, False])
def test_prefix_read_in_parts_is_same_prefix(
    family: LocalModel, towns: Draw, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused:
        monkeypatch.setattr(attention, "_CPU", None)
    monkeypatch.setattr(attention, "_splits", lambda _folded, _keys: 3)
    passages, questions = whole_corpus(towns.corpus), [question.text for question in towns.corpus.questions]
    uncached = [family.generate([Prompt(passages, question)])[0].output_ids for question in questions]
    with read_shared(family, passages, questions, 2).value as shared:
        assert [row.output_ids for row in shared.stream(questions)] == uncached


@pytest.mark.parametrize("fused", [True, False])
def test_every_way_answers_alike(family: LocalModel, towns: Draw, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fused:
        monkeypatch.setattr(attention, "_CPU", None)
    model = ends(family, towns)
    passages, questions = whole_corpus(towns.corpus), [question.text for question in towns.corpus.questions]
    uncached = [model.generate([Prompt(passages, question)])[0].output_ids for question in questions]
    assert len({len(row) for row in uncached}) > 1
    with read_prefix(model, passages, questions, 1).value as plain:
        assert [plain.generate([question])[0].output_ids for question in questions] == uncached
    for batch in BATCHES:
        with read_shared(model, passages, questions, batch).value as shared:
            assert [row.output_ids for row in shared.stream(questions)] == uncached, f"{batch} places"
            again = [*reversed(questions), *questions]
            assert [row.output_ids for row in shared.stream(again)] == [*reversed(uncached), *uncached]


def test_gemma_without_windows_has_logits_of_an_uncached_forward(tiny_model: LocalModel, towns: Draw) -> None:
    """Its embeddings are scaled, so that what it writes hardly depends on context: tokens alone would show little."""
    config = AutoConfig.for_model(
        "gemma", vocab_size=30522, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=1, head_dim=32, max_position_embeddings=1024, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(3)
    made = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    model = LocalModel(made, tiny_model.contract, frozenset(), 1024, 8, {})
    passages, questions = whole_corpus(towns.corpus), [question.text for question in towns.corpus.questions]
    context, tails = model.context_ids(passages), [model.question_ids(question) for question in questions]
    with read_shared(model, passages, questions, 6).value as shared:
        assert shared._held is not None
        first = SharedPlaces(model, *shared._held).advance([], [], list(enumerate(tails)))
        expected = torch.cat([logits_by_transformers(model, context + tail, ()) for tail in tails])
        assert float((first - expected).abs().max()) < 1e-4
        without = torch.cat([logits_by_transformers(model, tail, ()) for tail in tails])
        assert float((without - expected).abs().max()) > 1e-2, "the context makes no difference"
        answers = [row.output_ids for row in shared.stream(questions)]
    assert answers == [model.generate([Prompt(passages, question)])[0].output_ids for question in questions]


@pytest.fixture(scope="module")
def mini() -> LocalModel:
    return replace(load_model("mini", style="bridge"), max_answer_tokens=48)


@pytest.mark.parametrize("style", ["squad", "hotpotqa", "triviaqa"])
def test_the_mini_model_answers_each_style_alike(mini: LocalModel, style: Style) -> None:
    """Eight questions over one corpus; where it has fewer of its own, those of other draws are asked."""
    draws = [Miniature(style).draw(DrawRequest("smoke", draw), mini.count_tokens) for draw in range(8)]
    passages = whole_corpus(draws[0].corpus)
    questions = [question.text for draw in draws for question in draw.corpus.questions][:8]
    uncached = [mini.generate([Prompt(passages, question)])[0] for question in questions]
    assert {row.finish for row in uncached} & {"stop", "eos"}
    for batch in (1, 3, 8):
        with read_shared(mini, passages, questions, batch).value as shared:
            found = list(shared.stream(questions))
        assert [(row.output_ids, row.finish) for row in found] == [(row.output_ids, row.finish) for row in uncached]


@pytest.mark.slow
@pytest.mark.parametrize("size", ["small", "medium", "large"])
@pytest.mark.parametrize("style", ["squad", "hotpotqa", "triviaqa"])
def test_mini_answers_alike_with_and_without_cache(mini: LocalModel, style: Style, size: str) -> None:
    corpus = Miniature(style).draw(DrawRequest(size, 0), mini.count_tokens).corpus
    passages, questions = whole_corpus(corpus), [question.text for question in corpus.questions][:3]
    answer, reason = uncached_reader(mini)
    assert not reason
    uncached = [row.output_ids for row in answer([Prompt(passages, question) for question in questions[:2]])]
    for batch in (1, 3):
        with read_shared(mini, passages, questions, batch).value as shared:
            assert [row.output_ids for row in shared.stream(questions)][:2] == uncached
