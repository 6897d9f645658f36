"""Each choice of retrieval stands in the spec where it is not the usual one, and leaves other runs' names alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rmtbench.core import RunSpec, Source
from rmtbench.errors import UserError
from rmtbench.journal.layout import RunFolder, run_id
from rmtbench.journal.rows import spec_from_row, spec_to_row
from rmtbench.models.rerank import reranker_label
from rmtbench.runs.plan import plan_runs
from rmtbench.runs.sweep import read_sweep
from rmtbench.spec import make_request, rare_options
from rmtbench.systems.indexing import RetrievalSettings

SOURCE = Source("official", "dev-v1.1.json", "ab" * 32)
COMMITTED = Path(__file__).parents[2] / "results" / "mini"
SYSTEMS = ("closed-book", "cag", "rag-sparse", "rag-dense", "rag-hybrid")
USUAL = {
    "rag-sparse": "rag-sparse-top3-squad-small-random-tiny-",
    "rag-dense": "rag-dense-top3-squad-small-random-tiny-",
}


def plan(**given: Any) -> dict[str, RunSpec]:
    values = {"systems": SYSTEMS, "dataset": "squad", "model": "random:tiny", **given}
    if "top_tokens" not in given:
        values["top_k"] = (3,)
    return {s.system: s for s in plan_runs(make_request("mini", values), SOURCE, device="cpu", dtype="float32")}


WINDOWS = {"embed_windows": "on"}
EMBEDS = ("rag-dense", "rag-hybrid")


def settings_of(spec: RunSpec) -> dict[str, str]:
    """All settings but the usual windows of systems that embed, which are asserted."""
    assert (dict(spec.settings).get("embed_windows") == "on") == (spec.system in EMBEDS)
    return {name: value for name, value in spec.settings if name != "embed_windows"}


def test_usual_choices_are_not_in_spec_but_windows_are() -> None:
    usual = plan()
    assert {name for name, spec in usual.items() if dict(spec.settings) == WINDOWS} == set(EMBEDS)
    assert {spec.settings for name, spec in usual.items() if name not in EMBEDS} == {()}
    same = plan(split="sentence", chunk_order="rank")
    assert same == usual
    assert all(run_id(usual[name]).startswith(start) for name, start in USUAL.items())


@pytest.mark.parametrize(
    ("given", "settings", "systems"),
    [
        ({"stemming": "english"}, {"stemming": "english"}, {"rag-sparse", "rag-hybrid"}),
        ({"stop_words": "english"}, {"stop_words": "english"}, {"rag-sparse", "rag-hybrid"}),
        ({"split": "token"}, {"split": "token"}, {"rag-sparse", "rag-dense", "rag-hybrid"}),
        ({"chunk_order": "document"}, {"chunk_order": "document"}, {"rag-sparse", "rag-dense", "rag-hybrid"}),
        ({"top_tokens": 900}, {"top_tokens": "900"}, {"rag-sparse", "rag-dense", "rag-hybrid"}),
        ({"sparse_backend": "llama-index"}, {"sparse_backend": "llama-index"}, {"rag-sparse", "rag-hybrid"}),
        ({"qdrant": "memory"}, {"vector_store": "qdrant in-process"}, {"rag-dense", "rag-hybrid"}),
        ({"qdrant": "http://me:hunter2@host:6333"}, {"vector_store": "qdrant"}, {"rag-dense", "rag-hybrid"}),
    ],
)
def test_another_choice_changes_only_its_runs(
    given: dict[str, Any], settings: dict[str, str], systems: set[str]
) -> None:
    usual, other = plan(), plan(**given)
    assert {name for name in SYSTEMS if run_id(usual[name]) != run_id(other[name])} == systems
    assert all(settings_of(other[name]) == settings for name in systems)
    assert all(spec_from_row(spec_to_row(spec), "here") == spec for spec in other.values())


@pytest.mark.parametrize("given", ["off", False])
def test_without_windows_spec_equals_earlier_runs(given: object) -> None:
    usual, off = plan(), plan(embed_windows=given)
    assert {name for name in SYSTEMS if run_id(usual[name]) != run_id(off[name])} == set(EMBEDS)
    assert {spec.settings for spec in off.values()} == {()}
    assert not RetrievalSettings.of(off["rag-dense"]).windows
    assert RetrievalSettings.of(usual["rag-dense"]).windows
    assert plan(embed_windows=True) == plan(embed_windows="on") == usual


def test_committed_runs_are_finished_for_the_default_only() -> None:
    committed = {path.stem for path in COMMITTED.iterdir() if path.name.startswith(EMBEDS)}
    assert len(committed) > 10
    for name in committed:
        row = json.loads(RunFolder(COMMITTED / name).spec.read_bytes())["spec"]
        spec = spec_from_row(row, name)
        assert run_id(spec) == name
        values = {"systems": (spec.system,)} | {
            field: row[field]
            for field in ("dataset", "size", "model", "answer_style", "seed", "draws", "questions", "max_answer_tokens")
        }
        source = Source("miniature", spec.data.split(":")[1].split("@")[0], spec.data.split("@")[1] + "0" * 48)
        for windows in ("off", "on"):
            request = make_request("mini", values | {"embed_windows": windows, "top_k": (spec.top_k,)})
            [made] = plan_runs(request, source, device=spec.device, dtype=spec.dtype)
            assert (run_id(made) == name) == (windows == "on")


def test_a_budget_of_tokens_makes_one_run_that_still_retrieves() -> None:
    spec = plan(top_tokens=900)["rag-hybrid"]
    assert (spec.top_k, spec.retrieves) == (None, True)
    assert RetrievalSettings.of(spec).top_tokens == 900
    assert not plan()["cag"].retrieves


def test_a_reranker_stands_by_name_and_hash_and_never_by_path(cross_encoder: Path) -> None:
    settings = settings_of(plan(reranker=str(cross_encoder), candidates=20)["rag-dense"])
    assert settings == {"reranker": reranker_label(str(cross_encoder)), "candidates": "20"}
    assert str(cross_encoder.parent) not in repr(settings)
    assert settings_of(plan(reranker="some/hub-id")["rag-dense"]) == {"reranker": "some/hub-id"}


def test_kept_indexes_stand_without_their_folder(tmp_path: Path) -> None:
    specs = plan(index=tmp_path, dense_index="hnsw")
    assert dict(specs["rag-sparse"].settings) == {"index": "kept"}
    assert settings_of(specs["rag-hybrid"]) == {"index": "kept hnsw"}
    assert specs["cag"].settings == ()


@pytest.mark.parametrize(
    ("given", "where", "what", "remedy"),
    [
        ({"top_tokens": 900, "top_k": (3,)}, "--top-tokens", "by number or by tokens", "leave --top-k out"),
        ({"top_tokens": 100}, "--top-tokens", "leaves no room for a chunk", "--chunk-tokens"),
        ({"top_tokens": 0}, "--top-tokens", "at least 1", "--top-tokens"),
        ({"stemming": "englisch"}, "--stemming", "no stemmer for 'englisch'", "english"),
        ({"stop_words": "german"}, "--stop-words", "no stop words for 'german'", "english"),
        ({"split": "word"}, "--split", "must be 'sentence' or 'token'", "--split"),
        ({"chunk_order": "best"}, "--chunk-order", "must be 'rank' or 'document'", "--chunk-order"),
        ({"candidates": 9}, "--set candidates", "means nothing without --reranker", "--reranker"),
        ({"dense_index": "ivf"}, "--set dense-index", "means nothing without --index", "--index"),
        ({"sparse_backend": "solr"}, "--set sparse-backend", "must be 'fast' or 'llama-index'", "--set sparse"),
        *(
            ({"sparse_backend": "llama-index", **other}, option, "words of its own", "leave --set sparse-backend out")
            for other, option in (
                ({"stemming": "english"}, "--stemming"),
                ({"stop_words": "english"}, "--stop-words"),
                ({"index": Path("kept")}, "--index"),
            )
        ),
        ({"embed_windows": "some"}, "--set embed-windows", "must be 'on' or 'off'", "--set embed-windows"),
        ({"qdrant": "memory", "index": Path("kept")}, "--set qdrant", "in files or by Qdrant", "leave --index out"),
    ],
)
def test_impossible_choice_is_refused_with_valid_ones(
    given: dict[str, Any], where: str, what: str, remedy: str
) -> None:
    with pytest.raises(UserError) as caught:
        make_request("mini", {"systems": ("rag-sparse",), "dataset": "squad", **given})
    assert caught.value.where == where
    assert what in caught.value.what
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("given", "option", "system"),
    [
        ({"sparse_backend": "llama-index", "systems": ("rag-dense",)}, "--set sparse-backend", "rag-sparse"),
        ({"qdrant": "memory", "systems": ("closed-book", "rag-sparse")}, "--set qdrant", "rag-dense"),
    ],
)
def test_a_choice_that_no_system_heeds_is_refused(given: dict[str, Any], option: str, system: str) -> None:
    with pytest.raises(UserError, match="no system here has use for it") as caught:
        plan(**given)
    assert caught.value.where == option
    assert system in caught.value.remedy


def test_rare_choices_are_set_by_name() -> None:
    given = rare_options(["chunk-overlap=32", "candidates=20", "dense-index=flat"])
    request = make_request("mini", {"systems": ("rag-dense",), "reranker": "x/y", "index": Path("here"), **given})
    assert (request.chunk_overlap, request.candidates, request.dense_index) == (32, 20, "flat")


def test_a_sweep_takes_every_choice(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "runs:\n  - {system: rag-hybrid, dataset: squad, top_tokens: 800, stemming: english, stop_words: english,\n"
        "     split: token, chunk_order: document, reranker: x/y, candidates: 9, chunk_overlap: 16,\n"
        "     chunk_tokens: 200, index: kept}\n"
    )
    [one] = read_sweep(file).requests
    asked = one.request
    assert (asked.top_tokens, asked.stemming, asked.stop_words, asked.split) == (800, "english", "english", "token")
    assert (asked.chunk_order, asked.reranker, asked.candidates, asked.chunk_overlap) == ("document", "x/y", 9, 16)
    assert asked.index == Path("kept")
