"""What a new user meets first: how to begin, names that are nearly right, paths that a shell can read, completion."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_commands import CONSOLE, Command, child_environment, journals, of_systems, rows

from rmtbench.options.request import all_options
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


def test_ctrl_c_scores_the_runs_that_are_finished(
    rmtbench: Command, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    words = [*of_systems(sample_run, "closed-book,full-context"), "--questions", "8", "--max-answer-tokens", "64"]
    child = subprocess.Popen(
        [*CONSOLE, *words], stderr=subprocess.PIPE, text=True, env=child_environment(tmp_path), start_new_session=True
    )
    until = time.monotonic() + 600
    while not any(name.startswith("full") and answers for name, answers in journals(results).items()):
        assert child.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < until
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=600)
    assert (child.returncode, err.count("Traceback")) == (130, 0)
    assert "scoring 1 run\n" in err
    [whole] = results.glob("closed-book-*")
    [part] = results.glob("full-context-*")
    assert len(rows(whole / "scores.jsonl")) == 8
    assert not (part / "scores.jsonl").exists()


def test_a_report_names_the_command_that_scores(rmtbench: Command, tmp_path: Path) -> None:
    results = tmp_path / "my results"
    shutil.copytree(PACKED, results, ignore=shutil.ignore_patterns("report", "*-mini-*"))
    rmtbench("pack", results, "--undo")
    for scores in results.glob("cag-*/scores.jsonl"):
        scores.unlink()
    said = rmtbench("report", results)
    assert said.code == 0
    lines = said.out.splitlines()
    told = lines.index("Scores are missing in 1 run. To make them from the answers on disk:")
    assert lines[told + 1].strip() == f"rmtbench score '{results}'"


def test_a_quick_report_leaves_a_full_one_as_it_was(rmtbench: Command, tmp_path: Path) -> None:
    shutil.copytree(PACKED, tmp_path / "results", ignore=shutil.ignore_patterns("report"))
    assert "earlier report" not in rmtbench("report", tmp_path / "results").out
    before = {path: path.read_bytes() for path in (tmp_path / "results" / "report").rglob("*") if path.is_file()}
    said = rmtbench("report", tmp_path / "results", "--quick")
    assert [path for path in before if not path.exists()] == []
    page = tmp_path / "results" / "report" / "index.html"
    assert page.read_bytes() == before[page]
    assert "of an earlier report, such as figures/" in said.out


@pytest.mark.parametrize("folder", [".", ".."])
def test_a_results_folder_may_be_the_current_one(
    rmtbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    results = tmp_path / "results"
    shutil.copytree(PACKED, results, ignore=shutil.ignore_patterns("report"))
    (results / "below").mkdir()
    monkeypatch.chdir(results if folder == "." else results / "below")
    for words in (("report", folder, "--quick"), ("decide", folder), ("pack", folder)):
        said = rmtbench(*words)
        assert said.code == 0, said.err


def test_what_is_packed_already_is_told(rmtbench: Command, tmp_path: Path) -> None:
    run = next(PACKED.glob("cag-*.zip"))
    shutil.copy(run, tmp_path)
    assert rmtbench("pack", tmp_path).err == "1 run packed already\n"
    assert rmtbench("pack", tmp_path, "--undo").code == 0
    assert rmtbench("pack", tmp_path, "--undo").err == "1 run not packed\n"
    said = rmtbench("pack", tmp_path / "nowhere")
    assert (said.code, len(said.err.splitlines())) == (2, 2)


def test_an_error_names_what_was_typed(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench("data", "check", "nope")
    assert said.err.startswith("error: NAME: no data set 'nope'\n")
    said = rmtbench("data", "check", "./nope")
    assert said.err.startswith("error: NAME ./nope: no such folder\n")
    (tmp_path / "results").mkdir()
    assert "--results" not in rmtbench("decide", tmp_path / "results").err
    assert "error: --dataset: no data set 'nope'\n" in rmtbench("run", "--dataset", "nope").err


def test_a_rare_option_is_explained_where_help_cannot(rmtbench: Command) -> None:
    said = rmtbench("run", "--dataset", "handbook", "--set", "think-tokens=x")
    what, remedy = said.err.splitlines()
    assert what == "error: --set think-tokens: must be a whole number (given: 'x')"
    assert remedy == f"  --set think-tokens: {all_options()['think_tokens'].help}"


def test_a_rare_option_without_a_value_says_what_it_takes(rmtbench: Command) -> None:
    said = rmtbench("run", "--system", "cag", "--dataset", "handbook", "--set", "keep")
    what, remedy = said.err.splitlines()
    assert what == "error: --set keep: is given no value"
    assert remedy == f"  give --set keep=VALUE: {all_options()['keep'].help}"


def test_a_dry_run_says_that_a_judge_needs_a_key(
    rmtbench: Command, sample_run: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    said = rmtbench(*sample_run, "--judge", "openai:grader", "--dry-run")
    assert said.code == 0
    assert "needed first: --judge (OPENAI_API_KEY): the key for api.openai.com is missing" in said.err
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    assert "needed first" not in rmtbench(*sample_run, "--judge", "openai:grader", "--dry-run").err


def test_a_page_without_scripts_has_every_verdict(rmtbench: Command, tmp_path: Path) -> None:
    shutil.copytree(PACKED, tmp_path / "results", ignore=shutil.ignore_patterns("report"))
    assert rmtbench("report", tmp_path / "results").code == 0
    page = (tmp_path / "results" / "report" / "index.html").read_text(encoding="utf-8")
    static = page.partition("<noscript>")[2].partition("</noscript>")[0]
    assert "<h2>handbook 4k, smollm2+reading</h2>\n<p>Use rag-hybrid top-1 for now." in static
    assert "<h2>hotpotqa large, mini</h2>\n<p>Use cag for now." in static


def test_compare_shows_only_what_applies(rmtbench: Command) -> None:
    said = rmtbench("compare", "cag-handbook", "rag-sparse-top3-handbook", "--results", PACKED)
    changed = said.out.partition("What changed")[2].partition("Questions that flipped")[0]
    told = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in changed.splitlines() if " spec." in line}
    assert re.fullmatch(r"does not apply +3", told["spec.top_k"])
    assert "spec.chunk_tokens" not in told or told["spec.chunk_tokens"].startswith("does not apply")
    flips = [line for line in said.out.splitlines() if re.search(r" 0  ", line)]
    assert flips
    assert all(line.startswith((" right → wrong", " wrong → right")) for line in flips)
