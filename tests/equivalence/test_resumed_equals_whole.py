"""A run that was interrupted, at whatever moment and however often, ends as one that nobody disturbed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmtbench.core import Draw, RunSpec
from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run
from rmtbench.models.local import LocalModel
from rmtbench.runs.loop import Event, Outcome, execute
from rmtbench.systems.resources import Resources

OF_A_PROCESS = ("timings", "session", "warmup")
"""What an answer may owe to the process that gave it."""
ANSWERS = 28
"""Four runs over two draws of four and three questions."""


class InterruptionError(Exception):
    """Stands for whatever ends a process: nobody catches it."""


@pytest.fixture
def draws(towns: Draw) -> list[Draw]:
    """Two draws that share a question and all documents, in other orders."""
    corpus, gold = towns.corpus, towns.gold
    first = replace(corpus, questions=corpus.questions[:4])
    second = replace(
        corpus, id="towns-1", draw=1, documents=corpus.documents[::-1], questions=tuple(corpus.questions[3:])
    )
    return [Draw(first, gold[:4]), Draw(second, gold[3:])]


def specs(batch: int) -> list[RunSpec]:
    settings: list[tuple[str, int | None]] = [("oracle", None), ("cag", None), ("rag-sparse", 1), ("rag-sparse", 3)]
    return [
        RunSpec(
            system,
            "towns",
            "all",
            "random:tiny",
            "own:towns@0",
            top_k=top_k,
            max_answer_tokens=4,
            batch=batch,
            chunk_tokens=32,
            draws=2,
        )
        for system, top_k in settings
    ]


def resources(model: LocalModel) -> Resources:
    return Resources(specs(1)[0], replace(model, max_answer_tokens=4), provenance={"model": {"id": "tiny"}})


def run(
    results: Path, batch: int, draws: Sequence[Draw], model: LocalModel, kind: str = "", stop: int = 0
) -> list[Outcome]:
    """Execute all runs; stop at the so-and-so-many-th event of a kind, right after it was told."""
    told = 0

    def report(event: Event) -> None:
        nonlocal told
        told += event.kind == kind
        if told == stop and event.kind == kind:
            raise InterruptionError

    return execute(specs(batch), draws, resources(model), results, report)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model: LocalModel) -> Callable[[int, list[Draw]], Path]:
    """Gives the results folder of a run that nobody disturbed, made once for each batch size."""
    made: dict[int, Path] = {}

    def make(batch: int, draws: list[Draw]) -> Path:
        if batch not in made:
            made[batch] = tmp_path_factory.mktemp("whole")
            run(made[batch], batch, draws, tiny_model)
        return made[batch]

    return make


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def journals(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Every run's answers in the order of its journal, without what belongs to the process."""
    return {
        path.parent.name: [{name: row[name] for name in row if name not in OF_A_PROCESS} for row in rows(path)]
        for path in sorted(results.glob("*/answers.jsonl"))
    }


def contents(results: Path) -> dict[str, bytes]:
    return {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.is_file()}


def assert_as_whole(resumed: Path, whole: Path) -> None:
    expected, found = journals(whole), journals(resumed)
    assert sum(map(len, expected.values())) == ANSWERS
    assert found.keys() == expected.keys()
    for name, answers in expected.items():
        assert [row["question_id"] for row in found[name]] == [row["question_id"] for row in answers]
        assert found[name] == answers
        for file in ("gold.jsonl", "corpora.jsonl", "spec.json"):
            assert (resumed / name / file).read_bytes() == (whole / name / file).read_bytes()
    assert all(read_run(path).complete for path in find_runs(resumed))


@pytest.mark.parametrize(
    ("batch", "stops"),
    [
        (1, [("answer", 1)]),
        (1, [("answer", 4)]),  # the first run's first draw is done, and nothing else
        (1, [("answer", ANSWERS)]),
        (1, [("begin", 2), ("prepared", 2), ("end", 3)]),
        (1, [("answer", 3), ("answer", 1), ("answer", 9), ("answer", 2)]),
        (3, [("answer", 2)]),  # in the midst of a batch, so that the next process batches differently
        (3, [("answer", 6), ("answer", 5), ("prepared", 1), ("answer", 8)]),
    ],
)
def test_answers_ids_and_order_are_those_of_a_whole_run(
    tmp_path: Path,
    tiny_model: LocalModel,
    draws: list[Draw],
    whole: Callable[[int, list[Draw]], Path],
    batch: int,
    stops: list[tuple[str, int]],
) -> None:
    for kind, stop in stops:
        with pytest.raises(InterruptionError):
            run(tmp_path, batch, draws, tiny_model, kind, stop)
    outcomes = run(tmp_path, batch, draws, tiny_model)
    assert [(outcome.answered, outcome.failed) for outcome in outcomes] == [(7, 0)] * 4
    assert_as_whole(tmp_path, whole(batch, draws))


@pytest.mark.parametrize("forwards", [1, 15, 60])
def test_an_end_in_the_midst_of_an_answer_changes_nothing_either(
    tmp_path: Path, tiny_model: LocalModel, draws: list[Draw], whole: Callable[[int, list[Draw]], Path], forwards: int
) -> None:
    done = 0

    def end(*_: object) -> None:
        nonlocal done
        done += 1
        if done == forwards:
            raise InterruptionError

    handle = tiny_model.model.register_forward_pre_hook(end)
    try:
        with pytest.raises(InterruptionError):
            run(tmp_path, 3, draws, tiny_model)
    finally:
        handle.remove()
    assert sum(map(len, journals(tmp_path).values())) < ANSWERS
    run(tmp_path, 3, draws, tiny_model)
    assert_as_whole(tmp_path, whole(3, draws))


def test_a_finished_run_is_left_as_it_is_to_the_last_byte(
    tmp_path: Path, tiny_model: LocalModel, draws: list[Draw]
) -> None:
    run(tmp_path, 1, draws, tiny_model)
    before, events = contents(tmp_path), list[Event]()
    outcomes = execute(specs(1), draws, resources(tiny_model), tmp_path, events.append)
    assert events == []
    assert [(outcome.answered, outcome.failed) for outcome in outcomes] == [(7, 0)] * 4
    assert contents(tmp_path) == before


def test_a_resumed_run_tells_every_process_that_answered(
    tmp_path: Path, tiny_model: LocalModel, draws: list[Draw]
) -> None:
    with pytest.raises(InterruptionError):
        run(tmp_path, 1, draws, tiny_model, "answer", 9)
    run(tmp_path, 1, draws, tiny_model)
    answered = {}
    for path in find_runs(tmp_path):
        assert [row["session"] for row in rows(path / "sessions.jsonl")] == [0, 1]
        answered[path.name.partition("-towns")[0]] = [row["session"] for row in rows(path / "answers.jsonl")]
    assert answered == {
        "cag": [0, 0, 0, 0, 1, 1, 1],
        "oracle": [0, 0, 0, 0, 1, 1, 1],
        "rag-sparse-top1": [0, 1, 1, 1, 1, 1, 1],
        "rag-sparse-top3": [1, 1, 1, 1, 1, 1, 1],
    }
