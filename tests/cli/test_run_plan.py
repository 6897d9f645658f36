"""`rmtbench run --dry-run`: what a run will ask and cost, before anything is asked; held to what the run then does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_commands import Command  # noqa: TC002 - as the other tests of commands
from endpoint_server import KEY, Server, serve
from small_models import save_adapter, save_model

from rmtbench.journal.record import read_run
from rmtbench.models.load import load_tokenizer
from rmtbench.models.reasoning import DEFAULT_THINK_TOKENS

SYSTEMS = "closed-book,full-context,cag,rag-sparse,rag-dense"
ASKED = ("--dataset", "squad", "--size", "smoke", "--questions", "5", "--answer-style", "direct",
         "--max-answer-tokens", "6")  # fmt: skip


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[price]]\nmodel = "mini"\ninput = 1000\ncached_input = 100\noutput = 5000\nsource = "us"\ndate = 2026-01-02\n'
    )
    return path


def words(server: Server, results: Path, *more: object) -> tuple[object, ...]:
    return ("run", *ASKED, "--model", "openai:mini", "--tokenizer", "mini", "--base-url", server.url,
            "--results", results, *more)  # fmt: skip


def planned(err: str, name: str) -> str:
    [line] = [line for line in err.splitlines() if line.startswith(f"{name}: ")]
    return line


def numbers(line: str) -> list[float]:
    return [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", line)]


def test_the_plan_asks_nothing_and_its_calls_and_tokens_are_runs(
    rmtbench: Command, tmp_path: Path, prices: Path
) -> None:
    results = tmp_path / "results"
    with serve(caches=False) as server:
        more = ("--system", SYSTEMS, "--top-k", "1,2", "--embedder", "openai:mini", "--prices", prices)
        said = rmtbench(*words(server, results, *more, "--dry-run"))
        assert said.code == 0, said.err
        assert (server.paths, results.exists()) == ([], False)
        assert rmtbench(*words(server, results, *more)).code == 0
        calls, sent, written, embedded = numbers(planned(said.err, "calls"))
        assert len(server.paths) == calls == (1 + 7 * 5 + 1) + (1 + 1 + 2 * 5)
    assert len(said.out.splitlines()) == 7
    assert "next: " not in said.err
    runs = [read_run(path.parent) for path in results.glob("*/spec.json")]
    tokens = [answer.tokens for run in runs for answer in run.answers.values()]
    counts = [prepared.counts for run in runs for _, prepared in run.prepared]
    really_sent = sum(each.prompt for each in tokens) + sum(each.get("warming_prompt_tokens", 0) for each in counts)
    assert really_sent / 2 < sent < really_sent * 2  # the test's server counts words
    assert sum(each.output for each in tokens) <= written == 7 * 5 * 6 + 1
    assert embedded > 0
    most, least = numbers(planned(said.err, "price"))
    paid = [json.loads(path.read_text())["cost"] for path in results.glob("*/summary.json")]
    really_paid = sum(5 * each["per_question"] + each["per_corpus"] for each in paid)
    assert really_paid / 2 < most < really_paid * 2
    assert least < most


def test_what_is_finished_is_not_planned_again(rmtbench: Command, tmp_path: Path, prices: Path) -> None:
    more = ("--system", "closed-book", "--prices", prices)
    with serve() as server:
        assert rmtbench(*words(server, tmp_path / "results", *more)).code == 0
        done = rmtbench(*words(server, tmp_path / "results", *more, "--dry-run")).err
        other = rmtbench(*words(server, tmp_path / "results", *more, "--seed", "1", "--dry-run")).err
    assert "in all 1 run, 1 of them finished already" in done
    assert "price" not in done
    assert "for 1 run, as finished ones here took" in planned(other, "time")


def test_questions_asked_at_once_share_the_planned_time(rmtbench: Command, tmp_path: Path) -> None:
    more = ("--system", "closed-book", "--concurrency", "5")
    with serve(delay=0.7) as server:
        assert rmtbench(*words(server, tmp_path / "results", *more)).code == 0
        other = rmtbench(*words(server, tmp_path / "results", *more, "--seed", "1", "--dry-run")).err
    assert numbers(planned(other, "time"))[0] < 3, "five answers of 0.7 s, all at the same time"


def test_a_plan_of_a_shard_counts_its_own_draws_alone(rmtbench: Command, tmp_path: Path) -> None:
    more = ("--system", "closed-book", "--draws", "4", "--dry-run")
    with serve() as server:
        whole, part = (
            numbers(planned(rmtbench(*words(server, tmp_path / "results", *more, *shard)).err, "calls"))
            for shard in ((), ("--shard", "1/4"))
        )
    assert (whole[0], part[0]) == (1 + 4 * 5, 1 + 5)
    assert part[2] == whole[2] / 4


def test_reasoning_and_limits_a_minute_count_in_the_plan(rmtbench: Command, tmp_path: Path, prices: Path) -> None:
    more = ("--system", "closed-book", "--prices", prices, "--set", "think-tokens=94",
            "--set", "requests-per-minute=1", "--dry-run")  # fmt: skip
    with serve() as server:
        said = rmtbench(*words(server, tmp_path / "results", *more))
    assert "at most 500 written" in planned(said.err, "calls")
    assert "at least 6 min by the limits a minute" in planned(said.err, "time")
    assert planned(said.err, "price") == "price: at most about 3.00 USD"


def test_reasoning_marks_are_counted_in_plan_as_in_run(rmtbench: Command, tmp_path: Path) -> None:
    tokenizer = load_tokenizer("mini")
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.save_pretrained(tmp_path / "thinker")
    more = ("--system", "closed-book", "--tokenizer", tmp_path / "thinker", "--questions", "1")
    with serve() as server:
        said = rmtbench(*words(server, tmp_path / "results", *more, "--dry-run"))
        assert rmtbench(*words(server, tmp_path / "results", *more)).code == 0
    longest = server.seen[-1]["max_tokens"]
    assert longest == 6 + DEFAULT_THINK_TOKENS
    assert f"at most {longest:,} written" in planned(said.err, "calls")


def test_an_adapter_is_named_in_the_plan_and_looked_for(rmtbench: Command, tmp_path: Path) -> None:
    base = save_model(tmp_path / "base")
    adapter = save_adapter(base, tmp_path / "mine")
    asked = ("run", *ASKED, "--system", "closed-book", "--model", base, "--results", tmp_path / "r", "--dry-run")
    said = rmtbench(*asked, "--adapter", adapter)
    assert (said.code, "base+mine" in said.out) == (0, True), said.err
    gone = rmtbench(*asked, "--adapter", tmp_path / "nowhere")
    assert (gone.code, "nowhere" in gone.err) == (2, True)


def test_notes_cost_a_call_a_section(rmtbench: Command, tmp_path: Path) -> None:
    more = ("--system", "rmt-text", "--rmt-chunk-tokens", "400", "--rmt-memory-tokens", "12")
    with serve() as server:
        said = rmtbench(*words(server, tmp_path / "results", *more, "--dry-run"))
        assert rmtbench(*words(server, tmp_path / "results", *more)).code == 0
    calls = numbers(planned(said.err, "calls"))[0]
    assert abs(calls - len(server.paths)) <= 5  # sections end with a sentence: one more or less a question


def test_a_model_on_this_machine_has_no_calls_and_no_price(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench("run", *ASKED, "--system", "cag", "--model", "mini", "--results", tmp_path / "r", "--dry-run")
    assert said.code == 0, said.err
    assert "5 questions; about " in said.err
    assert "price" not in said.err
    assert "calls" not in said.err


def test_what_cannot_be_done_is_refused_as_the_run_would(rmtbench: Command, tmp_path: Path) -> None:
    for more, told in (
        (("--system", "cag", "--set", "kv-bits=8"), "the server keeps the cache in its own way"),
        (("--system", "nothing"), "nothing"),
    ):
        with serve() as server:
            said = rmtbench(*words(server, tmp_path / "results", *more, "--dry-run"))
        assert (said.code, told in said.err) == (2, True)


def test_what_does_not_fit_is_left_out_of_the_plan_as_of_the_run(
    rmtbench: Command, tmp_path: Path, model_of_context: Callable[[int], Path]
) -> None:
    words = ("run", "--dataset", "handbook", "--model", model_of_context(2000), "--questions", "2",
             "--max-answer-tokens", "4", "--results", tmp_path / "r", "--system")  # fmt: skip
    said = rmtbench(*words, "closed-book,cag,full-context", "--dry-run")
    assert said.code == 0
    assert [line.partition("-handbook")[0] for line in said.out.splitlines()] == ["closed-book"]
    skipped = [line for line in said.err.splitlines() if "skipped" in line]
    assert [re.sub(r"[34],\d\d\d tokens.*", "N", line) for line in skipped] == [
        f"{name} skipped: the context is at least N" for name in ("cag", "full-context")
    ]
    assert rmtbench(*words, "closed-book,cag,full-context").code == 2
    assert [path.name.partition("-handbook")[0] for path in (tmp_path / "r").glob("*-*")] == ["closed-book"]
    for more in ((), ("--dry-run",)):
        said = rmtbench(*words, "cag,full-context", *more)
        assert said.code == 2
        assert "(cag, full-context): the context is " in said.err
        assert "--size smoke fits; else leave these systems out" in said.err


def test_the_plan_knows_the_context_of_weights_not_yet_converted(
    rmtbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "fresh"))
    folder = tmp_path / "mine"
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "a.md").write_text("The mayor of Port Amaret is Ines. " * 1500)
    (folder / "questions.jsonl").write_text('{"question": "Who is mayor?", "answers": "Ines"}\n')
    said = rmtbench("run", "--dataset", folder, "--system", "cag,rag-sparse", "--dry-run", "--results", tmp_path / "r")
    assert said.code == 0, said.err
    assert "smollm2+reading takes 8,192" in said.err
    assert not list((tmp_path / "fresh").glob("gguf/*/"))
