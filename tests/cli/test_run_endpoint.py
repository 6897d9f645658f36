"""`rmtbench run` with a model behind a server: the same answers as on this machine, whatever the server does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli_commands import CONSOLE, Command, Said, child_environment, journals, rows
from endpoint_server import KEY, PASSING, Plan, Server, of_local, serve

from rmtbench.journal.record import read_run
from rmtbench.models.load import load_model

SYSTEMS = "closed-book,oracle,full-context,cag,rag-sparse,rag-dense,rmt-text"
QUESTIONS = ("--dataset", "squad", "--size", "smoke", "--questions", "3", "--answer-style", "bridge",
             "--max-answer-tokens", "40")  # fmt: skip
CHUNKS = ("--top-k", "2")
NOTES = ("--rmt-chunk-tokens", "400", "--rmt-memory-tokens", "12")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A folder of own documents with a hundred questions."""
    return own_documents(tmp_path / "own", 100)


def own_documents(folder: Path, questions: int) -> Path:
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "towns.md").write_text("Arden lies on the river Oss. Its mayor is Tam Nedra.")
    # Every prompt is another one, and of the answers many are alike: different ones would take long to score.
    asked = [
        {"question": f"Who is mayor number {n % 40} in year {n}?", "answers": ["Tam Nedra"]} for n in range(questions)
    ]
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in asked))
    return folder


def asking(server: Server, *words: object) -> tuple[str, ...]:
    """The words that send a run to a server."""
    return ("--model", "openai:mini", "--tokenizer", "mini", "--base-url", server.url, *map(str, words))


def told(results: Path) -> dict[str, list[tuple]]:
    """Answers of each system, without what a server cannot know."""
    made = {}
    for path in sorted(results.glob("*/spec.json")):
        spec = json.loads(path.read_text())["spec"]
        made[spec["system"]] = [
            (row["question_id"], row["text"], row["finish"], row["error"])
            for row in rows(path.parent / "answers.jsonl")
        ]
    return made


def everything_written(*roots: Path) -> str:
    paths = [path for root in roots for path in root.rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in paths)


def test_served_model_answers_as_it_does_locally(rmtbench: Command, tmp_path: Path) -> None:
    local, chat, plain = tmp_path / "local", tmp_path / "chat", tmp_path / "plain"
    mini = load_model("mini", style="bridge")
    said = rmtbench("run", "--system", SYSTEMS, *QUESTIONS, *CHUNKS, *NOTES, "--model", "mini", "--results", local)
    assert said.code == 0, said.err
    with serve(of_local(mini)) as server:
        for results, api in ((chat, "chat"), (plain, "completions")):
            said = rmtbench(
                "run",
                "--system",
                SYSTEMS,
                *QUESTIONS,
                *CHUNKS,
                *NOTES,
                *asking(server, "--api", api),
                "--results",
                results,
            )
            assert said.code == 0, said.err
    assert set(told(local)) == set(SYSTEMS.split(","))
    assert any(text for answers in told(local).values() for _, text, *_ in answers)
    assert told(chat) == told(local)
    assert told(plain) == told(local)


def test_context_comes_first_and_stays_same_and_cache_is_counted(rmtbench: Command, tmp_path: Path) -> None:
    with serve() as server:
        said = rmtbench("run", "--system", "cag", *QUESTIONS, *asking(server), "--results", tmp_path)
    assert said.code == 0, said.err
    assert "never hit" not in said.err
    greeting, warming, *asked = [body["messages"][0]["content"] for body in server.seen]
    context = warming.partition("Question: ")[0]
    assert len(context) > 3000
    assert all(text.startswith(context) for text in asked)
    assert context not in greeting
    [folder] = [path.parent for path in tmp_path.glob("*/spec.json")]
    run = read_run(folder)
    [(_, prepared)] = run.prepared
    assert prepared.seconds["prefill"] > 0
    assert prepared.counts["warming_prompt_tokens"] == prepared.tokens == len(warming.split())
    assert all(0 < answer.tokens.cached <= answer.tokens.prompt for answer in run.answers.values())


