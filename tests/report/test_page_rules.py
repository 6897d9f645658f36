"""The page decides as `rmtbench decide` does: the same contests and terms through both, verdicts and words compared."""

import json
import math
import random
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from decision_cases import random_contest, random_terms

import rmtbench.report.page
from rmtbench.analysis.decision import decide
from rmtbench.report.page.data import contest_data
from rmtbench.report.verdicts import candidates_table, verdict_lines

CASES = 400
SCRIPT = """
require(process.argv[1]);
const {cases} = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(({contest, terms}) => {
  const verdict = Decision.decide(contest, terms);
  return {verdict, lines: Decision.lines(contest, terms, verdict),
    standing: contest.candidates.map((each, at) => [each.name, Decision.standing(contest, verdict, at),
      each.score === null ? Decision.MISSING : Decision.format.within(each),
      Decision.costText(verdict.costs[at], terms), Decision.format.seconds(each.preparation),
      Decision.format.seconds(each.seconds), Decision.format.seconds(each.slow), Decision.format.size(each.memory)])};
})));
"""


def same(ours, theirs):
    """Equal, but for the last digits of a logarithm or a sum."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float) and theirs is not None:
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
    return ours == theirs


@pytest.fixture(scope="module")
def both():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the page's rules are held to Python's in the browser's tests alone")
    chance = random.Random(20)
    cases = [(random_contest(chance), random_terms(chance)) for _ in range(CASES)]
    given = {"cases": [{"contest": contest_data(contest, 0), "terms": asdict(terms)} for contest, terms in cases]}
    script = Path(rmtbench.report.page.__file__).parent / "decide.js"
    ended = subprocess.run(
        [node, "-e", SCRIPT, script], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return cases, json.loads(ended.stdout)


def test_every_verdict_is_the_same(both):
    cases, theirs = both
    ours = [asdict(decide(contest, terms)) for contest, terms in cases]
    assert {verdict["kind"] for verdict in ours} == {"best", "only", "tie", "more data", "none"}
    assert {change["kind"] for verdict in ours for change in verdict["changes"]} == {
        "questions",
        "loss",
        "seconds",
        "memory",
    }
    assert [place for place, verdict in enumerate(ours) if not same(verdict, theirs[place]["verdict"])] == []


def test_every_verdict_is_told_in_the_same_words(both):
    cases, theirs = both
    for (contest, terms), other in zip(cases, theirs, strict=True):
        assert list(verdict_lines(contest, terms, decide(contest, terms))) == other["lines"]


def test_every_table_of_candidates_has_the_same_rows(both):
    cases, theirs = both
    for (contest, terms), other in zip(cases, theirs, strict=True):
        rows = candidates_table(contest, terms, decide(contest, terms)).rows
        assert sorted(map(list, rows)) == sorted(other["standing"])


@pytest.mark.parametrize(("unit", "units", "of_one"), [("draw", 1, True), ("draw", 8, False), ("question", 1, False)])
def test_figures_say_what_their_whiskers_are(unit, units, of_one):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = Path(rmtbench.report.page.__file__).parent / "decide.js"
    told = f"console.log(Decision.whiskers([{json.dumps({'unit': unit, 'units': units})}]))"
    ended = subprocess.run(
        [node, "-e", f"require(process.argv[1]); {told}", script], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("Whiskers: 95 % intervals, where they are defined.")
    assert ("Of one draw they are over its questions" in ended.stdout) is of_one
