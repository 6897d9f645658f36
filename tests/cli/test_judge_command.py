"""`--judge` of run, sweep and score: off unless named, and asked about journals without answering again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_commands import Command, rows
from endpoint_server import KEY, Server, serve
from judge_server import by_reference, judging, scores_of, summary_of

QUESTIONS = ("Who is the mayor?", "Which river is it on?", "When is the market?")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rmtbench: Command) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """One document with three questions, the first of whose references an echoing model says."""
    folder = tmp_path / "own"
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "towns.md").write_text("Arden lies on the river Oss. Its mayor is Tam Nedra.")
    asked = [
        {"question": text, "answers": [answer]}
        for text, answer in zip(QUESTIONS, ("mayor", "Oss", "Friday"), strict=True)
    ]
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in asked))
    return folder


def running(server: Server, documents: Path, results: Path, *words: object) -> tuple[object, ...]:
    """A run of a model that repeats the question, behind a test's server."""
    return ("run", "--system", "closed-book", "--dataset", documents, "--model", "openai:mini", "--tokenizer", "mini",
            "--base-url", server.url, "--results", results, *words)  # fmt: skip


def only_run(results: Path) -> Path:
    [spec] = results.glob("*/spec.json")
    return spec.parent


def test_a_run_is_judged_by_another_server_than_its_model(rmtbench: Command, tmp_path: Path, documents: Path) -> None:
    results = tmp_path / "results"
    with serve() as server, serve(by_reference, model="grader") as grader:
        words = ("--judge", "openai:grader", "--judge-base-url", grader.url)
        said = rmtbench(*running(server, documents, results, *words))
        assert said.code == 0, said.err
        assert all("grade one answer" not in json.dumps(body) for body in server.seen)
    assert sorted(scores_of(only_run(results), "judged")) == [0.0, 0.0, 1.0]
    assert "judged by openai:grader: 3 answers, 3 calls" in said.err
    assert "at no known price" in said.err


def test_scoring_again_with_a_judge_answers_nothing_again(rmtbench: Command, tmp_path: Path, documents: Path) -> None:
    results = tmp_path / "results"
    with serve() as server:
        assert rmtbench(*running(server, documents, results)).code == 0
    run = only_run(results)
    assert "judged" not in summary_of(run)["means"]
    answers, spec = (run / "answers.jsonl").read_bytes(), (run / "spec.json").read_bytes()
    with serve(by_reference, model="grader") as grader:
        said = rmtbench("score", run, "--judge", "openai:grader", "--judge-base-url", grader.url)
        assert said.code == 0, said.err
        assert len(grader.seen) == 4, "a greeting and three answers"
        again = rmtbench("score", run, "--judge", "openai:grader", "--judge-base-url", grader.url)
        assert (again.code, len(grader.seen)) == (0, 4)
    assert summary_of(run)["means"]["judged"] == pytest.approx(1 / 3)
    assert ((run / "answers.jsonl").read_bytes(), (run / "spec.json").read_bytes()) == (answers, spec)
    assert rmtbench("report", results).code == 0
    report = (results / "report" / "report.md").read_text(encoding="utf-8")
    assert "### Judge: agreement with EM and F1" in report
    assert "judged correct" in report


def test_a_sweep_takes_the_judge_from_its_file(rmtbench: Command, tmp_path: Path, documents: Path) -> None:
    results, file = tmp_path / "results", tmp_path / "sweep.yaml"
    with serve(by_reference) as server:
        file.write_text(
            f"runs: [{{system: closed-book, dataset: {documents}, model: 'openai:mini', tokenizer: mini, "
            f"base_url: '{server.url}', judge: 'openai:mini', judge_concurrency: 2}}]"
        )
        said = rmtbench("sweep", file, "--results", results)
    assert said.code == 0, said.err
    assert summary_of(only_run(results))["accounts"]["judged"]["judged"] == 3