def test_a_cache_that_is_never_hit_is_told_at_once_and_in_report(rmtbench: Command, tmp_path: Path) -> None:
    with serve(caches=False) as server:
        said = rmtbench("run", "--system", "cag", *QUESTIONS, *asking(server), "--results", tmp_path)
    assert (said.code, "prefix cache was never hit" in said.err) == (0, True)
    assert "prefix cache was never hit" in rmtbench("report", tmp_path).out


def test_what_answered_is_recorded_and_nothing_secret(rmtbench: Command, tmp_path: Path) -> None:
    with serve(key=None) as server:
        url = server.url.replace("http://", "http://somebody:hunter2pass@")
        said = rmtbench("run", "--system", "closed-book", *QUESTIONS, "--model", "openai:mini", "--tokenizer", "mini",
                        "--base-url", url, "--results", tmp_path)  # fmt: skip
    assert said.code == 0, said.err
    [path] = tmp_path.glob("*/spec.json")
    model = json.loads(path.read_text())["provenance"]["model"]
    host = server.url.removeprefix("http://").removesuffix("/v1")
    assert (model["endpoint"], model["served"], model["fingerprint"]) == (host, "mini-2026", "fp_test")
    seen = everything_written(tmp_path) + said.out + said.err
    assert host in seen
    assert "hunter2pass" not in seen
    assert KEY not in seen


def faulty(share: float = 0.2, **more: object) -> Plan:
    return Plan(share, (*PASSING,), seed=7, **more)


def test_faults_lose_and_double_nothing_and_change_no_answer(rmtbench: Command, tmp_path: Path, sample: Path) -> None:
    whole, troubled = tmp_path / "whole", tmp_path / "troubled"
    with serve() as server:
        words = ("run", "--system", "closed-book", "--dataset", sample, "--concurrency", 16, "--max-answer-tokens", 5)
        assert rmtbench(*words, *asking(server), "--results", whole).code == 0
    with serve(plan=faulty(), delay=0.01) as server:
        said = rmtbench(*words, *asking(server), "--results", troubled)
    assert said.code == 0, said.err
    assert set(server.plan.done) == set(PASSING), "every kind of fault is to be met"
    assert 2 <= server.most_at_once <= 16  # how near a busy machine comes to 16 is its own affair
    assert told(troubled) == told(whole)
    [answers] = journals(troubled).values()
    assert [row["question_id"] for row in answers] == list(dict.fromkeys(row["question_id"] for row in answers))
    assert len(answers) == 100
    [spec] = [json.loads(path.read_text())["spec"] for path in troubled.glob("*/spec.json")]
    assert spec["settings"] == {"concurrency": "16"}


def test_a_server_that_is_gone_stops_the_run_which_resumes(rmtbench: Command, tmp_path: Path, sample: Path) -> None:
    results = tmp_path / "results"
    words = ("run", "--system", "closed-book", "--dataset", sample, "--set", "attempts=2", "--results", results)
    with serve(plan=Plan(1.0, ("503",), after=12)) as server:
        said = rmtbench(*words, *asking(server))
        port = int(server.url.split(":")[2].split("/")[0])
    assert said.code == 1
    assert said.err.count("does not answer any more (status 503)") == 1
    assert "the same command resumes" in said.err
    [answers] = journals(results).values()
    assert [row["error"] is None for row in answers] == [True] * 11 + [False] * 2
    with serve(port=port) as server:
        said = rmtbench(*words, *asking(server))
    assert said.code == 1  # two failed before it was known that the server was gone, and stay
    [answers] = journals(results).values()
    assert len({row["question_id"] for row in answers}) == len(answers) == 100


def test_no_server_at_all_is_told_soon_and_nothing_is_begun(rmtbench: Command, tmp_path: Path, sample: Path) -> None:
    with serve() as server:
        pass
    said = rmtbench("run", "--system", "closed-book", "--dataset", sample, *asking(server), "--results", tmp_path / "r")
    assert said.code == 2
    assert said.err.splitlines()[-2].endswith("the server does not answer (no connection)")
    assert not list((tmp_path / "r").glob("*/answers.jsonl"))


