"""`rmtbench data` says what is there, names the first defect, and writes draws that can be read again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rmtbench.cli.data import app
from rmtbench.errors import UserError

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RMTBENCH_DATA", raising=False)


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """One SQuAD article, and a HotpotQA file that is not JSON."""
    question = {"id": "s1", "question": "When?", "answers": [{"text": "1642", "answer_start": 11}]}
    paragraph = {"context": "Founded in 1642.", "qas": [question]}
    article = {"title": "Port_Amaret", "paragraphs": [paragraph, paragraph | {"qas": []}]}
    (tmp_path / "data" / "squad").mkdir(parents=True)
    (tmp_path / "data" / "hotpotqa").mkdir()
    (tmp_path / "data" / "squad" / "dev-v1.1.json").write_text(json.dumps({"version": "1.1", "data": [article]}))
    (tmp_path / "data" / "hotpotqa" / "hotpot_dev_distractor_v1.json").write_text('[{"_id": \n')
    return tmp_path / "data"


def listed(*options: str) -> dict[str, dict]:
    result = RUNNER.invoke(app, ["list", "--model", "random:tiny", "--json", *options], catch_exceptions=False)
    assert result.exit_code == 0
    return {row["dataset"]: row for row in json.loads(result.stdout)}


def test_list_shows_the_handbook_and_its_sizes_without_any_data() -> None:
    handbook = listed()["handbook"]
    assert handbook["source"]["kind"] == "embedded"
    sizes = {size["size"]: size for size in handbook["sizes"]}
    assert list(sizes) == ["2k", "4k", "8k", "all"]
    assert sizes["all"]["documents"] == 60
    assert sizes["all"]["questions"] == 438
    assert all(budget / 2 < sizes[f"{budget // 1_000}k"]["tokens"] <= budget * 1.02 for budget in (2_000, 4_000, 8_000))


def test_list_says_of_missing_data_sets_why_and_what_to_do() -> None:
    rows = listed("--profile", "paper")
    assert all(rows[name]["source"] is None for name in ("squad", "hotpotqa", "triviaqa"))
    assert "RMTBENCH_DATA" in rows["squad"]["problem"]["remedy"]
    text = RUNNER.invoke(app, ["list", "--profile", "paper", "--model", "random:tiny"], catch_exceptions=False).stdout
    assert "squad: not here\n  no official files are named; give --data-dir or set RMTBENCH_DATA" in text


def test_list_goes_on_after_a_defect_and_shows_it(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTBENCH_DATA", str(data_folder))
    rows = listed()
    assert rows["squad"]["source"]["name"] == "dev-v1.1.json"
    assert rows["squad"]["sizes"][0] == {"size": "smoke", "tokens": 7, "documents": 1, "questions": 1}
    assert "needs 3 articles" in rows["squad"]["sizes"][1]["problem"]["what"]
    assert "not JSON" in rows["hotpotqa"]["problem"]["what"]
    assert rows["triviaqa"]["problem"]


def test_check_counts_documents_questions_and_oddities(data_folder: Path) -> None:
    result = RUNNER.invoke(app, ["check", "squad", "--data-dir", str(data_folder), "--json"], catch_exceptions=False)
    row = json.loads(result.stdout)
    assert (row["dataset"], row["documents"], row["questions"]) == ("squad", 1, 1)
    assert row["notes"]["duplicate paragraphs"] == 1
    text = RUNNER.invoke(app, ["check", "squad", "--data-dir", str(data_folder)], catch_exceptions=False).stdout
    assert text.startswith("squad: sound (official, dev-v1.1.json, sha256 ")
    assert "        1  duplicate paragraphs\n" in text


def test_check_ends_at_the_first_defect_and_names_its_place(data_folder: Path) -> None:
    result = RUNNER.invoke(app, ["check", "hotpotqa", "--data-dir", str(data_folder)])
    assert isinstance(result.exception, UserError)
    assert "hotpot_dev_distractor_v1.json, line 2" in result.exception.where


def test_check_names_the_nearest_data_set() -> None:
    result = RUNNER.invoke(app, ["check", "hotpot"])
    assert isinstance(result.exception, UserError)
    assert "did you mean 'hotpotqa'?" in result.exception.remedy


def test_an_exported_draw_is_checked_as_an_own_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = RUNNER.invoke(
        app, ["export", "--dataset", "handbook", "--size", "all", "--out", str(out)], catch_exceptions=False
    )
    assert result.stdout.startswith(f"61 files in {out}: 60 documents, 438 questions (handbook-all-seed0-draw0, ")
    again = RUNNER.invoke(app, ["check", str(out), "--json"], catch_exceptions=False)
    row = json.loads(again.stdout)
    assert (row["documents"], row["questions"], row["remark"]) == (60, 438, "")
    assert (row["counted_by"], 20_000 < row["tokens"] < 30_000) == ("smollm2", True)
    assert row["notes"]["questions without evidence"] == 48
    (out / "documents" / "old.log").write_text("x")
    told = RUNNER.invoke(app, ["check", str(out)], catch_exceptions=False).stdout
    assert f"{row['tokens']:9,}  tokens by smollm2\n" in told
    assert f"{out / 'documents'}: not read: 1 .log (old.log); documents are text" in told


def test_export_writes_official_files(data_folder: Path, tmp_path: Path) -> None:
    options = ["--dataset", "squad", "--size", "smoke", "--data-dir", str(data_folder), "--out", str(tmp_path / "out")]
    RUNNER.invoke(app, ["export", *options], catch_exceptions=False)
    again = RUNNER.invoke(
        app, ["check", "squad", "--data-dir", str(tmp_path / "out"), "--json"], catch_exceptions=False
    )
    assert json.loads(again.stdout)["questions"] == 1


def test_the_command_imports_nothing_but_typer() -> None:
    script = "import sys, rmtbench.cli.data; print([m for m in ('torch', 'datasets', 'numpy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_list_shows_miniature_of_each_style_without_files() -> None:
    result = RUNNER.invoke(app, ["list", "--profile", "mini", "--json"], catch_exceptions=False)
    rows = {row["dataset"]: row for row in json.loads(result.stdout)}
    wanted = {
        "squad": (21_000, 32_000, 50_000),
        "hotpotqa": (21_000, 43_000, 85_000),
        "triviaqa": (21_000, 43_000, 85_000),
    }
    for name, budgets in wanted.items():
        assert rows[name]["source"]["kind"] == "miniature"
        tokens = {size["size"]: size["tokens"] for size in rows[name]["sizes"]}
        assert [tokens[size] for size in ("small", "medium", "large")] == [pytest.approx(b, rel=0.02) for b in budgets]


def test_exported_miniature_draw_reads_back_officially(tmp_path: Path) -> None:
    out = tmp_path / "exported"
    words = ["export", "--dataset", "hotpotqa", "--profile", "mini", "--size", "small", "--out", str(out)]
    assert RUNNER.invoke(app, words, catch_exceptions=False).exit_code == 0
    result = RUNNER.invoke(app, ["check", "hotpotqa", "--data-dir", str(out), "--json"], catch_exceptions=False)
    row = json.loads(result.stdout)
    assert (row["source"]["kind"], row["documents"], row["questions"]) == ("official", 160, 16)