def test_the_judge_is_no_part_of_a_runs_name(rmtbench: Command, tmp_path: Path, documents: Path) -> None:
    results = tmp_path / "results"
    with serve(by_reference) as server:
        assert rmtbench(*running(server, documents, results)).code == 0
        before = [path.name for path in results.iterdir()]
        said = rmtbench(*running(server, documents, results, "--judge", "openai:mini"))
        assert said.code == 0, said.err
        assert [path.name for path in results.iterdir()] == before
        assert len(rows(only_run(results) / "answers.jsonl")) == 3
    assert "judged" in summary_of(only_run(results))["means"]


def test_answers_that_were_not_judged_are_said_and_exit_with_1(
    rmtbench: Command, tmp_path: Path, documents: Path
) -> None:
    results = tmp_path / "results"
    with serve() as server:
        assert rmtbench(*running(server, documents, results)).code == 0
    with serve(judging(lambda _candidate: "perhaps"), model="grader") as grader:
        said = rmtbench("score", results, "--judge", "openai:grader", "--judge-base-url", grader.url)
    assert said.code == 1
    assert "3 answers not judged (two replies were no verdict)" in said.err
    assert summary_of(only_run(results))["means"]["em"] is not None
    assert summary_of(only_run(results))["means"]["judged"] is None


def test_a_judges_wrong_key_is_met_before_any_answer(rmtbench: Command, tmp_path: Path, documents: Path) -> None:
    results = tmp_path / "results"
    with serve() as server, serve(by_reference, model="grader", key="another") as grader:
        words = ("--judge", "openai:grader", "--judge-base-url", grader.url)
        said = rmtbench(*running(server, documents, results, *words))
        assert said.code == 2
        assert said.err.splitlines()[-2].startswith("error: --judge (")
        assert len(server.seen) == 0
    assert not results.exists()
    assert KEY not in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--judge-base-url", "http://h/v1"), "--judge-base-url: means nothing without --judge"),
        (("--set", "judge-concurrency=2"), "--set judge-concurrency: means nothing without --judge"),
        (("--prices", "prices.toml"), "--prices: means nothing without --judge"),
        (("--judge", "openai:m", "--set", "judge-concurrency=0"), "--set judge-concurrency: must be at least 1"),
        (("--judge", "openai:m", "--set", "embed-batch=2"), "--set embed-batch: means nothing for scoring"),
        (("--judge", "openai:m", "--set", "judges=2"), "--set: no rare option 'judges'"),
        (("--judge", "openai:m", "--judge-base-url", "h:1"), "--judge-base-url: not the URL of a server"),
        (("--metrics", "judged"), "--metrics judged: no model is named that judges"),
    ],
)
def test_what_makes_no_sense_of_a_judge_is_refused(
    rmtbench: Command, sample_run: tuple[str, ...], words: tuple[str, ...], message: str
) -> None:
    assert rmtbench(*sample_run).code == 0
    said = rmtbench("score", sample_run[-1], *words)
    assert said.code == 2
    assert message in said.err.splitlines()[-2]


def test_server_options_are_taken_for_the_judge_alone(rmtbench: Command, sample_run: tuple[str, ...]) -> None:
    with serve(by_reference) as server:
        said = rmtbench(*sample_run, "--judge", "openai:mini", "--base-url", server.url, "--set", "attempts=2")
    assert said.code == 0, said.err
    assert rmtbench(*sample_run, "--base-url", "http://h/v1").code == 2


def test_a_dry_run_says_how_often_the_judge_is_asked_at_most(rmtbench: Command, sample_run: tuple[str, ...]) -> None:
    said = rmtbench(*sample_run, "--judge", "random:tiny", "--dry-run")
    assert said.code == 0, said.err
    assert "judge random:tiny: at most 2 answers, each in one call or two; not in the price" in said.err


def test_a_local_model_can_judge(rmtbench: Command, sample_run: tuple[str, ...]) -> None:
    said = rmtbench(*sample_run, "--judge", "random:tiny")
    assert said.code == 1, "random weights know no verdict"
    assert " not judged (two replies were no verdict)" in said.err
