"""Systems as the run loop builds them, and what a model has really been given to read."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from rmtbench.core import Draw, RunSpec
from rmtbench.models.base import LanguageModel
from rmtbench.models.embed import TransformersEmbedder, load_embedder
from rmtbench.models.local import LocalModel
from rmtbench.options.identity import RunOptions
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.storage import wrap
from rmtbench.systems.base import Resources, SharedWork, System
from rmtbench.systems.registry import find_system
from rmtbench.systems.resources import LoadedMemory
from rmtbench.systems.rmt_text import note_writer

Build = Callable[..., System]


@pytest.fixture(scope="session")
def minilm() -> TransformersEmbedder:
    """The packaged embedder."""
    embedder = load_embedder("minilm")
    assert isinstance(embedder, TransformersEmbedder)
    return embedder


@pytest.fixture(scope="session")
def recurrent(tiny_model: LocalModel) -> RecurrentDecoder:
    """The tiny model on weights of its own, with a memory that has learned nothing."""
    config = RmtConfig("decoder", segment_tokens=48, memory_tokens=4, update="gated")
    made = wrap(copy.deepcopy(tiny_model.model), config, BaseIdentity.of(tiny_model.provenance)).eval()
    assert isinstance(made, RecurrentDecoder)
    return made


@pytest.fixture
def build(tiny_model: LocalModel, minilm: TransformersEmbedder, towns: Draw, recurrent: RecurrentDecoder) -> Build:
    """Build a system by name for the towns; its model, shared work, references and fields of its spec can be given."""

    def make(
        name: str,
        model: LanguageModel = tiny_model,
        shared: SharedWork | None = None,
        references: tuple[str, ...] | None = None,
        **fields: Any,
    ) -> System:
        kind = find_system(name)
        if "chunks" in kind.needs:
            fields = {"top_k": 2, "chunk_tokens": 32, **fields}
        if "embedder" in kind.needs:
            fields["embedder"] = "minilm"
        if "notes" in kind.needs:
            fields = {"settings": (("chunk_tokens", "96"), ("memory_tokens", "8")), **fields}
        options = RunOptions.read(fields.pop("settings", ()))
        fields = {"max_answer_tokens": 8, "options": options, **fields}
        spec = RunSpec(name, "towns", "all", "random:tiny", "own:towns@0", **fields)
        truth = [replace(gold, references=references or gold.references) for gold in towns.gold]
        gold = {gold.question_id: gold for gold in truth} if "gold" in kind.needs else {}
        writer = (
            note_writer(replace(tiny_model, context_limit=model.context_limit), 8) if "notes" in kind.needs else None
        )
        memories = {"": LoadedMemory(recurrent, {})} if kind.memory else {}
        return kind.make(Resources(spec, model, minilm, minilm, gold, shared or SharedWork(), memories, writer))

    return make


@pytest.fixture
def read(tiny_model: LocalModel, recurrent: RecurrentDecoder) -> Iterator[list[int]]:
    """Token ids that the tiny model is given from here on, one forward after the other, its own answers included."""
    ids: list[int] = []

    def note(_module: object, given: tuple[Any, ...]) -> None:
        ids.extend(given[0].flatten().tolist())

    models = (tiny_model.model, recurrent.base)
    handles = [model.get_input_embeddings().register_forward_pre_hook(note) for model in models]
    yield ids
    for handle in handles:
        handle.remove()
