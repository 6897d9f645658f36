"""From a results folder to its report's files, and what hinders it."""

import csv
import json
import os
import subprocess
import sys

import pytest
from golden_runs import GOLDEN, make_golden_runs
from report_runs import add_run, append, spec_of

from rmtbench.errors import UserError
from rmtbench.files import temporary_of
from rmtbench.report.csv_files import to_csv
from rmtbench.report.markdown import escape, table
from rmtbench.report.tables import Table
from rmtbench.report.write import write_report

FIGURES = (
    "score-1", "score-by-length-1", "time-by-size-1", "memory-by-length-1", "break-even-1", "frontier-1",
    "score-2", "time-by-size-2", "break-even-2", "frontier-2",
)  # fmt: skip
"""Of the runs that are one of everything."""


def files_of(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def rows_of(results, name):
    with (results / "report" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_report_of_everything_is_the_committed_one(tmp_path):
    make_golden_runs(tmp_path)
    write_report(tmp_path)
    assert (tmp_path / "report" / "report.md").read_text() == GOLDEN.read_text()


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(tmp_path):
    for name in ("one", "two"):
        make_golden_runs(tmp_path / name)
    first = files_of(write_report(tmp_path / "one").folder)
    again = files_of(write_report(tmp_path / "one").folder)
    elsewhere = files_of(write_report(tmp_path / "two").folder)
    assert first == again == elsewhere
    assert set(first) == {
        "report.md", "table1.csv", "table2-hotpotqa.csv", "table2-squad.csv", "table3.csv", "anatomy.csv", "index.html",
        "report.tex", "pairs-hotpotqa.csv", "pairs-squad.csv", "leader-hotpotqa.csv", "leader-squad.csv",
        "published.csv",
        *(f"figures/{name}.{ending}" for name in FIGURES for ending in ("png", "svg", "csv")),
    }  # fmt: skip
    assert not any(str(tmp_path).encode() in data for data in first.values())


def test_one_runs_folder_is_a_report_of_that_run(tmp_path):
    folder = add_run(tmp_path, spec_of())
    report = write_report(folder.path, quick=True)
    assert report.folder == folder.path / "report"
    assert len(report.chapters) == 1
    write_report(folder.path, quick=True)


def test_files_of_removed_dataset_go_and_others_stay(tmp_path):
    add_run(tmp_path, spec_of())
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "figures").mkdir()
    gone = ("table2-gone.csv", "published.csv")
    compared = ("pairs-gone.csv", "leader-gone.csv", "figures/score-by-length-12.png")  # a quick report makes none
    for name in (*gone, *compared, "table1.csv", "my-notes.md", "figures/mine.png"):
        (tmp_path / "report" / name).write_text("old")
    write_report(tmp_path, quick=True)
    assert set(compared) <= set(files_of(tmp_path / "report"))
    write_report(tmp_path)
    assert not set(compared) & set(files_of(tmp_path / "report"))
    written = {"index.html", *(name for name in files_of(tmp_path / "report") if name.startswith("figures/"))}
    assert set(files_of(tmp_path / "report")) == {
        "report.md", "report.tex", "table1.csv", "table2-hotpotqa.csv", "table3.csv", "anatomy.csv", "published.csv",
        "my-notes.md", "figures/mine.png", *written,
    }  # fmt: skip


def test_learning_curves_are_in_report_while_log_is_named(tmp_path):
    add_run(tmp_path, spec_of())
    log = tmp_path / "log.jsonl"
    append(log, [{"tokens": at * 10**6, "stage": "one", "metrics": {"right": 0.5}} for at in range(1, 9)])
    report = write_report(tmp_path, training_logs=[log])
    text = (report.folder / "report.md").read_text()
    assert "\n\n## Trainings\n\n![Learning curves](figures/training.svg)\n\n# Provenance\n" in text
    curves = {f"figures/training.{ending}" for ending in ("png", "svg", "csv")}
    assert curves <= set(files_of(report.folder))
    write_report(tmp_path)
    assert "Trainings" not in (report.folder / "report.md").read_text()
    assert not curves & set(files_of(report.folder))


# CSV


def test_csv_holds_plain_figures_and_leaves_missing_ones_empty(tmp_path):
    make_golden_runs(tmp_path)
    write_report(tmp_path, quick=True)
    rows = {
        (row["size"], row["system"], row["top_k"], row["model"]): row
        for row in rows_of(tmp_path, "table2-hotpotqa.csv")
    }
    cag = rows["small", "cag", "", "org/model-8b"]
    # Two draws of four: means 0.6 and 0.7, the last answer of the second failed.
    assert (cag["em"], cag["em_standard_error"], cag["failed"]) == ("0.5625", "0.0375", "1")
    assert (cag["recall"], cag["complete"], cag["scored"], cag["random_weights"]) == ("", "true", "true", "false")
    missing = rows["large", "closed-book", "", "org/model-8b"]
    assert {missing[name] for name in ("em", "em_standard_error", "answered", "run_id", "complete", "scored")} == {""}
    assert (missing["model"], missing["device"]) == ("org/model-8b", "cpu")
    unscored = rows["small", "rag-sparse", "3", "org/model-8b"]
    assert (unscored["em"], unscored["scored"], unscored["answered"]) == ("", "false", "8")
    random = rows["small", "cag", "", "random:tiny (random weights)"]
    assert (random["random_weights"], random["em_standard_error"], random["draws"]) == ("true", "", "1")


def test_csv_has_no_standard_error_of_an_incomplete_run(tmp_path):
    add_run(tmp_path, spec_of("cag"), answered=6)
    add_run(tmp_path, spec_of("full-context"))
    write_report(tmp_path, quick=True)
    errors = {row["system"]: row["em_standard_error"] for row in rows_of(tmp_path, "table2-hotpotqa.csv")}
    assert errors == {"full-context": "0.05", "cag": ""}


def test_csv_of_times_has_seconds_and_says_what_is_unfinished(tmp_path):
    make_golden_runs(tmp_path)
    write_report(tmp_path, quick=True)
    rows = {(row["dataset"], row["size"], row["system"]): row for row in rows_of(tmp_path, "table3.csv")[:6]}
    cag = rows["hotpotqa", "small", "cag"]
    assert [
        float(cag[name]) for name in ("mean_seconds", "preparation_seconds_a_draw", "times_faster")
    ] == pytest.approx([0.853, 11.3, 9.25 / 0.853], rel=1e-5)
    assert float(cag["mean_seconds_with_preparation"]) == pytest.approx(0.853 + 2 * 11.3 / 8, rel=1e-5)
    assert rows["hotpotqa", "large", "cag"]["complete"] == "false"
    assert rows["squad", "small", "full-context"]["mean_seconds"] == ""


def test_every_csv_has_its_runs_and_what_produced_them(tmp_path):
    make_golden_runs(tmp_path)
    report = write_report(tmp_path)
    for name in report.files:
        if name.endswith(".csv") and "/" not in name:
            rows = rows_of(tmp_path, name)
            names = {"model", "weights", "tokenizer", "device", "dtype", "threads", "mode", "seed"}
            assert names | ({"units"} if name.startswith("leader-") else {"draws"}) <= set(rows[0])
    anatomy = rows_of(tmp_path, "anatomy.csv")
    assert len({row["run_id"] for row in anatomy}) == len(anatomy) == 14
    assert [row["replaced"] for row in anatomy].count("true") == 1
    assert {row["versions"] for row in anatomy} == {"python 3.11.9, torch 2.13.0, transformers 5.23.0"}


def test_metrics_beyond_the_usual_ones_stand_in_the_csv(tmp_path):
    folder = add_run(tmp_path, spec_of(draws=1), score=0.5)
    folder.scores.write_text(folder.scores.read_text().replace('"em"', '"precision"'))
    write_report(tmp_path, quick=True)
    row = rows_of(tmp_path, "table2-hotpotqa.csv")[0]
    assert (row["precision"], row["em"]) == ("0.5", "")


def test_csv_fields_may_hold_anything():
    nasty = ['a,"b"', "line\nbreak", "pipe|", ""]
    text = to_csv([{"first": value, "second": True, "third": None} for value in nasty])
    assert [row["first"] for row in csv.DictReader(text.splitlines(keepends=True))] == nasty
    assert text.splitlines()[-1] == ",true,"
    assert to_csv([]) == ""


def test_a_dataset_named_like_a_path_gets_a_file_of_its_own(tmp_path):
    add_run(tmp_path, spec_of(dataset="docs/My Notes!", data="own:x@1"), kind="own")
    assert "table2-my-notes.csv" in write_report(tmp_path, quick=True).files


# Markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("two\nlines\r\n", "two lines "),
        ("0.5* and 0.6*", r"0.5\* and 0.6\*"),
        ("<script>", r"\<script>"),
        ("[a](b)", r"\[a](b)"),
        ("`code`", r"\`code\`"),
        ("back\\slash", r"back\\slash"),
        ("plain_name 0.5 ±.1†", "plain_name 0.5 ±.1†"),
        ("_drafts_ and __main__", r"\_drafts\_ and \_\_main\_\_"),
        ("~~old~~, a$b$c", r"\~\~old\~\~, a\$b\$c"),
        ("R&D &amp; &#65;", r"R&D \&amp; \&#65;"),
    ],
)
def test_markdown_shows_every_text_literally(text, escaped):
    assert escape(text) == escaped


