"""`rmtbench run` against servers that do not do as the protocol says: what is kept, printed and reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_commands import Command, journals
from endpoint_server import KEY, Sent, Server, event, serve, stream

COUNTS = {"prompt_tokens": 100, "completion_tokens": 3}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of own documents with four questions."""
    folder = tmp_path / "own"
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "towns.md").write_text("Arden lies on the river Oss. Its mayor is Tam Nedra.")
    asked = [{"question": f"Who is mayor number {n}?", "answers": ["Tam Nedra"]} for n in range(4)]
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in asked))
    return folder


def words(server: Server, own: Path, results: Path, *more: object) -> tuple[object, ...]:
    return ("run", "--dataset", own, "--model", "openai:mini", "--base-url", server.url, "--results", results, *more)


def saying(*events: dict[str, Any], **usage: Any) -> Callable[[dict[str, Any]], Sent]:
    return lambda _asked: stream(*events, {"choices": [], "usage": {**COUNTS, **usage}})


MAYOR = event("Tam Nedra", "stop")


def provenance(results: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text())["provenance"]["model"] for path in sorted(results.glob("*/spec.json"))]


def test_all_of_own_documents_needs_no_tokenizer(rmtbench: Command, tmp_path: Path, own: Path) -> None:
    results = tmp_path / "results"
    with serve(instead=saying(MAYOR)) as server:
        said = rmtbench(*words(server, own, results, "--system", "closed-book,full-context,cag"))
        assert said.code == 0, said.err
        asked = len(server.seen)
        said = rmtbench(*words(server, own, results, "--system", "closed-book,cag,rag-sparse"))
    assert said.code == 2
    assert "no tokenizer is known for 'mini', and the pieces of text that rag-sparse reads need one" in said.err
    assert len(server.seen) == asked, "nothing may be paid before it is refused"
    assert {model["tokenizer_sha256"] for model in provenance(results)} == {None}
    [corpora] = {path.read_text() for path in results.glob("*/corpora.jsonl")}
    assert json.loads(corpora)["tokens"] is None
    assert rmtbench("report", results).code == 0


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--size", "1k"), "corpus sizes need one"),
        (("--set", "tokens-per-minute=1000"), "limits of tokens a minute need one"),
        (("--system", "rmt-text"), "the pieces of text that rmt-text reads need one"),
    ],
)
def test_tokenizer_is_asked_first_where_tokens_count(
    rmtbench: Command, tmp_path: Path, own: Path, more: tuple[str, ...], reason: str
) -> None:
    system = () if "--system" in more else ("--system", "cag")
    with serve(instead=saying(MAYOR)) as server:
        said = rmtbench(*words(server, own, tmp_path / "results", *system, *more))
    assert (said.code, reason in said.err, server.seen) == (2, True, [])


def test_a_server_without_usage_needs_a_tokenizer(rmtbench: Command, tmp_path: Path, own: Path) -> None:
    with serve(instead=lambda _asked: stream(MAYOR)) as server:
        said = rmtbench(*words(server, own, tmp_path / "results", "--system", "closed-book"))
        assert (said.code, "a server that gives no usage need one" in said.err) == (2, True)
        more = ("--system", "closed-book", "--tokenizer", "mini")
        assert rmtbench(*words(server, own, tmp_path / "results", *more)).code == 0


def test_what_is_not_known_is_null_in_files_and_a_dash_in_tables(rmtbench: Command, tmp_path: Path, own: Path) -> None:
    message = {"choices": [{"finish_reason": "eos", "message": {"content": "Tam Nedra"}}], "usage": COUNTS}
    whole = Sent(json.dumps(message).encode(), "application/json")
    results = tmp_path / "results"
    with serve(instead=lambda _asked: whole) as server:
        said = rmtbench(*words(server, own, results, "--system", "cag,full-context"))
    assert said.code == 0, said.err
    assert "cag" in said.err
    assert "the server does not say whether its prefix cache was hit" in said.err
    assert "never hit" not in said.err
    for rows in journals(results).values():
        for row in rows:
            assert [row["timings"][name] for name in ("prefill", "first_token", "decode")] == [None] * 3
            assert row["timings"]["total"] > 0
            assert (row["tokens"]["cached"], row["finish"], row["finish_reason"]) == (None, "eos", "eos")
    report = rmtbench("report", results)
    assert report.code == 0, report.err
    assert "does not say whether its prefix cache was hit" in report.out
    assert "never hit" not in report.out
    [summary] = [json.loads(path.read_text()) for path in results.glob("full-context*/summary.json")]
    assert summary["median_seconds"]["first_token"] is None
    assert summary["median_seconds"]["total"] > 0


