"""Adding a metric is one file: it is scored, summed up, shown and compared by, here and from another package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from endpoint_server import KEY, serve
from judge_server import by_reference
from report_runs import add_run, spec_of

import rmtbench

PACKAGE = Path(rmtbench.__file__).parent
METRIC = """
from rmtbench.core import MetricValue
from rmtbench.scoring.base import EachItem, MetricKind

def letters(_scorer_model):
    return EachItem({"letters": "letters v1"}, lambda item: {"letters": min(len(item.text) / 8, 1.0)})

METRIC = MetricKind("letters", (MetricValue("letters", "share of 8 letters", order=25),), letters)
"""


def said(folder: Path, *words: str, code: int = 0) -> str:
    """What `rmtbench` prints where it finds packages in a folder first."""
    environ = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{PACKAGE.parent}", "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "-m", "rmtbench", *words], capture_output=True, text=True, env=environ, cwd=folder, check=False
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout + ended.stderr


def install(folder: Path, *, module: str, point: str = "letters = letters_plugin:METRIC") -> None:
    """Put a package with an entry point into a folder, as an installer would."""
    (folder / "letters_plugin.py").write_text(module, encoding="utf-8")
    told = folder / "letters_plugin-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: letters-plugin\nVersion: 1.0\n", encoding="utf-8")
    (told / "entry_points.txt").write_text(f"[rmtbench.metrics]\n{point}\n", encoding="utf-8")


@pytest.fixture(params=["a file of the package", "another package"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder in which Python finds the package with one metric more."""
    folder = tmp_path / "place"
    if request.param == "another package":
        folder.mkdir()
        install(folder, module=METRIC)
        return folder
    scoring = folder / "rmtbench" / "scoring"
    scoring.mkdir(parents=True)
    for path in PACKAGE.iterdir():
        if path.name != "scoring":
            (folder / "rmtbench" / path.name).symlink_to(path)
    for path in (PACKAGE / "scoring").glob("*.py"):
        (scoring / path.name).symlink_to(path)
    (scoring / "letters.py").write_text(METRIC, encoding="utf-8")
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two runs that answered "blue" to everything."""
    folder = tmp_path / "results"
    for system in ("cag", "full-context"):
        add_run(folder, spec_of(system), score=None)
    return folder


def test_one_file_is_a_score_a_summary_a_column_and_a_choice(place: Path, results: Path) -> None:
    said(place, "score", str(results), "--metrics", "em,f1,letters")
    for run in results.iterdir():
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        assert summary["means"]["letters"] == 0.5
        assert summary["values"][-1]["label"] == "share of 8 letters"
    # The report of what is scored knows the metric from the runs alone: its package may be gone.
    gone = results.parent
    said(gone, "report", str(results))
    report = (results / "report" / "report.md").read_text(encoding="utf-8")
    assert "| EM | F1 | share of 8 letters | MiniLM cosine |" in " ".join(report.split())
    assert "letters_standard_error" in (results / "report" / "table2-hotpotqa.csv").read_text(encoding="utf-8")
    assert "letters" in (results / "report" / "pairs-hotpotqa.csv").read_text(encoding="utf-8")
    assert 'letters: "share of 8 letters"' in (results / "report" / "index.html").read_text(encoding="utf-8")
    assert "share of 8 letters" in said(gone, "decide", str(results), "--metric", "letters")
    runs = sorted(str(path) for path in results.iterdir() if path.name != "report")
    assert "letters: 0.500, then 0.500" in said(gone, "compare", *runs, "--metric", "letters")


def test_without_the_file_there_is_no_such_metric(results: Path) -> None:
    assert "no metric 'letters'" in said(results.parent, "score", str(results), "--metrics", "letters", code=2)
    said(results.parent, "score", str(results), "--metrics", "em")
    assert "no metric 'letters'" in said(results.parent, "decide", str(results), "--metric", "letters", code=2)


@pytest.mark.parametrize(
    ("module", "point", "why"),
    [
        ("import nothing_of_that_name", "letters = letters_plugin:METRIC", "cannot be imported (ModuleNotFoundError"),
        ("METRIC = 3", "letters = letters_plugin:METRIC", "is not a MetricKind"),
        (METRIC, "lettres = letters_plugin:METRIC", "calls itself 'letters'"),
        (METRIC.replace('"letters", "share', '"em", "share'), "letters = letters_plugin:METRIC", "makes 'em'"),
    ],
)
def test_a_broken_package_is_told_and_stops_nothing(
    tmp_path: Path, results: Path, module: str, point: str, why: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    install(place, module=module, point=point)
    name = point.partition(" ")[0]
    assert why in said(place, "score", str(results), "--metrics", name, code=2)
    said(place, "score", str(results), "--metrics", "em")


FAULTS = {
    "raises": ("lambda item: 1 / 0", "ZeroDivisionError: division by zero"),
    "no number": ('lambda item: {"letters": "many"}', "its value 'letters' is 'many', and no finite number"),
    "not finite": ('lambda item: {"letters": float("nan")}', "its value 'letters' is nan, and no finite number"),
    "undeclared": ('lambda item: {"words": 1.0}', "it gave the value 'words', which it does not declare"),
    "no values": ("lambda item: 1.0", "it gave float in place of values by name"),
    "ends the process": ("lambda item: exit(0)", "SystemExit: 0"),
}
GOOD = 'lambda item: {"letters": min(len(item.text) / 8, 1.0)}'


@pytest.mark.parametrize(("code", "why"), FAULTS.values(), ids=FAULTS)
def test_a_metric_that_fails_costs_its_own_score_only(tmp_path: Path, results: Path, code: str, why: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    assert GOOD in METRIC
    install(place, module=METRIC.replace(GOOD, code))
    answers = {path: path.read_bytes() for path in results.glob("*/answers.jsonl")}
    told = said(place, "score", str(results), "--metrics", "em,letters", code=1)
    rows = [json.loads(line) for line in next(results.glob("*/scores.jsonl")).read_text().splitlines()]
    assert f"not scored: letters: {2 * len(rows)} of {2 * len(rows)} answers without a score ({why})" in told
    assert all(row["errors"] == {"letters": why} for row in rows)
    assert all(row["scores"]["letters"] is None for row in rows)
    assert all(row["scores"]["em"] in (0.0, 1.0) for row in rows)
    assert answers == {path: path.read_bytes() for path in results.glob("*/answers.jsonl")}
    said(place, "report", str(results), "--quick")
    (place / "letters_plugin.py").write_text(METRIC, encoding="utf-8")
    said(place, "score", str(results), "--metrics", "em,letters")
    rows = [json.loads(line) for line in next(results.glob("*/scores.jsonl")).read_text().splitlines()]
    assert all(row["scores"]["letters"] == 0.5 and "errors" not in row for row in rows), "it is tried again"


def test_an_answer_that_cannot_be_scored_fails_by_itself(tmp_path: Path, results: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    once = 'lambda item: {"letters": {"q0-1": []}.get(item.gold.question_id, [0.25])[0]}'
    install(place, module=METRIC.replace(GOOD, once))
    said(place, "score", str(results), "--metrics", "letters", code=1)
    rows = [json.loads(line) for line in next(results.glob("*/scores.jsonl")).read_text().splitlines()]
    values = {row["question_id"]: row["scores"]["letters"] for row in rows}
    assert values.pop("q0-1") is None
    assert set(values.values()) == {0.25}
    assert len(values) > 1
    assert [row["errors"] for row in rows if "errors" in row] == [{"letters": "IndexError: list index out of range"}]


def test_a_metric_that_cannot_be_made_is_left_out_of_all(tmp_path: Path, results: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    install(place, module=METRIC.replace("    return EachItem", "    raise KeyError('weights')\n    return EachItem"))
    assert "metric 'letters' cannot be made (KeyError: 'weights')" in said(
        place, "score", str(results), "--metrics", "letters", code=2
    )


JUDGED = """
from rmtbench.core import MetricValue
from rmtbench.scoring.base import EachItem, MetricKind

