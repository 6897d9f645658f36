"""Associations are part of the memory that a system keeps and answers from, and grow with nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from rmtbench.core import Draw
from rmtbench.models.local import LocalModel
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.storage import wrap
from rmtbench.systems.base import System
from rmtbench.systems.sentences import packed_ids, sentence_ids

Build = Callable[..., System]
HELD = 4 * 64 * 4
"""Bytes of the memory tokens alone."""


@pytest.fixture(scope="module")
def recurrent(tiny_model: LocalModel) -> RecurrentDecoder:
    """The tiny model with associations that have something to say."""
    config = RmtConfig("decoder", segment_tokens=48, memory_tokens=4, update="associative")
    made = wrap(copy.deepcopy(tiny_model.model), config, BaseIdentity.of(tiny_model.provenance)).eval()
    assert isinstance(made, RecurrentDecoder)
    assert made.associations is not None
    with torch.no_grad():
        for number, layer in enumerate(made.associations.layers):
            layer.value.weight.copy_(torch.eye(64).roll(number, dims=0))
            layer.strength.bias.fill_(1.0)
    return made


def without_associations(recurrent: RecurrentDecoder) -> RecurrentDecoder:
    """The same memory, with associations that say nothing."""
    made = copy.deepcopy(recurrent)
    with torch.no_grad():
        for layer in made.associations.layers:
            layer.value.weight.zero_()
    return made


@pytest.mark.parametrize("name", ["rmt-memory", "rmt-query-first"])
def test_answers_are_the_wrappers_own_and_those_of_associations(
    name: str, build: Build, towns: Draw, tiny_model: LocalModel, recurrent: RecurrentDecoder
) -> None:
    sentences = [ids for each in towns.corpus.documents for ids in sentence_ids(each, tiny_model.contract.tokenizer)]
    with build(name) as system:
        system.prepare(towns.corpus)
        given = [answer.output_ids for answer in system.answer(towns.corpus.questions)]
    silent = without_associations(recurrent)
    changed = []
    for ids, question in zip(given, towns.corpus.questions, strict=True):
        tail = tiny_model.question_ids(question.text)
        beside = tail if name == "rmt-query-first" else []
        row = [[*pack, *beside] for pack in packed_ids(sentences, 48 - len(beside))] + [tail]
        assert ids == recurrent.generate([row], lambda _ids: None, 8)[0].ids
        changed.append(ids != silent.generate([row], lambda _ids: None, 8)[0].ids)
    assert any(changed)


def test_kept_bytes_are_associations_and_constant(build: Build, towns: Draw, recurrent: RecurrentDecoder) -> None:
    made = []
    for times in (1, 4):
        documents = [replace(each, id=f"{n}-{each.id}") for n in range(times) for each in towns.corpus.documents]
        with build("rmt-memory") as system:
            made.append(system.prepare(replace(towns.corpus, documents=tuple(documents))).bytes)
    assert made == [HELD + recurrent.associations.rows * 64 * 4] * 2
