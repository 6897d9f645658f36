"""What a plan will take: tokens by what each kind of system reads, and time by finished runs of the same kind."""

from __future__ import annotations

import pytest

from rmtbench.core import RunSpec
from rmtbench.options.identity import RunOptions
from rmtbench.runs.estimate import FRAME_TOKENS, Timed, seconds_by, tokens_to_read
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
def test_a_system_reads_the_corpus_once_or_each_time_or_what_it_retrieves(asked: RunSpec, reads: int) -> None:
    assert tokens_to_read(asked, find_system(asked.system), CORPUS, QUESTIONS) == reads + QUESTIONS * FRAME_TOKENS


def test_time_is_in_proportion_to_the_finished_run_that_read_nearest_to_as_much() -> None:
    known = [Timed(spec("cag"), 1_000, 1.0), Timed(spec("cag"), 100_000, 400.0), Timed(spec("oracle"), 50_000, 9.0)]
    assert seconds_by(spec("cag"), 50_000, known) == pytest.approx(200.0)
    assert seconds_by(spec("cag"), 2_000, known) == pytest.approx(2.0)


def test_time_is_unknown_without_a_finished_run_of_the_same_system_and_model() -> None:
    other = RunSpec("cag", "squad", "8k", "mini-short", "miniature:x@0")
    assert seconds_by(spec("cag"), 1_000, [Timed(other, 1_000, 1.0), Timed(spec("oracle"), 1_000, 1.0)]) is None
