"""What a plan will take: tokens by what each kind of system reads, and time by finished runs of the same kind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rmtbench.core import RunSpec
from rmtbench.journal.layout import run_id
from rmtbench.options.identity import RunOptions
from rmtbench.runs.forecast import FRAME_TOKENS, Measured, Reading, _done_here, forecast, reading_of
from rmtbench.systems.registry import find_system

CORPUS, QUESTIONS = 10_000, 4


def spec(system: str, top_k: int | None = None, **settings: str) -> RunSpec:
    return RunSpec(system, "squad", "8k", "mini", "miniature:x@0", top_k=top_k, options=RunOptions.read(settings))


@pytest.mark.parametrize(
    ("asked", "reads"),
    [
        (spec("closed-book"), 0),
        (spec("full-context"), CORPUS * QUESTIONS),
        (spec("cag"), CORPUS),
        (spec("rmt-memory"), CORPUS),
        (spec("rmt-query-first"), CORPUS * QUESTIONS),
        (spec("rmt-text"), CORPUS * QUESTIONS),
        (spec("rag-sparse", 3), 3 * 512 * QUESTIONS),
        (spec("rag-sparse", 100), CORPUS * QUESTIONS),
        (spec("rag-dense", top_tokens="2000"), 2_000 * QUESTIONS),
    ],
)
def test_system_reads_corpus_once_each_time_or_retrieved(asked: RunSpec, reads: int) -> None:
    reading = reading_of(asked, find_system(asked.system), CORPUS, QUESTIONS)
    assert reading.by_model == reads + QUESTIONS * FRAME_TOKENS


def measured(system: str, corpora: int, prompts: int, prepare: float, answer: float, **more: object) -> Measured:
    return Measured(replace(spec(system), **more), Reading(corpora, prompts), prepare, answer)


def seconds(asked: RunSpec, reading: Reading, *known: Measured) -> float | None:
    found = forecast(asked, reading, known)
    return None if found is None else found.seconds


def test_preparing_goes_by_documents_and_answering_by_prompts() -> None:
    known = measured("cag", 100_000, 1_000, 400.0, 10.0)
    assert seconds(spec("cag"), Reading(50_000, 1_000), known) == pytest.approx(200 + 10)
    assert seconds(spec("cag"), Reading(100_000, 5_000), known) == pytest.approx(400 + 50), "five times the questions"
    assert seconds(spec("cag"), Reading(300_000, 3_000), known) == pytest.approx(1_200 + 30), "three times the draws"


def test_the_reading_grows_with_draws_and_questions() -> None:
    for system, each in (("cag", FRAME_TOKENS), ("full-context", CORPUS + FRAME_TOKENS)):
        reading = reading_of(spec(system), find_system(system), CORPUS, QUESTIONS, draws=3)
        assert (reading.corpora, reading.prompts) == (3 * CORPUS, 3 * QUESTIONS * each)


def test_the_finished_run_that_read_nearest_to_as_much_is_named() -> None:
    near = measured("cag", 1_000, 100, 1.0, 0.0, size="1k")
    far = measured("cag", 100_000, 100, 400.0, 0.0)
    found = forecast(spec("cag"), Reading(2_000, 100), [far, near])
    assert found is not None
    assert (found.by, found.seconds) == (run_id(near.spec), pytest.approx(2.0))


def test_a_run_on_a_gpu_that_is_not_here_was_not_done_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    head = {"schema": 1, "spec": {"device": "cuda:3"}, "provenance": {"machine": {"cores": 4}}}
    (tmp_path / "spec.json").write_text(json.dumps(head))
    assert not _done_here(tmp_path)


def test_a_run_with_the_same_options_counts_first() -> None:
    other = measured("cag", 1_000, 100, 9.0, 0.0, max_answer_tokens=400)
    same = measured("cag", 1_500, 100, 1.5, 0.0)
    assert seconds(spec("cag"), Reading(1_000, 100), other, same) == pytest.approx(1.0)


@pytest.mark.parametrize("more", [{"model": "mini-short"}, {"device": "cuda"}, {"dtype": "bfloat16"}, {"batch": 4}])
def test_time_is_unknown_without_a_finished_run_of_its_kind(more: dict[str, object]) -> None:
    known = [measured("cag", 1_000, 100, 1.0, 1.0, **more), measured("oracle", 1_000, 100, 1.0, 1.0)]
    assert forecast(spec("cag"), Reading(1_000, 100), known) is None