class Letters(EachItem):
    def account(self, items):
        ACCOUNT

def letters(_scorer_model):
    return Letters({"letters": "letters v1"}, lambda item: {"letters": 0.5})

METRIC = MetricKind("letters", (MetricValue("letters", "letters", order=25),), letters)
"""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ('raise KeyError("price")', "KeyError: 'price'"),
        ("exit(0)", "SystemExit: 0"),
        ("return 3", "TypeError: 'int' object is not a mapping"),
        ('return {"seconds": items}', "TypeError: Object of type Item is not JSON serializable"),
    ],
    ids=["raises", "ends the process", "no values", "no JSON"],
)
def test_a_metric_that_gives_no_account_keeps_its_scores(tmp_path: Path, results: Path, code: str, why: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    install(place, module=JUDGED.replace("ACCOUNT", code))
    told = said(place, "score", str(results), "--metrics", "em,letters", code=1)
    assert f"not scored: letters: it cannot say what it took ({why})" in told
    for run in results.iterdir():
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        assert summary["accounts"] == {"letters": {"error": why}}
        assert summary["means"]["letters"] == 0.5
    said(place, "report", str(results), "--quick")
    (place / "letters_plugin.py").write_text(JUDGED.replace("ACCOUNT", 'return {"seconds": 1.0}'), encoding="utf-8")
    said(place, "score", str(results), "--metrics", "em,letters")
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert summary["accounts"] == {"letters": {"seconds": 1.0}}, "it is tried again"


def test_a_metric_that_takes_no_judge_costs_its_own_score_only(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))
    install(place, module=METRIC.replace("letters)\n", 'letters, judged=lambda judge: {}["prompt"])\n'))
    why = "metric 'letters' cannot be made (KeyError: 'prompt')"
    with serve(by_reference, model="grader") as grader:
        words = ("score", str(results), "--judge", "openai:grader", "--judge-base-url", grader.url, "--metrics")
        told = said(place, *words, "em", code=1)
        assert why in said(place, *words, "letters", code=2)
    rows = [json.loads(line) for line in next(results.glob("*/scores.jsonl")).read_text().splitlines()]
    assert f"not scored: letters: {2 * len(rows)} of {2 * len(rows)} answers without a score ({why})" in told
    assert all(row["errors"] == {"letters": why} for row in rows)
    assert all(row["scores"]["judged"] in (0.0, 1.0) for row in rows)