def test_a_cell_cannot_break_its_row():
    drawn = table(Table("A | title", "caption", ("one", "two"), (("a|b\nc", "1"),), labels=1, notes=("a | note",)))
    assert drawn.splitlines() == [
        r"### A \| title", "", "caption", "", "| one | two |", "| --- | ---: |", r"| a\|b c | 1 |", "", r"- a \| note"
    ]  # fmt: skip


# What hinders a report


def damage_answers(folder):
    folder.answers.write_bytes(b"{broken\n" + folder.answers.read_bytes())


def age_spec(folder):
    folder.spec.write_text(folder.spec.read_text().replace('"schema":1', '"schema":99'))


def age_answers(folder):
    folder.answers.write_text(folder.answers.read_text().replace('"schema":1', '"schema":0'))


@pytest.mark.parametrize(
    ("change", "what", "where"),
    [
        (damage_answers, "damaged: not JSON", "answers.jsonl, line 1"),
        (age_spec, "written by another version of rmtbench (schema 99", "spec.json"),
        (age_answers, "written by another version of rmtbench (schema 0", "answers.jsonl, line 1"),
        (lambda folder: folder.spec.unlink(), "missing", "spec.json"),
        (lambda folder: folder.summary.write_text("[]"), "damaged: not an object", "summary.json"),
    ],
)
def test_one_bad_run_names_file_and_keeps_old_report(tmp_path, change, what, where):
    add_run(tmp_path, spec_of("cag"))
    before = files_of(write_report(tmp_path, quick=True).folder)
    folder = add_run(tmp_path, spec_of("oracle"))
    change(folder)
    with pytest.raises(UserError) as caught:
        write_report(tmp_path, quick=True)
    assert caught.value.what.startswith(what)
    assert caught.value.where == f"{folder.path}/{where}"
    assert caught.value.remedy
    assert files_of(tmp_path / "report") == before


