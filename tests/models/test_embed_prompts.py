"""An embedder's own prompts: read from its configuration, put before texts by role, part of its hash and its cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from word_embedder import WordEmbedder

from rmtbench.errors import UserError
from rmtbench.models.base import Role
from rmtbench.models.embed import TransformersEmbedder, load_embedder
from rmtbench.models.embed_cache import CachedEmbedder
from rmtbench.models.embed_files import model_folder, read_prompts
from rmtbench.models.embed_library import LibraryEmbedder
from rmtbench.runs.at_once import OneAtATime

ROLES: tuple[Role, ...] = ("query", "passage", "symmetric")
TEXTS = ["The river Orle rises in Tamsin.", "", "bread"]
COMMITTED = "a2415bb2ce0c876af90978b302c28a52e57e5c6444914fa60b7541728f465da9"
"""MiniLM's hash in results/mini."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source, copy = model_folder("minilm"), tmp_path / "model"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.safetensors", "README.md", "data_config.json"))
    (copy / "model.safetensors").symlink_to(source / "model.safetensors")
    return copy


def configure(folder: Path, **values: Any) -> Path:
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


def test_minilm_has_no_prompts_and_the_hash_of_committed_results() -> None:
    minilm = load_embedder("minilm")
    assert minilm.sha256 == COMMITTED
    assert [minilm.prompt(role) for role in ROLES] == ["", "", ""]
    query, passage, symmetric = (minilm.embed(TEXTS, role) for role in ROLES)
    assert np.array_equal(query, passage)
    assert np.array_equal(query, symmetric)


@pytest.mark.parametrize(
    ("values", "query", "passage", "symmetric"),
    [
        ({"prompts": {"query": "query: ", "passage": "passage: "}}, "query: ", "passage: ", ""),
        ({"prompts": {"query": "query: ", "document": "doc: ", "passage": "p: "}}, "query: ", "doc: ", ""),
        ({"prompts": {"query": "ask: ", "document": None, "corpus": "c: "}}, "ask: ", "c: ", ""),
        ({"prompts": {"query": "ask: "}}, "ask: ", "", ""),
        ({"prompts": {"query": "ask: "}, "default_prompt_name": "query"}, "ask: ", "", "ask: "),
        ({"prompts": {"document": "d: "}, "default_prompt_name": "document"}, "", "d: ", "d: "),
        ({"prompts": {"any": "a: "}, "default_prompt_name": "any"}, "a: ", "a: ", "a: "),
        ({"prompts": {"any": "a: ", "query": ""}, "default_prompt_name": "any"}, "", "a: ", "a: "),
        ({"prompts": {"sts": "s: "}}, "", "", ""),
        ({"prompts": None}, "", "", ""),
    ],
)
def test_each_role_has_its_prompt(
    folder: Path, values: dict[str, Any], query: str, passage: str, symmetric: str
) -> None:
    assert read_prompts(configure(folder, **values)) == {"query": query, "passage": passage, "symmetric": symmetric}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"prompts": ["query: "]}, "the prompts are no texts"),
        ({"prompts": {"query": 3}}, "the prompts are no texts"),
        ({"prompts": {"query": "q: "}, "default_prompt_name": "other"}, "there is no prompt 'other'"),
    ],
)
def test_prompts_that_cannot_be_are_refused(folder: Path, values: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what) as caught:
        load_embedder(str(configure(folder, **values)))
    assert caught.value.where == str(folder / "config_sentence_transformers.json")


@pytest.mark.parametrize("pooled", [True, False])
def test_vectors_are_those_of_sentence_transformers_by_role(folder: Path, pooled: bool) -> None:
    from sentence_transformers import SentenceTransformer

    configure(
        folder, prompts={"query": "Find this: ", "document": "This is: ", "any": "All: "}, default_prompt_name="any"
    )
    pooling = {"embedding_dimension": 384, "pooling_mode": "mean", "include_prompt": pooled}
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    ours = load_embedder(str(folder))
    assert isinstance(ours, TransformersEmbedder if pooled else LibraryEmbedder)
    library = SentenceTransformer(str(folder), device="cpu")
    expected = {"query": library.encode_query, "passage": library.encode_document, "symmetric": library.encode}
    made = {role: ours.embed(TEXTS, role) for role in ROLES}
    for role in ROLES:
        np.testing.assert_allclose(made[role], expected[role](TEXTS, normalize_embeddings=True), atol=1e-5)
    assert np.abs(made["query"] - made["passage"]).max() > 0.01
    assert np.array_equal(ours.embed(TEXTS), made["passage"])
    assert np.array_equal(OneAtATime(ours).embed(TEXTS, "query"), made["query"])


def test_the_hash_tells_every_prompt(folder: Path) -> None:
    hashes = {
        load_embedder(str(configure(folder, prompts=prompts))).sha256
        for prompts in ({"query": "q: "}, {"query": "r: "}, {"document": "q: "}, {"query": "q: ", "document": "d: "})
    }
    assert len({*hashes, COMMITTED}) == 5
    assert load_embedder(str(configure(folder, prompts={"query": "", "sts": "s: "}))).sha256 == COMMITTED


def test_the_prompt_counts_among_the_tokens_that_are_read(folder: Path) -> None:
    plain = load_embedder("minilm")
    prompted = load_embedder(str(configure(folder, prompts={"query": "a b ", "document": "one two three: "})))
    text = " ".join(["river"] * 254)
    assert (plain.truncated([text]), prompted.truncated([text])) == (0, 1)
    assert len(plain.windows([text], [""])[0]) == 1
    [spans] = prompted.windows([text], [""])
    assert len(text[spans[0][0] : spans[0][1]].split()) == 250
    # A whole window is read: its last word changes its vector.
    first = text[spans[0][0] : spans[0][1]]
    assert not np.allclose(prompted.embed([first]), prompted.embed([first[:-5] + "bread"]), atol=1e-4)


def test_a_cache_never_gives_a_text_the_vector_of_another_role(tmp_path: Path) -> None:
    embedder = WordEmbedder(12, {"query": "q ", "passage": "p "})
    cache = CachedEmbedder(embedder, tmp_path)
    expected = {role: embedder.embed(["mill", "q mill"], role) for role in ROLES}
    for _ in range(2):
        for role in ROLES:
            assert np.array_equal(cache.embed(["mill", "q mill"], role), expected[role])
    assert (cache.hits, cache.misses) == (6, 6)
    assert [cache.prompt(role) for role in ROLES] == ["q ", "p ", ""]


def test_without_a_prompt_the_key_is_the_hash_of_text_as_it_was(tmp_path: Path) -> None:
    import sqlite3

    cache = CachedEmbedder(WordEmbedder(), tmp_path)
    cache.embed(["mill"])
    with sqlite3.connect(cache.path) as database:
        assert database.execute("SELECT key FROM vectors").fetchall() == [(hashlib.sha256(b"mill").digest(),)]
