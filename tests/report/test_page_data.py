"""The page as a file: everything inside, nothing that a browser would run but our scripts, always the same bytes."""

import base64
import hashlib
import json
import re

import pytest
from large_results import HOSTILE, hostile_results, large_results
from page_cases import answers_of, data_of, page_of
from report_runs import METRICS, add_run, spec_of

from rmtbench.analysis.candidates import make_contests
from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import decide
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.report.figures.style import look_of
from rmtbench.report.page import blocks, build
from rmtbench.report.verdicts import verdict_lines

LIBRARY_SHA256 = "c17f2ce49fb9c71ef7fb39c03f868804ac5ab34730149976eebe6b7f807bef0c"


def test_the_page_names_nothing_outside_itself(tmp_path):
    add_run(tmp_path, spec_of())
    page = page_of(tmp_path)
    assert not re.search(
        r"""(?:src|href)\s*=\s*["']?(?!#)[\w/.:]""", re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    )
    assert "default-src 'none'" in page
    assert str(tmp_path) not in page


def test_the_policy_allows_two_scripts_and_style_by_their_hashes(tmp_path):
    add_run(tmp_path, spec_of())
    page = page_of(tmp_path)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    inside = re.findall(r"<script>(.*?)</script>", page, re.DOTALL) + re.findall(
        r"<style>(.*?)</style>", page, re.DOTALL
    )
    assert len(inside) == 3
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inside]
    assert [each for each in hashes if each in policy] == hashes
    assert "unsafe" not in policy


def test_library_is_the_one_taken_with_its_licence():
    text = build._read(build.LIBRARY)
    assert hashlib.sha256(text.encode()).hexdigest() == LIBRARY_SHA256
    assert "Chart.js v4.6.1" in text
    assert "The MIT License" in build._read("vendor/chart.LICENSE.md")


