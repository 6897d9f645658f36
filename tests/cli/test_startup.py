"""Help is instant because nothing heavy is imported for it. What is imported is checked, not how long it takes."""

import subprocess
import sys
from pathlib import Path

import pytest
from cli_commands import child_environment

HEAVY = ("torch", "transformers", "llama_index", "datasets", "numpy", "sentence_transformers", "bert_score", "openai")
SCRIPT = f"""
import sys
from rmtbench.cli.main import main
try:
    main()
finally:
    print("heavy:", *[name for name in {HEAVY} if name in sys.modules])
"""


def imported(tmp_path: Path, *words: str) -> tuple[str, str]:
    """What a command prints, and which heavy packages it has imported by its end."""
    command = [sys.executable, "-c", SCRIPT, *words]
    ended = subprocess.run(command, capture_output=True, text=True, env=child_environment(tmp_path), check=False)
    assert ended.returncode == 0, ended.stderr
    text, _, heavy = ended.stdout.rpartition("heavy:")
    return text, heavy.strip()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--help"], "run|score|report|systems|doctor|data|bench|--debug|--version"),
        (["run", "--help"], "--system|--dataset|--top-k|--questions|--fresh|--results"),
        (["report", "--help"], "--json"),
        (["bench", "--help"], "retrieval"),
        (["--version"], "rmtbench "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_version_import_no_heavy_package(tmp_path: Path, words: list[str], told: str) -> None:
    text, heavy = imported(tmp_path, *words)
    assert heavy == ""
    assert all(word in text for word in told.split("|"))


def test_the_check_itself_would_see_a_heavy_package(tmp_path: Path) -> None:
    assert "torch" in imported(tmp_path, "doctor")[1]


def test_a_report_loads_no_model_library(tmp_path: Path) -> None:
    script = SCRIPT.replace("main()\nfinally", "main()\nexcept SystemExit: pass\nfinally")
    command = [sys.executable, "-c", script, "report", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=child_environment(tmp_path), check=False)
    assert "no runs here" in ended.stderr
    assert ended.stdout.strip() == "heavy:"


def test_a_command_called_by_its_name_loads_no_other_command(tmp_path: Path) -> None:
    script = SCRIPT.replace('"heavy:"', '"heavy:", *(name for name in sys.modules if name.startswith("rmtbench.cli."))')
    command = [sys.executable, "-c", script, "run", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, env=child_environment(tmp_path), check=False)
    loaded = set(ended.stdout.rpartition("heavy:")[2].split())
    assert loaded == {"rmtbench.cli.encoding", "rmtbench.cli.flags", "rmtbench.cli.main", "rmtbench.cli.plain_text",
                      "rmtbench.cli.progress", "rmtbench.cli.run"}  # fmt: skip


def test_python_runs_the_package_as_the_console_script_does(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rmtbench", "data", "check", "no-such-data"]
    ended = subprocess.run(command, capture_output=True, text=True, env=child_environment(tmp_path), check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: NAME: no data set 'no-such-data'\n")
