"""The experiment of the paper's Table 3, as it stands in its file but for a small geometry and small corpora."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run

if TYPE_CHECKING:
    from cli_commands import Command

FILE = Path(__file__).parents[2] / "experiments" / "table3-timing.yaml"
SMALLER = {"llama-3.1-8b": "tiny", "[small, medium, large]": "[smoke, 2k]", "questions: 8": "questions: 2",
           "questions: 64": "questions: 3"}  # fmt: skip


def smaller(folder: Path) -> Path:
    """The file with each of these words replaced; each of them must stand there."""
    text = FILE.read_text(encoding="utf-8")
    for word, other in SMALLER.items():
        assert word in text
        text = text.replace(word, other)
    path = folder / FILE.name
    path.write_text(text, encoding="utf-8")
    return path


def test_it_can_be_planned_whole_without_a_gpu_weights_or_hub(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench("sweep", FILE, "--dry-run", "--results", tmp_path)
    assert said.code == 0
    assert "in all 15 runs, 0 of them finished already" in said.err
    assert "cannot be done" not in said.err


def test_every_answer_has_same_length_and_weights_label(rmtbench: Command, tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert rmtbench("sweep", smaller(tmp_path), "--results", results).code == 0
    runs = [read_run(folder) for folder in find_runs(results)]
    assert sorted((run.spec.system, run.spec.batch) for run in runs) == [
        *[("cag", 1)] * 4, *[("cag", 32)] * 2, *[("full-context", 1)] * 4,
    ]  # fmt: skip
    answers = [answer for run in runs for answer in run.answers.values()]
    assert {(answer.finish, answer.tokens.output) for answer in answers} == {("length", 24)}
    shared = {"context": "rmtbench_chunks", "questions": "rmtbench_shared_prefix", "chunk_tokens": 1024}
    assert [run.provenance["kernels"] for run in runs] == [shared] * len(runs)
    report = rmtbench("report", results, "--quick")
    assert report.code == 0
    assert "random weights" in " ".join(report.out.split())