def test_prices_of_ones_own_give_costs_and_no_price_gives_none(rmtbench: Command, tmp_path: Path, sample: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "mini"\ninput = 1000\noutput = 5000\nsource = "us"\ndate = 2026-01-02\n')
    with serve() as server:
        words = ("run", "--system", "closed-book", "--dataset", sample, "--questions", 4, *asking(server))
        assert rmtbench(*words, "--prices", prices, "--results", tmp_path / "paid").code == 0
        assert rmtbench(*words, "--results", tmp_path / "unknown").code == 0
    [paid], [unknown] = (
        [json.loads(path.read_text()) for path in (tmp_path / name).glob("*/summary.json")]
        for name in ("paid", "unknown")
    )
    [answers] = journals(tmp_path / "paid").values()
    tokens = [row["tokens"] for row in answers]
    expected = sum(each["prompt"] * 1000 + each["output"] * 5000 for each in tokens) / 4 / 1e6
    assert paid["cost"] == {"currency": "USD", "per_question": pytest.approx(expected), "per_corpus": 0.0}
    assert unknown["cost"] is None
    assert rmtbench("report", tmp_path / "paid").code == 0
    report = (tmp_path / "paid" / "report" / "report.md").read_text()
    assert "Anatomy: cost" in report
    assert "price of mini: us, 2026-01-02" in report
    assert "prices change, so check them" in report


def test_served_embeddings_are_kept_counted_and_paid_for_once(rmtbench: Command, tmp_path: Path) -> None:
    words = ("run", "--system", "rag-dense", *QUESTIONS, *CHUNKS, "--embedder", "openai:mini")
    with serve() as server:
        said = rmtbench(*words, *asking(server), "--results", tmp_path / "first")
        assert said.code == 0, said.err
        first = len([body for body in server.seen if "input" in body])
        assert rmtbench(*words, *asking(server), "--results", tmp_path / "second").code == 0
        second = len([body for body in server.seen if "input" in body]) - first
    [run], [again] = (
        [read_run(path.parent) for path in (tmp_path / name).glob("*/spec.json")] for name in ("first", "second")
    )
    assert run.prepared[0][1].counts["embedded_tokens"] > 100
    assert "embedded_tokens" not in again.prepared[0][1].counts
    assert [answer.tokens.embedded > 0 for answer in run.answers.values()] == [True] * 3
    assert (first, second) == (1 + 1 + 3, 1 + 3)  # a greeting, the chunks once, each question


# What bad input gets: one clear line each, exit code 2, and no key anywhere.
BAD = {
    "wrong key": ({"key": "another"}, (), "does not take the key of the environment variable OPENAI_API_KEY (401)"),
    "unknown model": ({"model": "maxi"}, (), "knows no model 'mini' (404)"),
    "context too long": ({"limit": 64}, (), "exceed the model's context of 64 by"),
    "unknown model, FastAPI's words": (
        {"model": "maxi", "details": True},
        (),
        "refuses the request (400): The model `mini` does not exist",
    ),
    "context too long, FastAPI's words": (
        {"limit": 64, "details": True},
        (),
        "exceed the model's context of 64 by",
    ),
    "malformed": ({"plan": Plan(1.0, ("malformed",))}, ("--set", "attempts=2"), "a malformed reply"),
    "stream cut": ({"plan": Plan(1.0, ("cut",))}, ("--set", "attempts=2"), "the stream was cut in the middle"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_a_server_refuses_is_told_in_one_line(rmtbench: Command, tmp_path: Path, case: str) -> None:
    serving, words, line = BAD[case]
    with serve(**serving) as server:
        said = rmtbench("run", "--system", "full-context", *QUESTIONS, *asking(server, *words), "--results", tmp_path)
    what, remedy = refused(said)
    assert line in what
    assert remedy
    assert KEY not in everything_written(tmp_path) + said.out + said.err


@pytest.mark.parametrize(("api", "hinted"), [("chat", True), ("completions", False)])
def test_where_every_chat_fails_the_other_way_of_asking_is_named(
    rmtbench: Command, tmp_path: Path, api: str, hinted: bool
) -> None:
    words = ("--set", "attempts=2", "--api", api)
    with serve(plan=Plan(1.0, ("500",))) as server:
        said = rmtbench("run", "--system", "closed-book", *QUESTIONS, *asking(server, *words), "--results", tmp_path)
    what, remedy = refused(said)
    assert "status 500, 2 requests" in what
    assert ("--api completions" in remedy) == hinted


def test_even_a_traceback_shows_no_key(rmtbench: Command, tmp_path: Path) -> None:
    with serve(key="another") as server:
        said = rmtbench("--debug", "run", "--system", "cag", *QUESTIONS, *asking(server), "--results", tmp_path)
    assert "Traceback" in said.err
    assert KEY not in said.err


def test_an_embedding_of_another_width_stops_run_and_is_not_kept(rmtbench: Command, tmp_path: Path) -> None:
    with serve(plan=Plan(1.0, ("width",), after=2), width=7) as server:
        said = rmtbench("run", "--system", "rag-dense", *QUESTIONS, *CHUNKS,
                        *asking(server, "--embedder", "openai:mini"), "--results", tmp_path)  # fmt: skip
    assert "gave a vector of 8 numbers in place of 7" in refused(said)[0]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--model", "openai:gpt-4o-mini"), "OPENAI_API_KEY is not set"),
        (("--model", "openai:m", "--base-url", "http://localhost:9/v1", "--key-variable", "MINE"), "MINE is not set"),
        (("--model", "openai:m", "--base-url", "localhost:9"), "not the URL of a server"),
        (
            ("--model", "openai:m", "--base-url", "http://localhost:9/v1", "--size", "1k"),
            "no tokenizer is known for 'm'",
        ),
        (("--model", "openai:", "--base-url", "http://localhost:9/v1"), "names no model"),
        (("--model", "mini", "--set", "patience=9"), "no rare option 'patience'"),
        (("--model", "openai:m", "--base-url", "http://x/v1", "--system", "rmt-memory"), "needs the model's weights"),
        (("--model", "openai:m", "--base-url", "http://x/v1", "--api", "responses"), "--api"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_server_is(
    rmtbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], line: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    said = rmtbench("run", *(() if "--system" in words else ("--system", "cag")), "--dataset", "handbook", *words,
                    "--results", tmp_path)  # fmt: skip
    assert line in refused(said)[0]


def refused(said: Said) -> list[str]:
    assert said.code == 2, said.err
    *_, what, remedy = said.err.splitlines()
    assert what.startswith("error: ")
    return [what, remedy.strip()]


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.slow
def test_a_thousand_questions_survive_faults_and_kills(rmtbench: Command, tmp_path: Path, servers: ExitStack) -> None:
    own, whole, killed = own_documents(tmp_path / "own", 1000), tmp_path / "whole", tmp_path / "killed"
    words = (
        "run",
        "--system",
        "closed-book",
        "--dataset",
        str(own),
        "--concurrency",
        "16",
        "--max-answer-tokens",
        "5",
    )
    with serve() as server:
        assert rmtbench(*words, *asking(server), "--results", whole).code == 0
    server = servers.enter_context(serve(plan=faulty(), delay=0.02))
    command = [*CONSOLE, *words, *asking(server), "--results", str(killed)]
    environment = {**child_environment(tmp_path), "OPENAI_API_KEY": KEY}
    for enough in (150, 500, 800):
        child = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        while sum(path.read_bytes().count(b"\n") for path in killed.glob("*/answers.jsonl")) < enough:
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert set(server.plan.done) == set(PASSING)
    assert told(killed) == told(whole)
    [answers] = journals(killed).values()
    assert len({row["question_id"] for row in answers}) == len(answers) == 1000
    assert KEY not in everything_written(tmp_path) + ended.stdout + ended.stderr