def test_no_script_of_ours_parses_a_text_as_html():
    ours = "\n".join(build._read(name) for name in build.SCRIPTS)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout\(['\"]", ours
    )


def test_hostile_texts_are_kept_whole_and_cannot_end_element(tmp_path):
    hostile_results(tmp_path)
    page = page_of(tmp_path)
    data = data_of(page)
    questions = data_of(page, f"block-{data['runs'][0]['questions']}")
    answers = answers_of(page, data["runs"][0])
    assert [row[2] for row in questions] == list(HOSTILE)
    assert [row[1] for row in answers] == [*HOSTILE[:-1], ""]
    assert answers[-1][4] == HOSTILE[0]
    assert len(re.findall(r"<script", page)) == 2 + 1 + len(re.findall(r'id="block-', page))
    assert page.isascii() or all(ord(letter) < 0x2028 or ord(letter) > 0x2029 for letter in page)


def test_questions_that_several_runs_share_are_held_once(tmp_path):
    for system in ("cag", "full-context", "closed-book"):
        add_run(tmp_path, spec_of(system))
    data = data_of(page_of(tmp_path))
    assert len({run["questions"] for run in data["runs"]}) == 1
    assert len({tuple(run["answers"]) for run in data["runs"]}) == 3 - 1  # two of them say the same in the same time


def test_a_chunk_that_holds_evidence_is_marked(tmp_path):
    folder = add_run(tmp_path, spec_of("rag-sparse", top_k=1, draws=1))
    rows = [json.loads(line) for line in folder.gold.read_text().splitlines()]
    rows[0]["evidence"] = [[["d0", 2, 9]]]
    rows[1]["evidence"] = [[["d0", 4, 9]]]
    folder.gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = page_of(tmp_path)
    answers = answers_of(page, data_of(page)["runs"][0])
    assert [row[7][0][4] for row in answers[:2]] == [1, 0]


def test_evidence_place_scores_have_row_metric_and_fifth(tmp_path):
    folder = add_run(tmp_path, spec_of())
    rows = [json.loads(line) for line in folder.gold.read_text().splitlines()]
    folder.gold.write_text("".join(json.dumps(row | {"positions": [0.1, 0.9]}) + "\n" for row in rows))
    positions = data_of(page_of(tmp_path))["positions"]
    assert [(row["metric"], row["position"]) for row in positions] == [
        (metric, position) for metric in METRICS for position in (0.1, 0.9)
    ]
    assert {(row["section"], row["dataset"], row["size"], row["label"]) for row in positions} == {
        (0, "hotpotqa", "small", "cag")
    }
    assert {(row["mean"], row["facts"]) for row in positions} == {(0.55, 8)}
    assert all(row["low"] < row["mean"] < row["high"] for row in positions)


def test_runs_without_places_of_evidence_bring_no_scores_by_them(tmp_path):
    add_run(tmp_path, spec_of())
    assert data_of(page_of(tmp_path))["positions"] == []


def test_large_page_is_compressed_small_one_is_not(tmp_path, monkeypatch):
    large_results(tmp_path, runs=2, draws=2, questions=200)
    small = page_of(tmp_path)
    assert "gzip-base64" not in re.sub(r"<script>.*?</script>", "", small, flags=re.DOTALL)
    monkeypatch.setattr(blocks, "PLAIN_BYTES", 100_000)
    large = page_of(tmp_path)
    assert len(large) < 0.75 * len(small)
    for run in data_of(small)["runs"]:
        name = f"block-{run['questions']}"
        assert data_of(large, name) == data_of(small, name)
        assert answers_of(large, run) == answers_of(small, run)
    assert page_of(tmp_path) == large


def test_answers_lie_in_slices_of_the_same_questions(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "SLICE", 3)
    add_run(tmp_path, spec_of(), questions=4)
    add_run(tmp_path, spec_of("closed-book"), questions=4, answered=5)
    page = page_of(tmp_path)
    whole, begun = sorted(data_of(page)["runs"], key=lambda run: -run["count"])
    places = [[row[0] for row in data_of(page, f"block-{block}")["rows"]] for block in whole["answers"]]
    assert places == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [row[0] for row in answers_of(page, begun)] == [0, 1, 2, 3, 4]
    assert len(begun["answers"]) == 3
    assert data_of(page, f"block-{begun['outcomes']}")["outcomes"][5:] == "---"


def test_every_question_says_in_which_fifths_its_evidence_lies(tmp_path):
    folder = add_run(tmp_path, spec_of(draws=1), questions=3)
    rows = [json.loads(line) for line in folder.gold.read_text().splitlines()]
    for row, places in zip(rows, ([], [0.1, 0.15], [0.5, 1.0]), strict=True):
        row["positions"] = places
    folder.gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = page_of(tmp_path)
    assert [row[6] for row in data_of(page, f"block-{data_of(page)['runs'][0]['questions']}")] == [[], [0], [2, 4]]


def test_the_verdict_on_the_page_is_the_terminals(tmp_path):
    for system, score in (("cag", 0.9), ("rag-sparse", 0.3)):
        add_run(tmp_path, spec_of(system, top_k=None if system == "cag" else 1, draws=8), score=score)
    contest, *_ = make_contests(make_sections(read_figures(tmp_path)), "em")
    first, *_ = data_of(page_of(tmp_path))["contests"]
    assert first["verdict"] == list(verdict_lines(contest, Terms(), decide(contest, Terms())))


def test_every_system_brings_the_colour_that_the_figures_give_it(tmp_path):
    add_run(tmp_path, spec_of())
    add_run(tmp_path, spec_of("rag-sparse", top_k=3))
    (looks,) = data_of(page_of(tmp_path))["looks"]
    systems = {run.spec.system: run.system for run in read_figures(tmp_path)}
    assert {name: tuple(look) for name, look in looks.items()} == {
        name: (look_of(systems[system], None).colour, look_of(systems[system], None).marker)
        for name, system in (("cag", "cag"), ("rag-sparse top-3", "rag-sparse"))
    }


@pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "\u2028", "\ud800", "&amp;", '"'])
def test_json_in_a_script_element_is_ascii_without_markup(text):
    made = blocks.to_json({"text": text})
    assert made.isascii()
    assert not set("<>&") & set(made)
    assert json.loads(made) == {"text": text}
