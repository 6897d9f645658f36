"""`compare`, `decide` and the report say the same of the same pair of runs: they ask one comparison."""

import csv
import json

import pytest
from report_runs import add_run, append, spec_of

from rmtbench.analysis.break_even import CostLine, break_even, crossings, first_cheaper
from rmtbench.analysis.candidates import make_contests
from rmtbench.analysis.contest import Terms, difference
from rmtbench.analysis.decision import decide
from rmtbench.analysis.pairs import compare_all
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.run_comparison import as_record, compare_runs
from rmtbench.analysis.sections import make_sections
from rmtbench.journal.record import read_run
from rmtbench.report.write import write_report

OWN = {"dataset": "/docs/house", "data": "own:/docs/house@1", "size": "all"}


def vary(folder, change):
    """Change a run's EM, question by question."""
    rows = [json.loads(line) for line in folder.scores.read_text().splitlines()]
    folder.scores.unlink()
    append(folder.scores, [row | {"scores": row["scores"] | {"em": change(place)}} for place, row in enumerate(rows)])


def add_pair(results, *, fields, draws, questions):
    """Two runs that differ from question to question, and a third that must change nothing between them."""
    folders = []
    for number, system in enumerate(("cag", "full-context", "closed-book")):
        kind = "own" if fields else "official"
        folder = add_run(results, spec_of(system, draws=draws, **fields), questions=questions, kind=kind)
        vary(folder, lambda place, number=number: float((place * (number + 2) + place // 5) % 7 % 2))
        folders.append(folder)
    return folders[0], folders[1]


@pytest.mark.parametrize(
    ("fields", "draws", "questions", "unit"), [({}, 9, 4, "draw"), (OWN, 2, 11, "question")], ids=["draws", "questions"]
)
def test_compare_decide_and_the_report_say_one_interval(tmp_path, fields, draws, questions, unit):
    cag, full = add_pair(tmp_path, fields=fields, draws=draws, questions=questions)
    sections = make_sections(read_figures(tmp_path))
    (grid,) = sections[0].grids

    compared = compare_runs(read_run(full.path), read_run(cag.path), "em")
    (listed,) = [
        pair
        for pair in compare_all(grid, spec_of("cag", **fields).size, "em")
        if (pair.first[0].system, pair.second[0].system) == ("full-context", "cag")
    ]
    (contest,) = make_contests(sections, "em")
    names = [candidate.name for candidate in contest.candidates]
    decided = difference(contest, names.index("cag"), names.index("full-context"))

    assert compared.unit == listed.unit == contest.unit == unit
    assert compared.scores.low < compared.scores.high
    assert (compared.scores.difference, compared.scores.low, compared.scores.high) == pytest.approx(
        (-listed.difference, -listed.high, -listed.low), abs=0
    )
    assert compared.scores == decided
    assert compared.test.p == listed.p
    assert compared.scores.detectable == listed.detectable


def test_the_intervals_in_the_files_are_the_same(tmp_path):
    cag, full = add_pair(tmp_path, fields={}, draws=9, questions=4)
    made = as_record(compare_runs(read_run(cag.path), read_run(full.path), "em"))["scores"]
    write_report(tmp_path)
    with (tmp_path / "report" / "pairs-hotpotqa.csv").open(encoding="utf-8") as file:
        (row,) = [
            row
            for row in csv.DictReader(file)
            if (row["metric"], row["first_system"], row["second_system"]) == ("em", "full-context", "cag")
        ]
    assert (made["bootstrap"]["low"], made["bootstrap"]["high"]) == pytest.approx(
        (float(row["low"]), float(row["high"])), abs=1e-5
    )
    assert (made["difference"]["low"], made["difference"]["high"]) == (
        made["bootstrap"]["low"],
        made["bootstrap"]["high"],
    )


def test_exchanging_the_runs_mirrors_what_compare_says(tmp_path):
    cag, full = (read_run(folder.path) for folder in add_pair(tmp_path, fields={}, draws=9, questions=4))
    there, back = compare_runs(cag, full, "em"), compare_runs(full, cag, "em")
    assert there.scores == back.scores.exchanged
    assert there.test == back.test


def test_a_break_even_is_the_number_at_which_two_lines_meet():
    cache, index = CostLine("cag", 11.0, 0.5), CostLine("rag", 1.0, 1.0)
    assert break_even(index, cache) == break_even(cache, index) == 20.0
    assert cache.total(20) == index.total(20)
    assert first_cheaper(20.0) == 21
    assert break_even(cache, CostLine("slow", 20.0, 2.0)) is None
    assert break_even(cache, CostLine("parallel", 1.0, 0.5)) is None


def test_crossings_are_listed_from_the_fewest_questions():
    lines = [CostLine("full", 0, 5), CostLine("cag", 11.0, 0.5), CostLine("rag", 1.0, 1.0)]
    assert [(each.below, each.above) for each in crossings(lines)] == [("cag", "full"), ("cag", "rag")]
    assert crossings(lines)[1].cost == 21.0


def test_the_figure_and_the_decision_break_even_at_same_number(tmp_path):
    add_run(tmp_path, spec_of("cag", draws=9), score=0.6, seconds=0.5, prepare={"prefill": 10.0})
    add_run(tmp_path, spec_of("full-context", draws=9), score=0.6, seconds=2.0, prepare={})
    sections = make_sections(read_figures(tmp_path))
    (contest,) = make_contests(sections, "em")
    (change,) = [each for each in decide(contest, Terms()).changes if each.kind == "questions"]
    (point,) = crossings([CostLine(each.name, each.preparation, each.seconds) for each in contest.candidates])
    assert (change.at, contest.candidates[change.system].name) == (first_cheaper(point.questions), point.below)
