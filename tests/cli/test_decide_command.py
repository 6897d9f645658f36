"""`rmtbench decide`: a verdict for people, the same for scripts, and words where the question makes no sense."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))
from report_runs import add_run, append, spec_of

GIB = 2**30


@pytest.fixture
def results(tmp_path):
    """Eight draws: cag prepares long, answers fast and is right most often."""
    runs = (
        (spec_of("cag", draws=8), {"score": 0.8, "seconds": 0.2, "prepare": {"prefill": 72.0}}, 9 * GIB),
        (spec_of("rag-sparse", top_k=5, draws=8), {"score": 0.5, "seconds": 1.0}, 2 * GIB),
        (spec_of("cag", size="large", draws=8), {"score": 0.7}, 9 * GIB),
    )
    for spec, options, peak in runs:
        folder = add_run(tmp_path, spec, **options)
        append(folder.usage, [{"draw": 0, "session": 0, "peak_resident_bytes": peak, "peak_device_bytes": None}])
    return tmp_path


def verdicts(said):
    assert said.code == 0, said.err
    return json.loads(said.out)["verdicts"]


def test_verdict_says_what_how_surely_and_what_changes_it(rmtbench, results):
    said = rmtbench("decide", results, "--size", "small", "--price-per-hour", "2.5")
    text = " ".join(said.out.replace("│", " ").split())
    assert said.code == 0
    assert "Use cag. Its EM is 0.300 higher than that of rag-sparse top-5 (95 % interval" in text
    assert "cost: 0.0778 for 200 questions" in text
    assert "from 90 questions on cag costs less than rag-sparse top-5" in text
    assert "200 questions a corpus, no limit of time, no limit of memory, 2.5 an hour" in text
    assert max(map(len, said.out.splitlines())) <= 120


def test_limits_change_verdict_and_table_says_why_each_is_out(rmtbench, results):
    said = rmtbench("decide", results, "--size", "small", "--max-memory", "8GB")
    assert "Use rag-sparse top-5." in said.out
    assert "No other system fits the limits." in said.out
    row = next(line for line in said.out.splitlines() if line.lstrip().startswith("cag "))
    assert "too much memory" in row
    assert "9.00 GiB" in row
    assert "Nothing fits the limits." in rmtbench("decide", results, "--max-seconds", "0.01").out


def test_a_script_gets_one_verdict_a_dataset_and_size(rmtbench, results):
    small, large = verdicts(rmtbench("decide", results, "--json", "--max-memory", "9.5GiB"))
    assert (small["kind"], small["use"], small["rival"], small["size"]) == ("best", "cag", "rag-sparse top-5", "small")
    assert (large["kind"], large["use"], large["units"]) == ("only", "cag", 8)
    assert small["changes"][0] == {
        "kind": "questions", "system": "cag", "other": "rag-sparse top-5", "at": 90.0, "high": None, "ratio": None
    }  # fmt: skip
    assert [each["cost"] for each in small["candidates"]] == pytest.approx([72 + 40, 0.1 + 200])


def test_another_metric_decides_where_it_is_asked(rmtbench, results):
    assert verdicts(rmtbench("decide", results, "--metric", "f1", "--size", "small", "--json"))[0]["metric"] == "f1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--metric", "wit"), "no metric 'wit' to decide by"),
        (("--max-memory", "lots"), "'lots' is no size"),
        (("--questions", "0"), "greater than or equal to 1"),
        (("--questions", "1000000000001"), "--questions: at most 1,000,000,000,000 questions"),
        (("--questions", "1" + "0" * 24), "--questions: at most 1,000,000,000,000 questions"),
        (("--margin", "2"), "less than or equal to 1"),
        (("--dataset", "squad"), "no runs of that dataset, size and model"),
    ],
)
def test_what_cannot_be_decided_is_said_in_two_lines(rmtbench, results, words, told):
    said = rmtbench("decide", results, *words)
    assert said.code == 2
    assert told in said.err
    assert len(said.err.splitlines()) == 2


def test_recall_decides_without_a_model_that_reads(rmtbench, tmp_path):
    for top_k, score in ((1, 0.2), (5, 0.8)):
        add_run(tmp_path, spec_of("rag-sparse", top_k=top_k, model="random:tiny", draws=8), score=score)
    add_run(tmp_path, spec_of("cag", model="random:tiny", draws=8))
    assert verdicts(rmtbench("decide", tmp_path, "--json"))[0]["kind"] == "none"
    [made] = verdicts(rmtbench("decide", tmp_path, "--metric", "recall", "--json"))
    assert (made["kind"], made["use"]) == ("best", "rag-sparse top-5")
    assert made["lines"][1].startswith("Its recall is 0.300 higher than that of rag-sparse top-1")
    out = {each["name"]: each["out"] for each in made["candidates"]}
    assert out["cag"] == "recall does not apply to it"


def test_all_pairs_are_printed_where_asked(rmtbench, results):
    add_run(results, spec_of("rag-sparse", top_k=1, draws=8), score=0.4)
    few, all_pairs = (rmtbench("decide", results, "--size", "small", *words) for words in ((), ("--all-pairs",)))
    assert "Differences in EM" not in few.out
    assert "Differences in EM, hotpotqa, small" in all_pairs.out
    [one], [other] = (
        verdicts(rmtbench("decide", results, "--size", "small", "--json", *words)) for words in ((), ("--all-pairs",))
    )
    assert (one["comparisons"], other["comparisons"]) == (2, 3)


def test_pairs_are_of_the_model_that_is_asked_for(rmtbench, results):
    for system, options in (("cag", {}), ("rag-sparse", {"top_k": 5})):
        add_run(
            results, spec_of(system, draws=8, model="org/other", **options), provenance={"model": {"id": "org/other"}}
        )
    words = ("decide", results, "--size", "small", "--all-pairs")
    assert rmtbench(*words).out.count("Differences in EM") == 2
    assert rmtbench(*words, "--model", "org/other").out.count("Differences in EM") == 1


def test_a_folder_without_runs_is_said(rmtbench, tmp_path):
    assert rmtbench("decide", tmp_path).code == 2
