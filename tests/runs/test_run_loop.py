"""The loop: what it tells, what it marks as warm-up, what it counts as failed, and what it hands to whom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmtbench.core import Draw, Gold, Question, RunSpec
from rmtbench.errors import UserError
from rmtbench.journal.record import read_run
from rmtbench.models.local import LocalModel
from rmtbench.options.identity import RunOptions
from rmtbench.runs.loop import Event, Outcome, execute
from rmtbench.runs.memories import load_memory
from rmtbench.systems.registry import system_names
from rmtbench.systems.resources import Resources
from rmtbench.systems.rmt_text import note_writer

PROVENANCE = {"model": {"id": "random:tiny"}, "embedder": {"name": "minilm", "sha256": "ab"}}


def spec(system: str, **fields: Any) -> RunSpec:
    options = RunOptions.read(fields.pop("settings", ()))
    fields = {"max_answer_tokens": 4, "chunk_tokens": 32, "options": options, **fields}
    return RunSpec(system, "towns", "all", "random:tiny", "own:towns@0", **fields)


def run(
    results: Path, specs: Sequence[RunSpec], draws: Sequence[Draw], model: LocalModel, events: list[Event] | None = None
) -> list[Outcome]:
    told = events if events is not None else []
    resources = Resources(specs[0], replace(model, max_answer_tokens=4), provenance=PROVENANCE)
    return execute(specs, draws, resources, results, told.append)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def part(draw: Draw, number: int, questions: int) -> Draw:
    """A draw of that number with the first so many questions."""
    corpus = replace(draw.corpus, id=f"towns-{number}", draw=number, questions=draw.corpus.questions[:questions])
    return Draw(corpus, draw.gold[:questions])


def marks(outcome: Outcome) -> list[bool]:
    return [row["warmup"] for row in rows(outcome.folder, "answers.jsonl")]


def test_every_step_is_told_in_order_with_what_is_done_and_to_do(
    tiny_model: LocalModel, towns: Draw, tmp_path: Path
) -> None:
    events: list[Event] = []
    draws = [part(towns, 0, 2), part(towns, 1, 1)]
    first, second = run(tmp_path, [spec("closed-book", draws=2), spec("cag", draws=2)], draws, tiny_model, events)
    told = [(event.run_id, event.draw, event.kind, event.done, event.total) for event in events]
    assert told == [
        (outcome.run_id, draw, kind, done, total)
        for draw, total, steps in (
            (0, 3, [("begin", 0), ("prepared", 0), ("answer", 1), ("answer", 2), ("end", 2)]),
            (1, 3, [("begin", 2), ("prepared", 2), ("answer", 3), ("end", 3)]),
        )
        for outcome in (first, second)
        for kind, done in steps
    ]
    assert all((event.answer is not None) == (event.kind == "answer") for event in events)
    seconds = [event.prepare_seconds for event in events if event.kind == "prepared" and event.run_id == second.run_id]
    assert min(seconds) > 0


def test_an_answer_is_on_disk_before_it_is_told(tiny_model: LocalModel, towns: Draw, tmp_path: Path) -> None:
    def report(event: Event) -> None:
        if event.answer is not None:
            last = rows(tmp_path / event.run_id, "answers.jsonl")[-1]
            assert (last["question_id"], last["output_ids"]) == (
                event.answer.question_id,
                list(event.answer.output_ids),
            )

    asked = spec("closed-book")
    [outcome] = execute([asked], [towns], Resources(asked, tiny_model, provenance=PROVENANCE), tmp_path, report)
    assert outcome.answered == 6


@pytest.mark.parametrize(("batch", "marked"), [(1, 1), (4, 4), (9, 6)])
def test_the_first_batch_of_each_run_is_marked_as_warm_up(
    tiny_model: LocalModel, towns: Draw, tmp_path: Path, batch: int, marked: int
) -> None:
    specs = [spec("closed-book", batch=batch, draws=2), spec("oracle", batch=batch, draws=2)]
    for outcome in run(tmp_path, specs, [part(towns, 0, 6), part(towns, 1, 6)], tiny_model):
        assert marks(outcome) == [True] * marked + [False] * (12 - marked)


def test_first_batch_cut_short_marks_nothing_of_next_draw(tiny_model: LocalModel, towns: Draw, tmp_path: Path) -> None:
    draws = [part(towns, 0, 2), part(towns, 1, 6)]
    [outcome] = run(tmp_path, [spec("closed-book", batch=4, draws=2)], draws, tiny_model)
    assert marks(outcome) == [True] * 2 + [False] * 6


def test_a_process_that_resumes_marks_its_own_first_batch(tiny_model: LocalModel, towns: Draw, tmp_path: Path) -> None:
    asked = spec("closed-book", draws=2)
    run(tmp_path, [asked], [part(towns, 0, 3)], tiny_model)
    [outcome] = run(tmp_path, [asked], [part(towns, 0, 3), part(towns, 1, 3)], tiny_model)
    assert marks(outcome) == [True, False, False, True, False, False]


def test_failed_answers_are_kept_counted_and_not_asked_again(
    tiny_model: LocalModel, towns: Draw, tmp_path: Path
) -> None:
    long = Question("q2", "Who is the mayor? " * 80)
    questions = tuple(long if question.id == "q2" else question for question in towns.corpus.questions)
    draw = Draw(replace(towns.corpus, questions=questions), towns.gold)
    model = replace(tiny_model, context_limit=300)
    for batch in (1, 4):
        asked = [spec("oracle", batch=batch), spec("rag-sparse", batch=batch, top_k=1)]
        outcomes = run(tmp_path, asked, [draw], model)
        assert [(outcome.answered, outcome.failed) for outcome in outcomes] == [(6, 1), (6, 1)]
        for outcome in outcomes:
            record = read_run(outcome.folder)
            assert (record.complete, record.expected, record.errors) == (True, 6, 1)
            [failed] = [answer for answer in record.answers.values() if answer.error is not None]
            assert failed.question_id == "q2"
            assert "exceed the model's context of 300" in str(failed.error)
        again = run(tmp_path, asked, [draw], model)
        assert [(outcome.answered, outcome.failed) for outcome in again] == [(6, 0), (6, 0)]


def test_only_the_oracles_answers_change_with_the_gold(
    tiny_model: LocalModel, towns: Draw, saved_memory: Path, tmp_path: Path
) -> None:
    turned = tuple(
        Gold(mine.question_id, ("another",), theirs.evidence)
        for mine, theirs in zip(towns.gold, reversed(towns.gold), strict=True)
    )
    without_embedder = [name for name in system_names() if name not in ("rag-dense", "rag-hybrid")]
    settings = {
        "rmt-memory": (("memory", "untaught"),),
        "rmt-query-first": (("memory", "untaught"),),
        "rmt-text": (("chunk_tokens", "96"), ("memory_tokens", "4")),
    }
    specs = [
        spec(name, top_k=2 if name == "rag-sparse" else None, settings=settings.get(name, ()))
        for name in without_embedder
    ]
    short = replace(tiny_model, max_answer_tokens=4)
    memories = {"untaught": load_memory(saved_memory, short)}
    resources = Resources(specs[0], short, memories=memories, writer=note_writer(short, 4), provenance=PROVENANCE)
    texts = [
        [[row["output_ids"] for row in rows(outcome.folder, "answers.jsonl")] for outcome in outcomes]
        for outcomes in (
            execute(specs, [towns], resources, tmp_path / "true", lambda _event: None),
            execute(specs, [Draw(towns.corpus, turned)], resources, tmp_path / "turned", lambda _event: None),
        )
    ]
    changed = [name for name, before, after in zip(without_embedder, *texts, strict=True) if before != after]
    assert changed == ["oracle"]


def test_runs_of_one_command_share_index_and_each_tells_its_cost(
    tiny_model: LocalModel, towns: Draw, tmp_path: Path
) -> None:
    specs = [spec("rag-sparse", top_k=top_k, draws=2) for top_k in (1, 3)]
    outcomes = run(tmp_path, specs, [part(towns, 0, 2), part(towns, 1, 2)], tiny_model)
    first, second = (rows(outcome.folder, "prepared.jsonl") for outcome in outcomes)
    assert [row["shared"] for row in first] == [False, False]
    assert [row["shared"] for row in second] == [True, True]
    assert [row["seconds"] for row in first] == [row["seconds"] for row in second]
    assert first[0]["seconds"] != first[1]["seconds"], "each draw has an index of its own"


def test_the_embedder_stands_in_provenance_of_those_who_use_it(
    tiny_model: LocalModel, towns: Draw, tmp_path: Path
) -> None:
    [outcome] = run(tmp_path, [spec("rag-sparse", top_k=1)], [towns], tiny_model)
    head = json.loads((outcome.folder / "spec.json").read_text(encoding="utf-8"))
    assert head["provenance"] == {"model": PROVENANCE["model"]}


def test_corpora_gold_and_memory_are_noted_for_every_draw(tiny_model: LocalModel, towns: Draw, tmp_path: Path) -> None:
    draws = [part(towns, 0, 2), part(towns, 1, 3)]
    [outcome] = run(tmp_path, [spec("closed-book", draws=2)], draws, tiny_model)
    corpora = rows(outcome.folder, "corpora.jsonl")
    assert [(row["draw"], row["questions"], row["sha256"]) for row in corpora] == [
        (draw.corpus.draw, len(draw.gold), draw.corpus.sha256) for draw in draws
    ]
    texts = [f"{document.title}\n{document.text}" for document in towns.corpus.documents]
    assert {row["tokens"] for row in corpora} == {sum(tiny_model.count_tokens(texts))}
    assert len(rows(outcome.folder, "gold.jsonl")) == 5
    usage = rows(outcome.folder, "usage.jsonl")
    assert [row["draw"] for row in usage] == [0, 1]
    assert all(row["peak_resident_bytes"] > 2**20 and row["peak_device_bytes"] is None for row in usage)


def test_a_draw_of_other_data_is_refused_and_nothing_is_added(
    tiny_model: LocalModel, towns: Draw, tmp_path: Path
) -> None:
    asked = spec("closed-book", draws=2)
    [outcome] = run(tmp_path, [asked], [part(towns, 0, 6)], tiny_model)
    before = (outcome.folder / "answers.jsonl").read_bytes()
    with pytest.raises(UserError, match="begun with other documents or questions"):
        run(tmp_path, [asked], [part(towns, 0, 5)], tiny_model)
    assert (outcome.folder / "answers.jsonl").read_bytes() == before