@pytest.mark.parametrize(("folder", "what"), [(".", "no runs here"), ("none", "no such folder")])
def test_a_folder_without_runs_is_an_error_with_a_remedy(tmp_path, folder, what):
    with pytest.raises(UserError, match=what) as caught:
        write_report(tmp_path / folder)
    assert caught.value.where == str(tmp_path / folder)
    assert caught.value.remedy == "run something first: rmtbench run --help"
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_reports_folder_is_an_error(tmp_path):
    add_run(tmp_path, spec_of())
    (tmp_path / "report").write_text("a file")
    with pytest.raises(UserError, match="a file stands where the report's folder should be"):
        write_report(tmp_path, quick=True)


def test_a_full_disk_leaves_the_old_report_whole(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    before = files_of(write_report(tmp_path, quick=True).folder)
    add_run(tmp_path, spec_of("oracle"))
    # The last file's temporary name leads to a device that is always full.
    temporary_of(tmp_path / "report" / "anatomy.csv").symlink_to("/dev/full")
    with pytest.raises(UserError, match="the disk is full"):
        write_report(tmp_path, quick=True)
    assert files_of(tmp_path / "report") == before


def test_files_that_another_report_is_writing_stay(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    folder = write_report(tmp_path).folder
    theirs = folder / "figures" / f".score-1.png.0a1b2c3d-{os.getppid()}.tmp"
    theirs.write_bytes(b"half of a pict")
    write_report(tmp_path)
    assert theirs.read_bytes() == b"half of a pict"


# Without the heavy libraries

ABSENT = """
import sys
from pathlib import Path
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "numpy", "transformers", "pandas", "datasets", "llama_index"}:
            raise ImportError(f"{name} must not be imported")
sys.meta_path.insert(0, Refuse())
import typer
from typer.testing import CliRunner
from rmtbench.cli.report import report
app = typer.Typer()
app.command()(report)
for options in ([], ["--json"]):
    result = CliRunner().invoke(app, [*sys.argv[1:], *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
assert not {"torch", "numpy", "transformers", "pandas"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    ("script", "options"),
    [
        pytest.param(ABSENT, ["--quick"], id="its tables need no numpy either"),
        pytest.param(ABSENT.replace('"numpy", ', ""), [], id="comparisons and figures need numpy"),
    ],
)
def test_report_needs_no_torch_numpy_transformers_or_pandas(tmp_path, script, options):
    make_golden_runs(tmp_path)
    command = [sys.executable, "-c", script, str(tmp_path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report" / "report.md").is_file()


def test_records_are_json_with_null_for_what_is_missing(tmp_path):
    make_golden_runs(tmp_path)
    records = json.loads(json.dumps(write_report(tmp_path).records, allow_nan=False))
    tables = {"table1", "table2-hotpotqa", "table2-squad", "table3", "anatomy", "published"}
    assert set(records) == {*tables, "pairs-hotpotqa", "pairs-squad", "leader-hotpotqa", "leader-squad"}
    missing = [row for row in records["table3"] if row["run_id"] is None]
    assert [(row["dataset"], row["system"], row["mean_seconds"]) for row in missing] == [
        ("squad", "full-context", None)
    ]


def test_files_of_a_folder_with_brackets_share_its_name(tmp_path):
    for system in ("cag", "full-context"):
        add_run(tmp_path, spec_of(system, dataset="notes (2024)", data="own:notes@1"), kind="own")
    names = {path.name for path in write_report(tmp_path).folder.glob("*-notes*")}
    assert names == {f"{kind}-notes-2024.csv" for kind in ("table2", "pairs", "leader")}
