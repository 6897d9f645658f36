"""The bench by length: it grades what the memory answers, counts what was read, and has a process for each length."""

from __future__ import annotations

import json
import multiprocessing
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from rmt_bench_memories import MEMORY, SEGMENT, Words, opening, save_memory

from rmtbench.analysis.published.figures import published_for
from rmtbench.bench import rmt
from rmtbench.bench.rmt_reading import accuracy, read_by_memory, read_in_full
from rmtbench.bench.rmt_texts import Length, Texts, load_base, load_memory, make_texts
from rmtbench.cli.bench_tables import rmt_table
from rmtbench.errors import UserError
from rmtbench.models.load import load_model
from rmtbench.options.benches import RmtBench
from rmtbench.options.memory import MemoryForm
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.storage import CONFIG, read_stored, save_pretrained, wrap
from rmtbench.rmt.tasks.registry import make_task

LENGTH = Length("160", 5 * SEGMENT, 6)


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_memory(tmp_path_factory.mktemp("memory"), {"task": "detect"})


@pytest.fixture(scope="module")
def loaded(memory: Path):
    torch.set_num_threads(1)
    return load_memory(opening(memory))


def samples(task: Words, length: Length = LENGTH, size: int = SEGMENT):
    """The bench's texts, made again."""
    count = -(-length.tokens // size)
    return [task.sample(count, random.Random(f"0/words/{count}/{number}")) for number in range(length.samples)]


def written(loaded, rows) -> list[tuple[int, ...]]:
    """What the wrapper by itself answers behind the segments of each row."""
    local, model = loaded
    finish = partial(local.contract.finish, end_ids=local.end_ids)
    return [model.generate([row], finish, 80)[0].ids for row in rows]


@pytest.fixture(scope="module")
def answered(loaded) -> dict[tuple[int, ...], tuple[int, ...]]:
    """By question, what the memory answers after the bench's texts."""
    rows = [[*sample.segments, sample.question] for sample in samples(Words())]
    answers = dict(zip([row[-1] for row in rows], written(loaded, rows), strict=True))
    finals = {loaded[0].contract.final_answer(loaded[0].contract.tokenizer.decode(ids)) for ids in answers.values()}
    assert len(finals) > 1, "texts that are all answered alike would hide a mix-up"
    assert "" not in finals
    return answers


@pytest.mark.parametrize("batch", [1, 4])
def test_what_wrapper_answers_by_itself_is_right_in_any_batch(loaded, answered, batch: int) -> None:
    row = read_by_memory(*loaded, Texts(Words(answers=answered), SEGMENT, LENGTH), batch=batch)
    assert row["accuracy"] == 1
    assert (row["samples"], row["batch"], row["segments"], row["tokens"]) == (6, batch, 5, 160)


def test_every_answer_is_graded_for_its_own_text(loaded, answered) -> None:
    wrong = dict(list(answered.items())[:4])  # the two others are expected to answer what they do not
    row = read_by_memory(*loaded, Texts(Words(answers=wrong), SEGMENT, LENGTH), batch=4)
    assert row["accuracy"] == pytest.approx(4 / 6)
    assert row["standard_error"] == pytest.approx((4 / 6 * 2 / 6 / 5) ** 0.5)
    kinds = row["by_kind"].values()
    assert sum(kind["samples"] for kind in kinds) == 6
    assert sum(kind["samples"] * kind["accuracy"] for kind in kinds) == pytest.approx(4)


def test_question_follows_every_segment_if_trained_so(loaded) -> None:
    local, model = loaded
    asked = make_texts(Words, LENGTH, SEGMENT, query_first=True)
    piece = asked.piece
    assert piece == asked.task.size == SEGMENT - 6
    texts = [(list(sample.segments), sample.question) for sample in samples(Words(piece), size=piece)]
    rows = [[*([*segment, *question] for segment in segments), question] for segments, question in texts]
    answers = dict(zip([row[-1] for row in rows], written(loaded, rows), strict=True))
    asked.task.answers = answers
    row = read_by_memory(local, model, asked, batch=3, query_first=True)
    assert row["accuracy"] == 1
    assert (row["segments"], row["tokens"]) == (7, 7 * piece)


def test_questions_that_leave_no_room_for_text_are_refused() -> None:
    with pytest.raises(UserError, match="17 tokens leave too little of a segment of 32"):
        make_texts(partial(Words, question_tokens=17), LENGTH, SEGMENT, query_first=True)


def test_a_text_is_made_as_it_is_read_and_its_progress_is_told(loaded, monkeypatch) -> None:
    monkeypatch.setattr("rmtbench.bench.rmt_reading.REPORT_SECONDS", -1)
    task, told = Words(), []
    texts = Texts(task, SEGMENT, Length("96", 90, 2))
    read_by_memory(*loaded, texts, batch=2, watch=lambda done: told.append((done, len(task.made))))
    warm_up = 4
    assert told == [(64, warm_up + 2), (128, warm_up + 4), (192, warm_up + 6)]


def test_seconds_and_bytes_are_of_the_reading(loaded) -> None:
    row = read_by_memory(*loaded, Texts(Words(), SEGMENT, LENGTH), batch=6)
    assert row["seconds"] == row["read_seconds"] + row["answer_seconds"]
    assert row["tokens_per_second"] == pytest.approx(6 * 160 / row["read_seconds"])
    assert row["seconds_per_token"] == pytest.approx(1 / row["tokens_per_second"])
    assert 0 < row["text_seconds"] < row["read_seconds"]
    assert row["peak_memory_bytes"] == row["peak_resident_bytes"] >= row["loaded_resident_bytes"] > 50e6


def test_a_task_that_needs_a_longer_text_says_so(loaded) -> None:
    with pytest.raises(UserError, match="two segments are needed") as caught:
        read_by_memory(*loaded, Texts(Words(), SEGMENT, Length("20", 20, 1)), batch=1)
    assert caught.value.where == "--lengths 20"


@pytest.fixture(scope="module")
def base(memory: Path):
    return load_base(opening(memory))


def test_the_base_model_reads_the_same_texts_whole(base) -> None:
    local = base
    head = local.context_ids([])
    answers = {}
    for sample in samples(Words()):
        ids = torch.tensor([[*head, *(token for segment in sample.segments for token in segment), *sample.question]])
        made = local.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=80, do_sample=False)
        text = local.contract.final_answer(local.contract.tokenizer.decode(made[0, ids.shape[1] :], True))
        answers[sample.question] = local.token_ids(text)
    row = read_in_full(local, Texts(Words(answers=answers), SEGMENT, LENGTH))
    assert (row["accuracy"], row["samples"], row["tokens"], row["error"]) == (1, 6, 160, None)
    assert row["read_seconds"] > 0


