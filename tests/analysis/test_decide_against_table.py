"""`decide`, the first screen, tables and files say the same of every row: no contradiction in random results."""

import csv
import json
import random
import re

import pytest
from report_runs import add_run, append, spec_of

from rmtbench.analysis.candidates import make_contests
from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import decide_all
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.report.csv_files import to_csv
from rmtbench.report.first_screen import first_screen
from rmtbench.report.significance import leader_records, leader_table
from rmtbench.report.verdict_records import verdict_record
from rmtbench.report.verdicts import WORDS, candidates_table

SYSTEMS = (
    ("closed-book", None),
    ("oracle", None),
    ("cag", None),
    ("rag-sparse", 1),
    ("rag-sparse", 5),
    ("rag-dense", 3),
)
OWN = {"dataset": "town", "size": "all", "data": "own:town:dd44"}


def random_results(results, chance):
    """Runs of one data set with anything in them: few draws and many, equal systems and unequal, failures."""
    whole = chance.random() < 0.3
    draws = 1 if whole else chance.choice((1, 2, 5, 6, 7, 9, 12, 25))
    questions = chance.choice((4, 12, 40)) if whole else chance.choice((1, 3, 8))
    hard = [chance.random() for _ in range(draws * questions)]
    for system, top_k in chance.sample(SYSTEMS, chance.randint(1, len(SYSTEMS))):
        spec = spec_of(system, top_k=top_k, draws=draws, **(OWN if whole else {}))
        failed = chance.choice((0, 0, 0, 2))
        folder = add_run(results, spec, questions=questions, kind="own" if whole else "official",
                         answered=chance.choice((None,) * 5 + (1,)), seconds=chance.uniform(0.01, 5),
                         prepare={"prefill": chance.choice((0.0, 30.0))})  # fmt: skip
        skill = chance.choice((0.0, 0.3, 0.5, 0.52, 0.9, 1.0))
        rows = [json.loads(line) for line in folder.scores.read_text().splitlines()]
        folder.scores.unlink()
        given = [
            row
            | {"scores": row["scores"] | {"em": 0.0 if n < failed else float(skill + chance.gauss(0, 0.1) > hard[n])}}
            for n, row in enumerate(rows)
        ]
        append(folder.scores, given)


def check(results, *, all_pairs):
    """Everything that is said of these runs, held against each other; returns the kinds of verdicts."""
    sections = make_sections(read_figures(results))
    terms = Terms()
    decided = decide_all(make_contests(sections, "em", all_pairs=all_pairs), terms)
    kinds = set()
    for (contest, verdict), block in zip(decided, first_screen(sections, decided), strict=True):
        told = verdict_record(contest, terms, verdict)
        kinds.add(told["kind"])
        states = {each["name"]: each["state"] for each in told["candidates"]}
        decided = {row[0]: row[1] for row in candidates_table(contest, terms, verdict).rows}
        screen = {row[0]: row[1] for row in block.table.rows}
        for name, state in states.items():
            out = next(each["out"] for each in told["candidates"] if each["name"] == name)
            word = "use" if name == told["use"] else "as good" if state is None else WORDS[state]
            assert decided[name] == (out or word)
            assert screen[name] == ("out" if out else word)
        assert block.said == told["lines"][: len(block.said)]
        check_words(told, states)
        check_tests(contest, verdict, told, states)
    return kinds


def check_words(told, states):
    """The sentences say of the named systems what the table says."""
    use, why = told["lines"][0], told["lines"][1] if len(told["lines"]) > 1 else ""
    if told["use"] is None:
        assert use.startswith("Nothing")
        return
    assert use.startswith(f"Use {told['use']}")
    open_ones = [name for name, state in states.items() if state == "unknown"]
    equal = [name for name, state in states.items() if state == "alike"]
    assert (told["kind"] == "more data") == bool(open_ones) == use.endswith(" for now.")
    assert (told["kind"] == "tie") == (bool(equal) and not open_ones)
    assert (told["kind"] == "best") == (bool(states) and not equal and not open_ones and "worse" in states.values())
    if told["kind"] == "more data":
        assert any(line.startswith("to settle it: ") for line in told["lines"])
        assert states[told["rival"]] in ("unknown", "alike")
        better = re.search(r"up to (\S+) better", why)
        assert better is None or float(better[1]) > 0
    for line in told["lines"]:
        loss = re.search(r"if (\S+) \S+ less is acceptable", line)
        assert loss is None or float(loss[1]) <= 0.1


def check_tests(contest, verdict, told, states):
    """Intervals, tests and states agree, in the table, in the record and in the file."""
    scores = {each["name"]: each["score"] for each in told["candidates"]}
    table = leader_table(contest, verdict)
    rows = {} if table is None else {row[0]: row for row in table.rows}
    file = {row["other"]: row for row in csv.DictReader(to_csv(leader_records(contest, verdict)).splitlines())}
    assert set(rows) == set(file) == {each["place"] for each in told["against"]}
    for each in told["against"]:
        name, low, high, p = each["place"], each["low"], each["high"], each["p"]
        assert rows[name][1] == WORDS[each["state"]]
        assert file[name]["state"] == each["state"] == states[name]
        assert scores[name] <= scores[told["leader"]]
        assert each["difference"] == pytest.approx(scores[told["leader"]] - scores[name], abs=1e-6)
        proven = p is not None and p < 0.05 and low is not None and not low <= 0 <= high
        assert (low is None) == (contest.units < 2)
        assert proven or low is None or low <= 0 <= high
        assert not proven or (p < 0.05 and low > 0)
        if each["state"] == "worse":
            assert proven
        elif each["state"] == "unknown":
            assert not proven


def run_of(seeds, tmp_path):
    kinds = set()
    for seed in seeds:
        results = tmp_path / str(seed)
        random_results(results, random.Random(seed))
        kinds |= check(results, all_pairs=seed % 5 == 0)
    return kinds


def test_no_row_is_called_two_things_in_30_folders(tmp_path):
    assert {"best", "only", "more data", "none"} <= run_of(range(30), tmp_path)


@pytest.mark.slow
def test_no_row_is_called_two_things_in_200_folders(tmp_path):
    assert {"best", "only", "tie", "more data", "none"} >= run_of(range(1000, 1200), tmp_path) >= {"best", "more data"}
