"""Every experiment of the repository can be planned on any machine: what is missing is named, not refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_commands import Command  # noqa: TC002 - as the other tests of commands

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))
NEEDS_FILES = ("real", "paper")


def needed(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("needed first: ")]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_plan_of_every_experiment_refuses_nothing(rmtbench: Command, tmp_path: Path, path: Path) -> None:
    said = rmtbench("sweep", path, "--results", tmp_path / "results", "--dry-run")
    assert said.code == 0, said.err
    assert "cannot be done" not in said.err
    assert said.out
    assert all(line.endswith("time not known") for line in said.out.splitlines())
    assert not (tmp_path / "results").exists()
    if path.stem == "paper":  # its data and its model are on the hub
        told = "".join(needed(said.err))
        assert told.count("the hub cannot be reached for ") == 3
        assert "model 'meta-llama/Llama-3.1-8B-Instruct' cannot be loaded" in told
        assert "scorer model 'roberta-large' cannot be loaded" in told
        assert "nothing can be counted: the data is not here" in said.err
    if path.stem == "rmt-lengths":
        assert any("no trained memory for 'mini'" in line for line in needed(said.err))


@pytest.mark.parametrize("path", [path for path in EXPERIMENTS if path.stem in NEEDS_FILES], ids=lambda path: path.stem)
def test_official_files_that_are_not_there_are_named(rmtbench: Command, tmp_path: Path, path: Path) -> None:
    folder = tmp_path / "official"
    folder.mkdir()
    said = rmtbench("sweep", path, "--results", tmp_path / "results", "--dry-run", "--data-dir", folder)
    assert said.code == 0, said.err
    files = [line for line in needed(said.err) if " file here " in line]
    assert {line.split(": no ")[1].split(" ")[0] for line in files} == {"squad", "hotpotqa", "triviaqa"}
    assert all(str(folder) in line for line in files)


def test_official_files_at_no_such_place_are_refused(rmtbench: Command, tmp_path: Path) -> None:
    path = next(path for path in EXPERIMENTS if path.stem == "real")
    said = rmtbench("sweep", path, "--results", tmp_path / "r", "--dry-run", "--data-dir", tmp_path / "nowhere")
    assert said.code == 2
    assert "nowhere: no such file or folder" in said.err


def test_a_run_whose_data_is_on_the_hub_is_told_what_it_needs(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench("run", "--profile", "paper", "--dataset", "squad", "--results", tmp_path / "r", "--dry-run")
    assert said.code == 0, said.err
    assert "the hub cannot be reached for 'squad'" in needed(said.err)[0]
    assert "give official files with --data-dir or RMTBENCH_DATA" in said.err


def test_a_plan_converts_no_weights(rmtbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "fresh"))
    said = rmtbench("run", "--dataset", "handbook", "--results", tmp_path / "r", "--dry-run")
    assert said.code == 0, said.err
    assert not list((tmp_path / "fresh").glob("gguf/*/"))


@pytest.mark.parametrize("command", [("run", "--dataset", "handbook"), ("sweep", EXPERIMENTS[0])], ids=["run", "sweep"])
@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["really", "dry"])
def test_a_results_folder_that_is_a_file_is_refused_at_once(
    rmtbench: Command, tmp_path: Path, command: tuple[object, ...], more: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("")
    for results in (tmp_path / "file", tmp_path / "file" / "below"):
        said = rmtbench(*command, "--results", results, *more)
        assert said.code == 2
        assert said.err.splitlines()[-2:] == [
            f"error: {results}: cannot be written (Not a directory)",
            "  choose another folder with --results",
        ]