def test_the_base_model_is_warm_before_the_clock_starts(base) -> None:
    task = Words()
    read_in_full(base, Texts(task, SEGMENT, Length("160", 160, 1)))
    assert task.made == [0, 1, 0, 1, 2, 3, 4]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A BABILong file of five rows: four of different lengths, and one that is longer than all."""
    path = tmp_path / "qa1" / "1k.json"
    path.parent.mkdir()
    counts = (2, 3, 4, 5, 60)
    rows = [
        {"input": "Mary went to the garden. " * count, "question": f"Where is Mary? {count}", "target": "garden"}
        for count in counts
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("query_first", [False, True])
def test_each_row_of_a_file_is_read_once_at_most(loaded, base, file: Path, query_first: bool) -> None:
    local, model = loaded
    make = partial(make_task, f"babilong:{file}", local.contract)
    texts = make_texts(make, Length("200", 200, 50), SEGMENT, query_first=query_first)
    asked = {tuple(texts.sample(number).question) for number in range(texts.length.samples)}
    assert (len(asked), texts.length.samples) == (4, 4)
    row = read_by_memory(local, model, texts, batch=3, query_first=query_first)
    whole = read_in_full(base, texts)
    assert (row["samples"], whole["samples"]) == (4, 4)
    assert row["tokens"] == whole["tokens"] < 200
    assert row["segments"] == -(-row["tokens"] // texts.piece)


def test_a_file_whose_texts_are_all_longer_is_refused(loaded, file: Path) -> None:
    make = partial(make_task, f"babilong:{file}", loaded[0].contract)
    with pytest.raises(UserError, match="no text of babilong:qa1/1k fits 1 segments of 4 tokens") as caught:
        make_texts(make, Length("4", 4, 5), 4)
    assert caught.value.where == "--lengths 4"


def test_accumulated_memory_reads_texts_of_unequal_length(tmp_path: Path, file: Path) -> None:
    folder = save_memory(tmp_path / "memory", {"task": "detect"}, form=MemoryForm(memory="accumulate"))
    local, model = load_memory(opening(folder))
    texts = make_texts(partial(make_task, f"babilong:{file}", local.contract), Length("200", 200, 4), SEGMENT)
    assert read_by_memory(local, model, texts, batch=4)["samples"] == 4


def test_a_text_beyond_base_models_context_is_a_row_that_says_so(base) -> None:
    row = read_in_full(base, Texts(Words(), SEGMENT, Length("1M", 1_000_000, 2)))
    assert (row["accuracy"], row["samples"], row["tokens"]) == (None, 0, 1_000_000)
    assert "131072" in row["error"]


def test_few_right_answers_out_of_few_leave_a_wide_interval() -> None:
    all_right = accuracy([True] * 20)
    assert (all_right["accuracy"], all_right["standard_error"], all_right["high"]) == (1, 0, 1)
    assert all_right["low"] == pytest.approx(20 / (20 + 1.959964**2))
    assert accuracy([True])["standard_error"] is None
    assert accuracy([True, False])["low"] == pytest.approx(1 - accuracy([True, False])["high"])


@pytest.mark.parametrize(("text", "tokens"), [("500", 500), ("4k", 4_000), ("1.5M", 1_500_000), ("2m", 2_000_000)])
def test_lengths_are_thousands_and_millions(text: str, tokens: int) -> None:
    assert rmt.parse_tokens(text) == tokens


@pytest.mark.parametrize("text", ["", "k", "4kb", "-1", "0", "9" * 400])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no number above 0"):
        rmt.parse_tokens(text)


def test_long_texts_are_fewer_unless_numbers_are_given() -> None:
    assert [length.samples for length in rmt.parse_lengths(["128k", "1M"])] == [200, 20]
    assert [length.samples for length in rmt.parse_lengths(["128k", "1M"], [7])] == [7, 7]
    assert [length.samples for length in rmt.parse_lengths(["128k", "1M"], [7, 3])] == [7, 3]
    for numbers in ([1, 2, 3], [0]):
        with pytest.raises(UserError, match="numbers of samples"):
            rmt.parse_lengths(["128k", "1M"], numbers)


def test_quotients_are_of_2m_and_32k_and_of_nothing_else() -> None:
    lengths = rmt.parse_lengths(["4k", "32k", "2M"])
    peaks = zip((10.0, 12.0, 15.0), lengths, strict=True)
    rows = [{"peak_memory_bytes": peak, "batch": 20, "tokens": length.tokens, "error": None} for peak, length in peaks]
    assert rmt._ratio(lengths, rows, "peak_memory_bytes") == 1.25
    assert rmt._ratio(lengths[:2], rows[:2], "peak_memory_bytes") is None
    fewer = [*rows[:2], {**rows[2], "batch": 10}]
    assert rmt._ratio(lengths, fewer, "peak_memory_bytes") is None, "fewer side by side take less memory"
    shorter = [*rows[:2], {**rows[2], "tokens": 4_000}]
    assert rmt._ratio(lengths, shorter, "peak_memory_bytes") is None, "a file's texts may be shorter than was asked for"


def test_published_points_are_those_of_the_task() -> None:
    detect = {point.tokens: point.accuracy for point in published_for("detect")}
    assert (detect[2_043_904], len(detect)) == (0.961, 7)
    assert {point.task for point in published_for("two-hop")} == {"reasoning"}
    rmt_points = [point for point in published_for("facts-4") if point.system.startswith("RMT")]
    assert [(rmt_points[0].tokens, rmt_points[0].accuracy), rmt_points[8].accuracy] == [(0, 0.99), 0.59]


def test_the_shipped_memory_is_found_by_its_task(tmp_path: Path, memory: Path, monkeypatch) -> None:
    monkeypatch.setattr(rmt, "SHIPPED", memory.parent)
    assert rmt.shipped_memory("detect") == memory
    with pytest.raises(UserError, match="no memory is shipped for task 'two-hop'") as caught:
        rmt.shipped_memory("two-hop")
    assert "rmtbench train rmt --task two-hop" in caught.value.remedy


@pytest.fixture(scope="module")
def figures(memory: Path):
    """A whole bench of one length, with what it reported."""
    told = []
    asked = RmtBench(
        memory=memory, lengths=("128",), samples=(3,), batch=2, base_too=True, base_samples=1, threads=1, device="cpu"
    )
    return rmt.run(asked, report=told.append), told


def test_every_length_has_its_figures_and_json_can_hold_them(figures, memory: Path) -> None:
    made, told = figures
    assert json.loads(json.dumps(made.to_json())) == made.to_json()
    [row], [base] = made.rows, made.base_rows
    assert (row["length"], row["tokens"], row["samples"], row["batch"]) == ("128", 128, 3, 2)
    assert row["peak_memory_bytes"] > 50e6
    assert (base["length"], base["tokens"], base["samples"], base["error"]) == ("128", 128, 1, None)
    assert made.memory_ratio_2m_to_32k is made.time_per_token_ratio_2m_to_32k is None
    assert made.memory["weights_sha256"] == read_stored(memory).weights_sha256
    assert made.memory["config"]["memory_tokens"] == MEMORY
    assert (made.made_by["model"]["id"], made.made_by["threads"], made.mode) == ("mini", 1, "memory")
    finished = [reading.name for reading in told if reading.row]
    assert finished == ["memory 128", "base model 128"]
    assert all(reading.done <= reading.total for reading in told)


def test_a_base_model_whose_process_fails_is_a_row_that_says_so(memory: Path) -> None:
    fails = replace(opening(memory), threads="no number")
    order = rmt._Order(fails, "detect", "all", Length("128", 128, 1), 1, query_first=False, seed=0)
    row = rmt._base_row(order, lambda _: None)
    assert (row["samples"], row["error"]) == (0, "the process ended with code 1")


def test_a_length_that_fails_loses_no_earlier_one(memory: Path) -> None:
    def kill(reading: rmt.LengthProgress) -> None:
        if reading.name == "memory 200k" and reading.done:
            for process in multiprocessing.active_children():
                process.kill()

    asked = RmtBench(memory=memory, lengths=("128", "200k"), samples=(1,), device="cpu")
    figures = rmt.run(asked, report=kill)
    assert [row["error"] for row in figures.rows] == [None, "the process ended with code -9"]
    table = rmt_table(figures)
    assert [len(row) for row in table.rows] == [len(table.columns)] * 2
    assert "memory, 200k: the process ended with code -9" in table.notes


def test_table_has_a_row_a_length_and_others_points_beside_it(figures) -> None:
    made, _ = figures
    [row], [base] = made.rows, made.base_rows
    rows = [{**row, "tokens": 32_000}, {**row, "length": "300k", "tokens": 300_000}]
    base = [base, {**base, "length": "300k", "error": "too long"}]
    table = rmt_table(replace(made, rows=rows, base_rows=base, memory_ratio_2m_to_32k=1.04))
    assert [len(row) for row in table.rows] == [len(table.columns)] * 2
    assert [row[-1] for row in table.rows] == ["0.998", "–"], "64 segments of 499 are 32k; nothing is near 300k"
    assert table.rows[1][6:8] == ("–", "–")
    assert {"memory_ratio_2m_to_32k: 1.040", "base model, 300k: too long"} < set(table.notes)


def test_encoders_memory_is_refused_before_base_model_is_loaded(tmp_path: Path) -> None:
    path = save_memory(tmp_path) / CONFIG
    described = json.loads(path.read_text())
    described["config"] |= {"kind": "encoder", "special_ids": [1, 2]}
    path.write_text(json.dumps(described | {"base": {**described["base"], "id": "./nowhere"}}))
    with pytest.raises(UserError, match="belongs to an encoder"):
        load_memory(opening(tmp_path))


def test_a_missing_memory_is_refused_before_any_process(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trained memory here"):
        rmt.run(RmtBench(memory=tmp_path, lengths=("128",), samples=(1,), device="cpu"))


def test_random_weights_come_from_memorys_own_seed(tmp_path: Path) -> None:
    local = load_model("random:tiny", seed=3)
    config = RmtConfig(kind="decoder", segment_tokens=32, memory_tokens=4, trained="memory")
    model = wrap(local.model, config, BaseIdentity.of(local.provenance))
    save_pretrained(model, tmp_path / "right", {"seed": 3})
    save_pretrained(model, tmp_path / "wrong", {"seed": 4})
    again, _ = load_memory(opening(tmp_path / "right"))
    assert again.provenance["weights_sha256"] == local.provenance["weights_sha256"]
    with pytest.raises(UserError, match="the memory belongs to base model 'random:tiny'"):
        load_memory(opening(tmp_path / "wrong"))
