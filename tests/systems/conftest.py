"""Systems as the run loop builds them, and what a model has really been given to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from rmtbench.core import Draw, RunSpec
from rmtbench.models.base import LanguageModel
from rmtbench.models.embed import TransformersEmbedder, load_embedder
from rmtbench.models.local import LocalModel
from rmtbench.systems.base import Equipment, SharedWork, System
from rmtbench.systems.registry import find_system

Build = Callable[..., System]


@pytest.fixture(scope="session")
def minilm() -> TransformersEmbedder:
    """The packaged embedder."""
    embedder = load_embedder("minilm")
    assert isinstance(embedder, TransformersEmbedder)
    return embedder


@pytest.fixture
def build(tiny_model: LocalModel, minilm: TransformersEmbedder, towns: Draw) -> Build:
    """Build a system by name for the towns; its model, shared work, references and fields of its spec can be given."""

    def make(
        name: str,
        model: LanguageModel = tiny_model,
        shared: SharedWork | None = None,
        references: tuple[str, ...] | None = None,
        **fields: Any,
    ) -> System:
        kind = find_system(name)
        if kind.takes_top_k:
            fields = {"top_k": 2, "chunk_tokens": 32, **fields}
        if kind.needs_embedder:
            fields["embedder"] = "minilm"
        spec = RunSpec(name, "towns", "all", "random:tiny", "own:towns@0", max_answer_tokens=8, **fields)
        truth = [replace(gold, references=references or gold.references) for gold in towns.gold]
        gold = {gold.question_id: gold for gold in truth} if kind.sees_gold else {}
        return kind.make(Equipment(spec, model, minilm, minilm, gold, shared or SharedWork()))

    return make


@pytest.fixture
def read(tiny_model: LocalModel) -> Iterator[list[int]]:
    """Token ids that the tiny model is given from here on, one forward after the other, its own answers included."""
    ids: list[int] = []

    def note(_module: object, _positional: object, given: dict[str, Any]) -> None:
        ids.extend(given["input_ids"].flatten().tolist())

    handle = tiny_model.model.register_forward_pre_hook(note, with_kwargs=True)
    yield ids
    handle.remove()
