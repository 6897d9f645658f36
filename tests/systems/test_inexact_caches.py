"""`cag` over composed and quantised caches and RAG over chunks' caches: what they read, count and refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rmtbench.core import Answer, Draw, Prepared, RunSpec
from rmtbench.errors import UserError
from rmtbench.kvcache.approximate.compose import PROBE_TOKENS
from rmtbench.kvcache.disk.store import CacheStore
from rmtbench.models.local import LocalModel
from rmtbench.options.identity import RunOptions
from rmtbench.systems.base import Resources, SharedWork, System
from rmtbench.systems.cag import KIND as CAG

Build = Callable[..., System]
COMPOSED = ("prefix", "composed")


def run(system: System, towns: Draw) -> tuple[Prepared, list[Answer]]:
    with system:
        return system.prepare(towns.corpus), list(system.answer(towns.corpus.questions))


def ids(answers: list[Answer]) -> list[tuple[int, ...]]:
    return [answer.output_ids for answer in answers]


def without(towns: Draw, *numbers: int) -> Draw:
    kept = tuple(document for number, document in enumerate(towns.corpus.documents) if number not in numbers)
    return Draw(replace(towns.corpus, documents=kept), towns.gold)


def test_a_corpus_of_one_document_is_answered_as_by_exact_cache(build: Build, towns: Draw) -> None:
    one = without(towns, 1, 2, 3, 4, 5)
    prepared, answers = run(build("cag", settings=(COMPOSED,), batch=3), one)
    exact, expected = run(build("cag"), one)
    assert ids(answers) == ids(expected)
    assert prepared.bytes > exact.bytes  # room for three questions
    assert set(prepared.seconds) == {"tokenize", "prefill", "compose"}


def test_all_tokens_read_again_give_the_exact_answers(build: Build, towns: Draw) -> None:
    _, expected = run(build("cag"), towns)
    _, composed = run(build("cag", settings=(COMPOSED,)), towns)
    prepared, again = run(build("cag", settings=(COMPOSED, ("recompute", "1"))), towns)
    assert ids(composed) != ids(expected), "with one layer above the first the documents would not differ"
    assert ids(again) == ids(expected)
    assert prepared.counts["recomputed_tokens"] > 0
    assert "recompute" in prepared.seconds


def test_answers_count_the_composed_context_as_cached(build: Build, towns: Draw, tiny_model: LocalModel) -> None:
    prepared, answers = run(build("cag", settings=(COMPOSED,)), towns)
    _, expected = run(build("cag"), towns)
    assert [answer.tokens.prompt for answer in answers] == [answer.tokens.prompt for answer in expected]
    assert {answer.tokens.cached for answer in answers} == {prepared.tokens}


def test_a_kept_document_is_read_once_wherever_it_stands(towns: Draw, tiny_model: LocalModel, tmp_path: Path) -> None:
    spec = RunSpec("cag", "towns", "all", "random:tiny", "own:towns@0", max_answer_tokens=8,
                   options=RunOptions.read((("kv_cache", "on"), COMPOSED)))  # fmt: skip

    def prepare(draw: Draw) -> Prepared:
        with CAG.make(Resources(spec, tiny_model, kv_store=CacheStore(tmp_path, 10**9))) as system:
            return system.prepare(draw.corpus)

    first = prepare(without(towns, 5))
    assert first.counts == {"reused_tokens": 0, "read_tokens": first.tokens}
    fewer = prepare(without(towns, 0, 5))
    assert fewer.counts == {"reused_tokens": fewer.tokens, "read_tokens": 0}
    more = prepare(towns)
    assert more.counts == {"reused_tokens": first.tokens, "read_tokens": more.tokens - first.tokens}


@pytest.mark.parametrize("settings", [(("kv_bits", "8"),), (("kv_bits", "4"), COMPOSED)])
def test_few_bits_take_less_memory_and_tell_their_time(
    build: Build, towns: Draw, settings: tuple[tuple[str, str], ...]
) -> None:
    exact, _ = run(build("cag"), towns)
    prepared, answers = run(build("cag", settings=settings), towns)
    # Two layers: the one that is read back stands beside codes of a quarter or less of both.
    assert prepared.bytes < exact.bytes
    assert prepared.seconds["quantise"] > 0
    assert all(len(answer.output_ids) == 8 for answer in answers)


@pytest.mark.parametrize("more", [(), (("kv_bits", "8"),)])
def test_a_pruned_cache_takes_its_share_of_memory(build: Build, towns: Draw, more: tuple[tuple[str, str], ...]) -> None:
    exact, _ = run(build("cag"), towns)
    settings = tuple(sorted((("prune", "kvzip"), ("keep", "0.5"), *more)))
    prepared, answers = run(build("cag", settings=settings), towns)
    assert prepared.bytes < exact.bytes
    assert prepared.tokens == exact.tokens
    assert list(prepared.seconds)[:3] == ["tokenize", "prefill", "prune"]
    assert all(len(answer.output_ids) == 8 for answer in answers)


@pytest.mark.parametrize("settings", [(), (COMPOSED,)])
def test_a_cache_in_the_hosts_memory_answers_alike(
    build: Build, towns: Draw, settings: tuple[tuple[str, str], ...]
) -> None:
    _, here = run(build("cag", settings=settings), towns)
    prepared, away = run(build("cag", settings=tuple(sorted((*settings, ("kv_place", "host"))))), towns)
    assert ids(away) == ids(here)
    assert prepared.seconds["offload"] > 0


@pytest.mark.parametrize("name", ["rag-sparse", "rag-dense", "rag-hybrid"])
def test_chunks_with_caches_read_only_the_question(name: str, build: Build, towns: Draw) -> None:
    _, plain = run(build(name), towns)
    prepared, cached = run(build(name, settings=(("chunk_cache", "1GB"),)), towns)
    assert [answer.retrieved for answer in cached] == [answer.retrieved for answer in plain]
    assert [answer.tokens.prompt for answer in cached] == [answer.tokens.prompt for answer in plain]
    assert {answer.tokens.cached for answer in plain} == {0}
    assert all(20 < answer.tokens.cached < answer.tokens.prompt for answer in cached)
    assert prepared.seconds["prefill"] > 0


def test_one_chunk_with_its_cache_is_answered_as_without(build: Build, towns: Draw) -> None:
    _, plain = run(build("rag-sparse", top_k=1), towns)
    _, cached = run(build("rag-sparse", top_k=1, settings=(("chunk_cache", "1GB"),), batch=4), towns)
    assert ids(cached) == ids(plain)


def test_chunks_beyond_limit_are_read_with_prompt(build: Build, towns: Draw) -> None:
    _, ahead = run(build("rag-sparse", settings=(("chunk_cache", "1GB"),)), towns)
    prepared, none = run(build("rag-sparse", settings=(("chunk_cache", "1B"),)), towns)
    some, few = run(build("rag-sparse", settings=(("chunk_cache", "60kB"),)), towns)
    assert ids(none) == ids(few) == ids(ahead)
    assert {answer.tokens.cached for answer in none} == {0}
    assert 0 < some.bytes - prepared.bytes <= 60_000
    assert sum(answer.tokens.cached for answer in few) < sum(answer.tokens.cached for answer in ahead)


def test_runs_of_one_command_share_their_chunks_caches(build: Build, towns: Draw, read: list[int]) -> None:
    with SharedWork() as shared:
        first = build("rag-sparse", shared=shared, settings=(("chunk_cache", "1GB"),)).prepare(towns.corpus)
        assert first.counts["read_tokens"] == len(read) - 2 * PROBE_TOKENS > 0, (
            "the model is tried at two places before"
        )
        read.clear()
        second = build("rag-sparse", top_k=4, shared=shared, settings=(("chunk_cache", "1GB"),)).prepare(towns.corpus)
    assert not read
    assert (first.shared, second.shared) == (False, True)
    assert first.seconds["prefill"] == second.seconds["prefill"]


def test_a_limit_that_is_no_size_is_refused_by_its_name(build: Build, towns: Draw) -> None:
    with pytest.raises(UserError, match="is no size") as refused:
        build("rag-sparse", settings=(("chunk_cache", "plenty"),)).prepare(towns.corpus)
    assert refused.value.where == "--set chunk-cache-limit"
