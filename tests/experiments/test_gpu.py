"""The script for a GPU, tried on the CPU with a tiny model: every step gives its file, and none is done twice."""

from __future__ import annotations

import json
import weakref
from pathlib import Path

import pytest

from experiments.gpu import STEPS, Bench, _command, main, marked_tests, run

QUICK = [name for name in STEPS if name not in ("tests", "rmt", "table3")]
"""The others start commands that have tests of their own."""


def test_every_step_gives_its_file_on_the_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--device", "cpu", "--geometry", "tiny", "--lengths", "300,600", "--batches", "1,3"]
    main([str(tmp_path), *words, "--steps", ",".join(QUICK)])
    said = capsys.readouterr().out
    assert "failed" not in said
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in QUICK}
    assert [row["what"] for row in found["operators"]["rows"]] == ["prefix"] * 4 + ["ragged"] * 2
    assert all(row["output_error"] < 1e-4 for row in found["operators"]["rows"])
    assert found["offload"]["layers_wrong"] == 0
    assert [(row["tokens"], row["batch"], row["way"]) for row in found["decode"]["rows"]] == [
        (tokens, batch, way) for tokens in (300, 600) for batch in (1, 3) for way in ("forward", "static")
    ]
    assert [each["way"] for each in found["profile"]["ways"]] == ["forward", "static"]
    assert [row["segment_tokens"] for row in found["diagonal"]["rows"]] == [16, 32]
    assert all(row["largest_difference"] < 1e-3 * row["largest_number"] for row in found["diagonal"]["rows"])
    assert [row["way"] for row in found["places"]["rows"]] == ["device", "host", "8 bits", "4 bits"]


def test_a_step_that_failed_is_done_again_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_bench: Bench) -> dict[str, object]:
        raise RuntimeError("out of memory")

    bench = Bench("cpu", "tiny", [64], [1])
    monkeypatch.setitem(STEPS, "machine", fail)  # type: ignore[arg-type] - a dictionary in truth
    monkeypatch.setitem(STEPS, "offload", lambda _bench: {"layers_wrong": 0})  # type: ignore[arg-type]
    assert [line.partition(" in ")[0] for line in run(bench, tmp_path, ["machine", "offload"])] == [
        "machine: failed",
        "offload: done",
    ]
    assert json.loads((tmp_path / "machine.json").read_text())["error"] == "RuntimeError: out of memory"
    monkeypatch.setitem(STEPS, "machine", lambda _bench: {})  # type: ignore[arg-type]
    lines = list(run(bench, tmp_path, ["machine", "offload"]))
    assert lines[0].startswith("machine: done in")
    assert lines[1] == "offload: done before"


def test_a_test_that_fails_makes_its_step_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    (tmp_path / "test_it.py").write_text("import pytest\n\n@pytest.mark.gpu\ndef test_it(): assert False, 'wrong'\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match=r"pytest ended with code 1: .*AssertionError: wrong"):
        marked_tests(Bench("cpu", "tiny", [64], [1]))


def test_a_failed_step_ends_the_command_with_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_bench: Bench) -> dict[str, object]:
        raise RuntimeError("out of memory")

    monkeypatch.setitem(STEPS, "machine", fail)  # type: ignore[arg-type] - a dictionary in truth
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--device", "cpu", "--geometry", "tiny", "--steps", "machine"])
    assert ended.value.code == 1


@pytest.mark.parametrize("other", [["--geometry", "small"], ["--lengths", "64,128"], ["--batches", "2"]])
def test_results_of_other_settings_do_not_count_as_done(
    other: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = {"--device": "cpu", "--geometry": "tiny", "--lengths": "64", "--batches": "1", "--steps": "offload"}
    words = [word for pair in usual.items() for word in pair]
    main([str(tmp_path), *words])
    before = (tmp_path / "offload.json").read_bytes()
    main([str(tmp_path), *words])
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), *words, *other])
    assert ended.value.code == 2
    assert f"offload.json holds results of {other[0][2:]} " in capsys.readouterr().err
    assert (tmp_path / "offload.json").read_bytes() == before


def test_a_command_has_the_device_to_itself() -> None:
    bench = Bench("cpu", "tiny", [64], [1])
    weights = weakref.ref(bench.model.model)
    _command(bench, "--help")
    assert weights() is None
