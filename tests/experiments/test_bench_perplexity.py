"""Perplexity by segments and by windows: the same tokens are scored, each by what stood before it and could be seen."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from rmt_bench_memories import SEGMENT, opening, save_memory, words

from experiments.benches.options import PerplexityBench
from experiments.benches.perplexity import run, with_memory, with_window
from rmtbench.bench.rmt_texts import load_base, load_memory
from rmtbench.errors import UserError

TEXT = words(3 * SEGMENT + 5, "text")


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_memory(tmp_path_factory.mktemp("memory"))


@pytest.fixture(scope="module")
def base(memory: Path):
    torch.set_num_threads(1)
    return load_base(opening(memory))


@pytest.fixture(scope="module")
def recurrent(memory: Path):
    return load_memory(opening(memory))[1]


@torch.inference_mode()
def nats(model, ids: list[int], first: int) -> float:
    """Surprise at ``ids[first:]``, by transformers' own loss."""
    labels = torch.tensor([[-100] * first + ids[first:]])
    count = len(ids) - max(first, 1)
    return float(model(input_ids=torch.tensor([ids]), labels=labels).loss) * count


def test_a_window_as_long_as_the_text_is_the_models_own_loss(base) -> None:
    found = with_window(base, iter(TEXT), len(TEXT), len(TEXT))
    assert found.tokens == len(TEXT) - 1
    assert found.nats == pytest.approx(nats(base.model, TEXT, 0), rel=1e-4)


def test_windows_end_to_end_see_nothing_of_what_lies_before_them(base) -> None:
    found = with_window(base, iter(TEXT), SEGMENT, SEGMENT)
    expected = nats(base.model, TEXT[:SEGMENT], 0)
    for start in range(SEGMENT, len(TEXT), SEGMENT):
        ids = TEXT[start : start + SEGMENT]
        # The first token of a window is foretold by the end of the window before it.
        expected += nats(base.model, TEXT[start - SEGMENT : start + 1], SEGMENT) + nats(base.model, ids, 0)
    assert (found.tokens, found.nats) == (len(TEXT) - 1, pytest.approx(expected, rel=1e-4))


def test_overlapping_windows_score_each_token_once(base) -> None:
    stride = SEGMENT // 2
    expected = nats(base.model, TEXT[:stride], 0)
    for start in range(stride, len(TEXT), stride):
        kept = TEXT[max(0, start - stride) : start]
        expected += nats(base.model, kept + TEXT[start : start + stride], len(kept))
    found = with_window(base, iter(TEXT), SEGMENT, stride)
    assert (found.tokens, found.nats) == (len(TEXT) - 1, pytest.approx(expected, rel=1e-4))


@torch.inference_mode()
def by_hand(model, *, forget: bool) -> float:
    """Surprise at all but the first token, segment by segment."""
    memory, last, total = model.initial_memory(1), None, 0.0
    for start in range(0, len(TEXT), SEGMENT):
        ids = TEXT[start : start + SEGMENT]
        read = model.read_segment(model.initial_memory(1) if forget else memory, [ids])
        states = [] if last is None else [last]
        states += list(read.text[0])
        for state, token in zip(states, ids if last is not None else ids[1:], strict=False):
            total -= float(torch.log_softmax(model.logits(state), -1)[token])
        memory, last = read.memory, read.text[0, -1]
    return total


@pytest.mark.parametrize("forget", [False, True])
def test_memory_is_carried_unless_it_is_forgotten(recurrent, forget: bool) -> None:
    told = []
    found = with_memory(recurrent, iter(TEXT), forget=forget, watch=told.append)
    assert (found.tokens, found.nats) == (len(TEXT) - 1, pytest.approx(by_hand(recurrent, forget=forget), rel=1e-4))
    assert told == [32, 64, 96, 101]


def test_forgetting_changes_what_is_foretold(recurrent) -> None:
    assert with_memory(recurrent, TEXT).nats != with_memory(recurrent, TEXT, forget=True).nats


def test_a_stride_beyond_its_window_is_refused(base) -> None:
    with pytest.raises(ValueError, match="a stride of 9 in a window of 8"):
        with_window(base, TEXT, 8, 9)


def test_all_readers_are_compared_on_the_texts_of_a_task(memory: Path) -> None:
    figures = run(PerplexityBench(memory=memory, tokens="100", texts=2, task="detect", device="cpu"))
    assert json.loads(json.dumps(figures)) == figures
    rows = {row["reader"]: row for row in figures["rows"]}
    assert list(rows) == ["memory", "memory forgotten", "base", "base sliding"]
    for row in rows.values():
        assert row["tokens"] == 2 * 99
        assert row["perplexity"] == pytest.approx(math.exp(row["nll"]))
        assert row["nll_above_memory"] == pytest.approx(row["nll"] - rows["memory"]["nll"], abs=1e-9)
        assert row["standard_error"] > 0
    assert (figures["window"], figures["text"], figures["model"]["id"]) == (SEGMENT, "detect", "mini")


def test_a_file_is_one_text_read_to_the_wanted_length(memory: Path, base, tmp_path: Path) -> None:
    file = tmp_path / "harbour.txt"
    file.write_text("The harbour lies on the river.\nIts market is held on Fridays.\n" * 9, encoding="utf-8")
    figures = run(PerplexityBench(memory=memory, tokens="40", text=(file,), device="cpu"))
    rows = {row["reader"]: row for row in figures["rows"]}
    ids = [token for line in file.read_text().splitlines(keepends=True) for token in base.token_ids(line)][:40]
    assert figures["text"] == ["harbour.txt"]
    assert (rows["base"]["tokens"], rows["base"]["standard_error"]) == (39, None)
    assert rows["base"]["nll"] == pytest.approx(with_window(base, ids, SEGMENT, SEGMENT).nats / 39)


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"tokens": "4x"}, "--tokens"),
        ({"tokens": "20", "task": "facts-8"}, "--tokens"),
        ({"window": 131_073}, "--window"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_option(memory: Path, asked: dict, where: str) -> None:
    with pytest.raises(UserError) as refused:
        run(PerplexityBench(memory=memory, texts=1, device="cpu", **{"tokens": "100", "task": "detect", **asked}))
    assert refused.value.where == where


@pytest.mark.parametrize(("content", "says"), [(None, "no such file"), (b"\xff\xfe", "UTF-8"), (b"", "two tokens")])
def test_a_file_that_is_no_text_is_refused(memory: Path, tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "text.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=says):
        run(PerplexityBench(memory=memory, tokens="40", text=(file,), device="cpu"))
