"""What a new user meets first: how to begin, names that are nearly right, paths that a shell can read, completion."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from cli_commands import CONSOLE, Command, child_environment, journals

from rmtbench.spec import make_request

PACKED = Path(__file__).parents[2] / "results" / "handbook"


def test_run_without_a_word_names_three_commands_and_starts_none(
    rmtbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = rmtbench("run")
    assert (said.code, said.err) == (2, "")
    commands = [line.strip() for line in said.out.splitlines() if line.startswith("  rmtbench ")]
    assert [shlex.split(each)[:3] for each in commands] == [["rmtbench", "run", "--dataset"]] * 3
    assert [shlex.split(each)[3] for each in commands] == ["handbook", "path/to/folder", "hotpotqa"]
    assert list(tmp_path.iterdir()) == []


def test_the_first_command_reads_with_the_model_it_names() -> None:
    request = make_request("mini", {"dataset": "handbook"})
    assert (request.model, request.adapter) == ("smollm2", "reading")


@pytest.mark.parametrize("words", [(), ("--help",)], ids=["alone", "help"])
def test_the_first_screen_says_in_one_line_how_to_begin(rmtbench: Command, words: tuple[str, ...]) -> None:
    lines = [line for line in rmtbench(*words).out.splitlines() if "To begin:" in line]
    assert [line.strip() for line in lines] == ["To begin: rmtbench run --dataset handbook (model: smollm2; offline)"]


@pytest.mark.parametrize(("given", "meant"), [("rag", "rag-sparse"), ("closed", "closed-book"), ("cagg", "cag")])
def test_a_system_s_first_word_suggests_the_system(rmtbench: Command, given: str, meant: str) -> None:
    said = rmtbench("run", "--system", given)
    assert said.code == 2
    assert said.err.splitlines()[1].startswith(f"  did you mean '{meant}'? Known: ")


def test_compare_takes_a_beginning_that_only_one_run_has(rmtbench: Command) -> None:
    said = rmtbench("compare", "rag-sparse-top3-hand", "rag-sparse-top1-hand", "--results", PACKED)
    assert said.code == 0, said.err
    first, second = said.out.splitlines()[:2]
    assert first.split() == ["first", "rag-sparse-top3-handbook-4k-smollm2-reading-a9ed9063"]
    assert second.split() == ["second", "rag-sparse-top1-handbook-4k-smollm2-reading-e47b7ce4"]


def test_compare_names_the_runs_that_begin_alike(rmtbench: Command) -> None:
    said = rmtbench("compare", "oracle", "cag", "--results", PACKED)
    assert said.code == 2
    assert said.err.splitlines()[0] == "error: cag: several runs begin so"
    both = "cag-handbook-4k-smollm2-reading-382b7af5, cag-hotpotqa-large-mini-b3e61918. "
    assert said.err.splitlines()[1].startswith(f"  {both}")


def test_a_missing_scorer_is_noticed_before_any_answer(
    rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for scorer in ("no-such-scorer", empty):
        said = rmtbench(*sample_run, "--scorer", scorer)
        assert said.code == 2
        assert said.err.startswith(f"error: --scorer: scorer model '{scorer}' cannot be loaded (")
        assert not journals(tmp_path / "results")


def test_the_next_command_is_quoted_for_a_shell(rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path) -> None:
    results = tmp_path / "my results; rm"
    said = rmtbench(*sample_run[:-1], results)
    last = said.err.splitlines()[-1]
    assert shlex.split(last) == ["next:", "rmtbench", "report", str(results)]
    again = rmtbench("score", results, "--metrics", "em").err.splitlines()[-1]
    assert shlex.split(again)[-3:] == ["rmtbench", "report", str(results)]


def completed(tmp_path: Path, line: str) -> list[str]:
    """What a shell is told that may stand at the end of a line."""
    place = str(len(line.split(" ")) - 1)
    asked = {"_RMTBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": place}
    environment = {**child_environment(tmp_path), **asked}
    ended = subprocess.run(CONSOLE, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_a_shell_completes_commands_and_flags(tmp_path: Path) -> None:
    assert completed(tmp_path, "rmtbench comp") == ["compare"]
    assert completed(tmp_path, "rmtbench run --top") == ["--top-k", "--top-tokens"]


def test_a_shell_s_script_is_printed(tmp_path: Path) -> None:
    command = [*CONSOLE, "--show-completion", "bash"]
    environment = {**child_environment(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "complete -o default -F _rmtbench_completion rmtbench" in ended.stdout
