"""`cag` answers as `full-context`, token for token in float32, and leaves its cache as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from teacher_forced import largest_difference, logits_by_reader, logits_by_transformers

from rmtbench.core import Answer, Draw, Question, RunSpec
from rmtbench.kvcache.exact.plain import PlainPrefix, read_prefix
from rmtbench.kvcache.exact.shared import SharedPrefixCache, read_shared
from rmtbench.kvcache.exact.shared_places import SharedPlaces
from rmtbench.models.base import PrefixCache, Prompt
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import SharedPrefix
from rmtbench.models.slots import SlotLayer
from rmtbench.options.identity import RunOptions
from rmtbench.systems.base import Resources, System
from rmtbench.systems.cag import KIND as CAG
from rmtbench.systems.cag import CacheAugmented
from rmtbench.systems.in_prompt import whole_corpus
from rmtbench.systems.registry import find_system

CLOSED_BOOK, FULL_CONTEXT = find_system("closed-book"), find_system("full-context")
BATCHES = (1, 4, 6)
"""Of six questions, each two tokens longer than the one before."""


PREFIXES = ("shared", "plain")


def resources(model: LocalModel, batch: int = 1, prefix: str = "shared") -> Resources:
    spec = RunSpec("any", "towns", "all", "tiny", "own:towns@0", max_answer_tokens=8, batch=batch)
    return Resources(replace(spec, options=RunOptions(cache_layout=prefix)), model)


def answers(system: System, towns: Draw) -> list[Answer]:
    with system:
        system.prepare(towns.corpus)
        return list(system.answer(towns.corpus.questions))


def held(prefix: PrefixCache | None) -> list[tuple[int, int, tuple[int, ...], bytes]]:
    """Of every layer's keys and values: address of the buffer, of its storage, its shape, and the context's bytes."""
    if isinstance(prefix, SharedPrefixCache):
        assert prefix._held is not None
        tensors, suffixes = prefix._held
        buffers: list[torch.Tensor] = [*tensors.keys, *tensors.values, *suffixes.keys, *suffixes.values]
        context = [*tensors.keys, *tensors.values, *[torch.empty(0)] * (2 * len(suffixes.keys))]
    else:
        assert isinstance(prefix, PlainPrefix)
        assert prefix._cache is not None
        buffers = [tensor for layer in prefix._cache.layers for tensor in (layer.keys, layer.values)]
        context = [tensor[:, :, : prefix.tokens] for tensor in buffers]
    return [
        (
            tensor.data_ptr(),
            tensor.untyped_storage().data_ptr(),
            tuple(tensor.shape),
            kept.contiguous().numpy().tobytes(),
        )
        for tensor, kept in zip(buffers, context, strict=True)
    ]


class AllAtOnce:
    """Places whose rows begin together, as a `Reader`."""

    def __init__(self, places: SharedPlaces, tails: list[list[int]]) -> None:
        self._places, self._tails = places, tails

    def read(self) -> torch.Tensor:
        return self._places.advance([], [], list(enumerate(self._tails)))

    def step(self, rows: Sequence[int], tokens: torch.Tensor) -> torch.Tensor:
        return self._places.advance(rows, tokens.tolist(), [])


def test_what_a_model_writes_depends_on_context_and_question(family: LocalModel, towns: Draw) -> None:
    """Without this, every equality below could hold by chance."""
    full = [answer.output_ids for answer in answers(FULL_CONTEXT.make(resources(family)), towns)]
    closed = [answer.output_ids for answer in answers(CLOSED_BOOK.make(resources(family)), towns)]
    assert len(set(full + closed)) > 9


def test_full_context_equals_models_attention_over_prompts(family: LocalModel, towns: Draw) -> None:
    """It is read by the kernels of `cag`, so that it is held to something else than these."""
    passages = whole_corpus(towns.corpus)
    expected = [family.generate([Prompt(passages, question.text)])[0] for question in towns.corpus.questions]
    for batch in BATCHES:
        found = answers(FULL_CONTEXT.make(resources(family, batch)), towns)
        assert [(row.output_ids, row.tokens.prompt, row.tokens.cached) for row in found] == [
            (row.output_ids, row.prompt_tokens, 0) for row in expected
        ], f"in batches of {batch}"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_cag_answers_as_full_context_token_for_token(family: LocalModel, towns: Draw, prefix: str) -> None:
    expected = answers(FULL_CONTEXT.make(resources(family)), towns)
    assert {answer.tokens.cached for answer in expected} == {0}
    for batch in BATCHES:
        cached = answers(CAG.make(resources(family, batch, prefix)), towns)
        for ours, theirs in zip(cached, expected, strict=True):
            same = [(row.output_ids, row.text, row.finish, row.tokens.prompt) for row in (ours, theirs)]
            assert same[0] == same[1], f"{ours.question_id} in batches of {batch}"
        assert {answer.tokens.cached for answer in cached} == {len(family.context_ids(whole_corpus(towns.corpus)))}


def test_logits_over_the_cache_are_those_of_one_uncached_forward(family: LocalModel, towns: Draw) -> None:
    questions = [question.text for question in towns.corpus.questions]
    written = [answer.output_ids for answer in answers(FULL_CONTEXT.make(resources(family)), towns)]
    tails = [family.question_ids(question) for question in questions]
    assert len({len(tail) for tail in tails}) == len(tails)
    context = family.context_ids(whole_corpus(towns.corpus))
    expected = [logits_by_transformers(family, context + tail, row) for tail, row in zip(tails, written, strict=True)]
    for batch in BATCHES:
        with read_prefix(family, whole_corpus(towns.corpus), questions, batch).value as prefix:
            assert prefix._cache is not None
            for some in (slice(start, start + batch) for start in range(0, len(tails), batch)):
                reader = SharedPrefix(family.model, prefix._cache, prefix.tokens, tails[some])
                difference = largest_difference(logits_by_reader(reader, written[some]), expected[some])
                assert difference < 1e-4, f"{some} in batches of {batch}: largest difference {difference}"
        with read_shared(family, whole_corpus(towns.corpus), questions, batch).value as shared:
            assert shared._held is not None
            for some in (slice(start, start + batch) for start in range(0, len(tails), batch)):
                rows = AllAtOnce(SharedPlaces(family, *shared._held), tails[some])
                difference = largest_difference(logits_by_reader(rows, written[some]), expected[some])
                assert difference < 1e-4, f"{some} in batches of {batch}, shared: largest difference {difference}"


@pytest.mark.parametrize("kind", PREFIXES)
@pytest.mark.parametrize("batch", BATCHES)
def test_answering_leaves_the_cache_where_and_as_it_was(family: LocalModel, towns: Draw, batch: int, kind: str) -> None:
    questions = [question.text for question in towns.corpus.questions]
    with CAG.make(resources(family, batch, kind)) as system:
        assert isinstance(system, CacheAugmented)
        system.prepare(towns.corpus)
        prefix = system._prefix
        assert prefix is not None
        before, size = held(prefix), prefix.bytes
        too_long = Question("long", "Who is the mayor? " * 80)
        rows = list(system.answer([*towns.corpus.questions, too_long]))
        assert [row.question_id for row in rows if row.error is not None] == ["long"]
        assert held(prefix) == before
        assert prefix.bytes == size
        assert [generation.output_ids for generation in prefix.generate(questions[:1])] == [rows[0].output_ids]


def test_attention_reads_the_buffer_itself_and_no_copy_of_it(
    family: LocalModel, towns: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    update = SlotLayer.update

    def noting(layer: SlotLayer, *states: torch.Tensor, **others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = update(layer, *states, **others)
        seen.update(tensor.untyped_storage().data_ptr() for tensor in (keys, values))
        return keys, values

    questions = [question.text for question in towns.corpus.questions]
    with read_prefix(family, whole_corpus(towns.corpus), questions, batch=3).value as prefix:
        monkeypatch.setattr(SlotLayer, "update", noting)
        prefix.generate(questions[:3])
        assert seen == {storage for _, storage, _, _ in held(prefix)}