def test_changed_served_name_stops_and_first_resumes(rmtbench: Command, tmp_path: Path, own: Path) -> None:
    names = iter(["a", "a", "a", "b"])
    results, system = tmp_path / "results", ("--system", "closed-book")
    with serve(instead=lambda _asked: stream({**MAYOR, "model": next(names), "usage": COUNTS})) as server:
        said = rmtbench(*words(server, own, results, *system))
        port = int(server.url.split(":")[2].split("/")[0])
    assert said.code == 1
    assert "the model that answers has changed from 'a' to 'b'" in said.err
    [rows] = journals(results).values()
    assert len(rows) == 2
    for name, code in (("b", 2), ("a", 0)):
        with serve(
            instead=lambda _asked, name=name: stream({**MAYOR, "model": name, "usage": COUNTS}), port=port
        ) as server:
            assert rmtbench(*words(server, own, results, *system)).code == code
    [rows] = journals(results).values()
    assert len({row["question_id"] for row in rows}) == len(rows) == 4


def test_reasoning_is_counted_and_reported_and_settings_are_runs(rmtbench: Command, tmp_path: Path, own: Path) -> None:
    results, told = (
        tmp_path / "results",
        {"completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 47}},
    )
    more = ("--system", "closed-book", "--set", "reasoning-effort=low", "--set", "think-tokens=500")
    with serve(instead=saying(MAYOR, **told)) as server:
        said = rmtbench(*words(server, own, results, *more))
    assert said.code == 0, said.err
    assert [server.seen[-1][name] for name in ("max_tokens", "reasoning_effort")] == [564, "low"]
    [spec] = [json.loads(path.read_text())["spec"] for path in results.glob("*/spec.json")]
    assert spec["settings"] == {"reasoning_effort": "low", "think_tokens": "500"}
    [rows] = journals(results).values()
    assert {(row["tokens"]["output"], row["tokens"]["reasoning"]) for row in rows} == {(50, 47)}
    report = rmtbench("report", results, "--anatomy").out
    assert "of the tokens written, 47.0 an answer were reasoning" in " ".join(report.split())


def test_answers_emptied_by_reasoning_are_reported(rmtbench: Command, tmp_path: Path, own: Path) -> None:
    def instead(asked: dict[str, Any]) -> Sent:
        if "Say yes." in str(asked["messages"]):
            return saying(MAYOR)(asked)
        thought = event(None, "length", delta={"reasoning_content": "hm"})
        return saying(thought, completion_tokens=64, completion_tokens_details={"reasoning_tokens": 64})(asked)

    with serve(instead=instead) as server:
        said = rmtbench(*words(server, own, tmp_path / "results", "--system", "closed-book"))
    assert "4 of 4 answers empty, for reasoning took all of their tokens: give more with --set think-tokens" in (
        said.err
    )


@pytest.mark.parametrize("option", ["reasoning-effort=low", "embed-batch=5"])
def test_server_settings_are_refused_for_local_model(rmtbench: Command, tmp_path: Path, own: Path, option: str) -> None:
    said = rmtbench("run", "--system", "cag", "--dataset", own, "--model", "mini", "--set", option,
                    "--results", tmp_path / "results")  # fmt: skip
    assert (said.code, f"--set {option.partition('=')[0]}: means nothing" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("variable", "value"), [("ALL_PROXY", "socks5://me:hunter2@localhost:1"), ("SSL_CERT_FILE", "/nowhere.pem")]
)
def test_a_broken_environment_is_told_in_two_lines(
    rmtbench: Command, tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with serve() as server:
        said = rmtbench(*words(server, own, tmp_path / "results", "--system", "closed-book"))
    what, remedy = said.err.splitlines()
    assert said.code == 2
    assert what.startswith(f"error: {variable}: ")
    assert remedy.startswith("  ")
    assert "hunter2" not in said.err
