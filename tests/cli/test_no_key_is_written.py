"""No key reaches any byte that is written anywhere: results, report, page, cache, messages and tracebacks.

Keys come in by environment variables and by URLs, and servers send back what they were sent.
"""

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from cli_commands import Command, Said
from endpoint_server import Instead, Plan, Sent, Server, refusal, serve
from judge_server import by_reference, judging

SECRETS = {
    "OPENAI_API_KEY": "sk-proj-Openai0Secret0Value0aaaa",
    "JUDGES_KEY": "sk-judge-Secret0Value0bbbb",
    "HF_TOKEN": "hf_HuggingFaceSecretValuecccc",
    "HUGGING_FACE_HUB_TOKEN": "hf_OlderHubSecretValuedddd",
    "AWS_ACCESS_KEY_ID": "AKIASECRETVALUEEEEE00",
    "AWS_SECRET_ACCESS_KEY": "wJalrSecretAwsValue0ffff",
    "AZURE_OPENAI_API_KEY": "azure0Secret0Value0gggg",
    "ANTHROPIC_API_KEY": "sk-ant-Secret0Value0hhhh",
    "GITHUB_TOKEN": "ghp_GithubSecretValueiiii",
    "QDRANT_API_KEY": "qdrant0Secret0Value0jjjj",
}
USER, PASSWORD, QUERY = "someuser0Secret", "pass-w0rd%Secret?k", "query0Secret0Value0llll"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rmtbench: Command) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "towns.md").write_text("Arden lies on the river Oss. Its mayor is Tam Nedra.")
    asked = [{"question": f"Who is mayor {n}?", "answers": ["mayor"]} for n in range(3)]
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in asked))
    return folder


def secret_url(server: Server) -> str:
    """A server's URL with a user, a password and a key in its query."""
    return f"{server.url.replace('//', f'//{USER}:{quote(PASSWORD)}@')}?api-version=1&token={QUERY}"


def forms() -> set[bytes]:
    """The secrets as they may be written: plain, percent-encoded, in JSON, and as HTTP sends a user's password."""
    plain = {*SECRETS.values(), PASSWORD, QUERY, f"{USER}:{PASSWORD}"}
    plain |= {quote(value) for value in plain} | {json.dumps(value)[1:-1] for value in plain}
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return {value.encode() for value in (*plain, basic)}


def nothing_secret(tmp_path: Path, *said: Said) -> None:
    """Look into every file's bytes and name, and into all that was printed."""
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(paths) > 5, "there must be something to look into"
    for secret in forms():
        assert [path.name for path in paths if secret in path.read_bytes() or secret in os.fsencode(path)] == []
        assert not [one for one in said if secret in (one.out + one.err).encode()]


def words(server: Server, documents: Path, *more: object) -> tuple[object, ...]:
    return ("--debug", "run", "--system", "closed-book,rag-dense", "--top-k", 1, "--dataset", documents, "--model",
            "openai:mini", "--tokenizer", "mini", "--embedder", "openai:mini", "--base-url", secret_url(server),
            "--results", "results", *more)  # fmt: skip


def test_no_key_is_in_what_run_score_report_and_decide_write(
    rmtbench: Command, tmp_path: Path, documents: Path
) -> None:
    with serve(key=None) as server, serve(by_reference, model="grader", key=None) as grader:
        judge = ("--judge", "openai:grader", "--judge-base-url", secret_url(grader), "--set",
                 "judge-key-variable=JUDGES_KEY")  # fmt: skip
        said = [rmtbench(*words(server, documents, *judge)), rmtbench(*words(server, documents, *judge, "--dry-run"))]
        assert SECRETS["OPENAI_API_KEY"] in server.keys + [each.get("api-key", "") for each in server.headers]
        assert SECRETS["JUDGES_KEY"] in grader.keys + [each.get("api-key", "") for each in grader.headers]
        for scores in (tmp_path / "results").glob("*/scores.jsonl"):
            scores.unlink()
        said.append(rmtbench("--debug", "score", "results", *judge))
    said += [rmtbench("report", "results"), rmtbench("report", "results", "--json"), rmtbench("decide", "results")]
    runs = sorted(str(path.parent) for path in tmp_path.glob("results/*/spec.json"))
    said += [rmtbench("compare", *runs, "--json", "compared.json"), rmtbench("doctor"), rmtbench("pack", "results")]
    assert [one.code for one in said] == [0] * len(said), [one.err for one in said if one.code]
    nothing_secret(tmp_path, *said)


def test_no_key_is_in_a_traceback_though_servers_send_keys_back(
    rmtbench: Command, tmp_path: Path, documents: Path
) -> None:
    echoed = " ".join([SECRETS["OPENAI_API_KEY"], PASSWORD, QUERY])
    with serve(key=None, instead=lambda _asked: refusal(f"wrong: {echoed}", status=401)) as server:
        refused = rmtbench(*words(server, documents))
    with serve(key=None, instead=lambda _asked: refusal(f"no such thing: {echoed}", status=400)) as server:
        other = rmtbench(*words(server, documents))
    assert (refused.code, other.code) == (2, 2)
    assert "Traceback" in refused.err + other.err
    for secret in forms():
        assert secret not in (refused.err + refused.out + other.err + other.out).encode()


def refusing(*echoed: str) -> Instead:
    """What a server sends that refuses every question and repeats what it was sent."""

    def instead(asked: dict) -> Sent | None:
        text = json.dumps(asked.get("messages", ""))
        return refusal(f"not this one: {' '.join(echoed)}") if "mayor" in text else None

    return instead


def test_no_key_is_in_failed_answers_and_failed_judgements(rmtbench: Command, tmp_path: Path, documents: Path) -> None:
    words_of_run = ("run", "--system", "closed-book", "--dataset", documents, "--model", "openai:mini",
                    "--tokenizer", "mini")  # fmt: skip
    with serve(key=None) as server:
        said = [rmtbench(*words_of_run, "--base-url", secret_url(server), "--results", "results")]
    instead = refusing(SECRETS["JUDGES_KEY"], PASSWORD, QUERY)
    with serve(judging(lambda _: "CORRECT"), model="grader", key=None, instead=instead) as grader:
        said.append(rmtbench("score", "results", "--judge", "openai:grader", "--judge-base-url", secret_url(grader),
                             "--set", "judge-key-variable=JUDGES_KEY"))  # fmt: skip
    with serve(key=None, instead=refusing(SECRETS["OPENAI_API_KEY"], PASSWORD, QUERY)) as server:
        said.append(rmtbench(*words_of_run, "--base-url", secret_url(server), "--results", "others"))
    assert [one.code for one in said] == [0, 1, 1], [one.err for one in said]
    assert "not judged" in said[1].err
    assert "3 of 3 answers failed" in said[2].err
    nothing_secret(tmp_path, *said)


def test_faults_and_a_server_that_dies_write_no_key(rmtbench: Command, tmp_path: Path, documents: Path) -> None:
    with serve(key=None, plan=Plan(1.0, ("503",), after=2)) as server:
        said = rmtbench(*words(server, documents, "--set", "attempts=2"))
    assert said.code in (1, 2)
    for secret in forms():
        assert secret not in (said.out + said.err).encode()
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]
