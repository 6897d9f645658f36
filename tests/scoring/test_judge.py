"""A judge over a real server: what it is asked, what its replies come to, what is kept and what it costs."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from endpoint_server import KEY, Plan, Server, serve
from judge_server import answered, by_reference, candidate_of, judging, scores_of, summary_of
from report_runs import add_run, spec_of

from rmtbench.errors import UserError
from rmtbench.journal.layout import RunFolder
from rmtbench.models.database import with_sum
from rmtbench.models.endpoint.prices import Price
from rmtbench.options.judge import Judging
from rmtbench.scoring.judge_cache import Case, Verdict, VerdictCache
from rmtbench.scoring.judge_model import Judge, ServedJudge, find_judge
from rmtbench.scoring.judge_prompt import REMINDER
from rmtbench.scoring.kinds import find_metric
from rmtbench.scoring.score import score_runs

METRICS = ("em", "f1")
ANSWERS = ("blue", "Blue it is", "red", "", None, "the blue", "green", "blue")
CASE = Case("Which?", ("blue",), "blue")
VERDICT = Verdict(True, 1, 90, 0, 1, 0.5, "mini-2026")


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of verdicts, which every test begins with empty."""
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "judge"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of eight answers, of which one is empty and one failed."""
    return answered(add_run(tmp_path / "results", spec_of(), score=None), ANSWERS)


def judge_at(server: Server, **more: object) -> Judge:
    """The judge behind a test's server."""
    options = Judging(judge="openai:mini", judge_base_url=server.url, **{"attempts": 2, **more})
    judge = find_judge(options, {"OPENAI_API_KEY": KEY})
    assert judge is not None
    return judge


def score(run: RunFolder, server: Server, **more: object) -> list[float | None]:
    """What a judge's values of a run's answers are."""
    score_runs([run.path], METRICS, judge=judge_at(server, **more))
    return scores_of(run.path, "judged")


def asked(server: Server) -> list[str]:
    """The candidates that a server was asked about, in order."""
    prompts = [body["messages"][-1]["content"] for body in server.seen]
    return [candidate_of(text) for text in prompts if "<candidate>\n" in text]


def test_failed_and_empty_answers_are_wrong_without_asking(run: RunFolder) -> None:
    with serve(by_reference) as server:
        values = score(run, server)
    assert values == [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0]
    # Questions of the second draw are those of the first, so one answer is the same case; exact matches are asked too.
    assert sorted(asked(server)) == sorted(["blue", "Blue it is", "red", "the blue", "green", "blue"])
    account = summary_of(run.path)["accounts"]["judged"]
    assert (account["answers"], account["without_call"], account["judged"], account["not_judged"]) == (8, 2, 6, 0)
    assert summary_of(run.path)["means"]["judged"] == 0.5


def test_the_judge_sees_question_references_and_answer_only(run: RunFolder) -> None:
    with serve(by_reference) as server:
        score(run, server)
    for body in server.seen[1:]:
        assert body["temperature"] == 0
        [message] = body["messages"]
        assert message["role"] == "user"
        assert "cag" not in message["content"]
        assert "org/model-8b" not in message["content"]


def test_a_verdict_is_asked_for_once_for_all_runs(run: RunFolder, tmp_path: Path) -> None:
    other = answered(add_run(tmp_path / "results", spec_of("full-context"), score=None), ANSWERS)
    with serve(by_reference) as server:
        first = score(run, server)
        before = len(server.seen)
        assert score(other, server) == first
        assert len(server.seen) == before, "not even a greeting"
        assert summary_of(other.path)["accounts"] == summary_of(run.path)["accounts"]


def test_scoring_again_asks_nothing_and_gives_the_same_bytes(run: RunFolder) -> None:
    with serve(by_reference) as server:
        score(run, server)
    files = {path.name: path.read_bytes() for path in run.path.iterdir()}
    run.scores.unlink()
    with serve(by_reference, port=int(server.url.split(":")[2].split("/")[0])) as again:
        score(run, again)
        assert again.seen == []
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == files


@pytest.mark.parametrize("changed", ["question", "references", "answer", "judge"])
def test_any_other_input_or_judge_is_another_verdict(tmp_path: Path, changed: str) -> None:
    VerdictCache(tmp_path, "a" * 64).write(CASE, VERDICT)
    other = {
        "question": Case("Who?", ("blue",), "blue"),
        "references": Case("Which?", ("blue", "azure"), "blue"),
        "answer": Case("Which?", ("blue",), "Blue"),
    }.get(changed, CASE)
    cache = VerdictCache(tmp_path, ("b" if changed == "judge" else "a") * 64)
    assert cache.read([other]) == {}
    assert VerdictCache(tmp_path, "a" * 64).read([CASE]) == {CASE: VERDICT}


def test_another_prompt_is_another_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = VerdictCache(tmp_path, "a" * 64)
    cache.write(CASE, VERDICT)
    monkeypatch.setattr("rmtbench.scoring.judge_cache.prompt_hash", lambda: "another")
    assert cache.read([CASE]) == {}


def test_what_is_no_verdict_is_asked_for_once_more(run: RunFolder) -> None:
    seen: list[str] = []

    def reply(candidate: str) -> str:
        seen.append(candidate)
        return "It is CORRECT." if seen.count(candidate) == 1 else "CORRECT"

    with serve(judging(reply)) as server:
        answered(run, ["red", *[""] * 7])
        assert score(run, server) == [1.0] + [0.0] * 7
    first, second = [body["messages"][0]["content"] for body in server.seen[1:]]
    assert (REMINDER in first, REMINDER in second) == (False, True)
    account = summary_of(run.path)["accounts"]["judged"]
    assert (account["calls"], account["asked_again"]) == (2, 1)
    assert account["output_tokens"] == 4


def test_two_unusable_replies_leave_the_answer_not_judged(run: RunFolder) -> None:
    with serve(judging(lambda candidate: "CORRECT" if "blue" in candidate else "maybe")) as server:
        values = score(run, server)
    assert values == [1.0, None, None, 0.0, 0.0, 1.0, None, 1.0]
    summary = summary_of(run.path)
    account = summary["accounts"]["judged"]
    assert (account["judged"], account["not_judged"]) == (3, 3)
    assert account["reasons"] == {"two replies were no verdict": 3}
    assert summary["means"]["judged"] == 0.6
    assert (summary["applicable"]["judged"], summary["expected"]) == (5, 8)


def test_failures_are_not_kept_and_the_next_scoring_asks_again(run: RunFolder) -> None:
    with serve(judging(lambda candidate: "maybe" if candidate == "red" else "CORRECT")) as server:
        assert score(run, server).count(None) == 1
    port = int(server.url.split(":")[2].split("/")[0])
    with serve(by_reference, port=port) as again:
        assert score(run, again)[2] == 0.0
        assert asked(again) == ["red"]
    assert summary_of(run.path)["accounts"]["judged"]["not_judged"] == 0


def test_a_lost_server_leaves_the_rest_not_judged(run: RunFolder) -> None:
    with serve(by_reference, plan=Plan(1.0, ("503",), after=3)) as server:
        values = score(run, server, judge_concurrency=1)
    assert values[:2] == [1.0, 1.0]
    assert values.count(None) == 4
    assert scores_of(run.path, "em")[0] == 1.0
    [(reason, count), *more] = sorted(
        summary_of(run.path)["accounts"]["judged"]["reasons"].items(), key=lambda each: each[1]
    )
    assert "503" in reason
    assert count + sum(number for _, number in more) == 4


def test_a_judge_that_cannot_be_reached_at_all_stops_the_scoring(run: RunFolder) -> None:
    with serve(key="another") as server, pytest.raises(UserError, match=r"does not take the key .* \(401\)") as caught:
        score(run, server)
    assert caught.value.where.startswith("--judge")
    assert not run.scores.exists()


@pytest.mark.parametrize("kind", ["408", "429", "500", "dropped", "cut", "malformed"])
def test_passing_faults_change_no_verdict(run: RunFolder, kind: str) -> None:
    with serve(by_reference, plan=Plan(0.3, (kind,), seed=3)) as server:
        assert score(run, server, attempts=8) == [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0]


def test_cost_is_by_the_judges_own_tokens_and_price(run: RunFolder, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "mini"\ninput = 1000\noutput = 5000\nsource = "us"\ndate = 2026-01-02\n')
    with serve(by_reference, caches=False) as server:
        score(run, server, prices=prices)
    account = summary_of(run.path)["accounts"]["judged"]
    prompts = [body["messages"][0]["content"].split() for body in server.seen[1:]]
    assert account["prompt_tokens"] == sum(map(len, prompts))
    assert account["output_tokens"] == account["calls"] == len(prompts)
    assert account["cost"] == pytest.approx((account["prompt_tokens"] * 1000 + account["calls"] * 5000) / 1e6)
    assert account["price"]["source"] == "us"
    assert account["seconds"] > 0
    assert summary_of(run.path)["cost"] is None, "the judge's cost is not the run's"


def test_a_server_without_usage_has_no_tokens_and_no_cost(run: RunFolder) -> None:
    price = Price("mini", None, 1.0, 1.0, 1.0, "USD", "us", "2026-01-02")
    with serve(by_reference, usage=False) as server:
        judge = judge_at(server)
        priced = ServedJudge("openai:mini", judge._settings, (price,))
        score_runs([run.path], METRICS, judge=priced)
    account = summary_of(run.path)["accounts"]["judged"]
    assert (account["prompt_tokens"], account["cost"]) == (None, None)


def test_provenance_names_judge_prompt_and_what_answered(run: RunFolder) -> None:
    with serve(by_reference) as server:
        score(run, server)
    summary = summary_of(run.path)
    account = summary["accounts"]["judged"]
    host = server.url.removeprefix("http://").removesuffix("/v1")
    assert (account["name"], account["endpoint"], account["served"]) == ("openai:mini", host, ["mini-2026"])
    assert (account["prompt_version"], len(account["prompt_sha256"])) == (1, 64)
    assert summary["scorers"]["judged"].startswith(f"openai:mini {account['identity'][:16]}, prompt 1 ")


def test_without_a_judge_verdicts_are_not_lost(run: RunFolder) -> None:
    score_runs([run.path], METRICS)
    assert "judged" not in summary_of(run.path)["means"]
    with serve(by_reference) as server:
        score(run, server)
    scored = run.summary.read_bytes()
    score_runs([run.path], METRICS)
    assert run.summary.read_bytes() == scored
    score_runs([run.path], ("em",))
    assert "judged" not in summary_of(run.path)["means"]


def test_verdicts_stay_where_other_scores_are_made_anew(run: RunFolder) -> None:
    with serve(by_reference) as server:
        values = score(run, server)
        judged, calls = summary_of(run.path), len(asked(server))
        assert score_runs([run.path]) == []
        made = summary_of(run.path)
        assert scores_of(run.path, "judged") == values
        assert made["accounts"] == judged["accounts"]
        assert made["scorers"]["judged"] == judged["scorers"]["judged"]
        assert made["means"]["judged"] == judged["means"]["judged"]
        assert "minilm_cosine" in made["means"]
        score_runs([run.path], judge=judge_at(server))
        assert summary_of(run.path) == made
        assert len(asked(server)) == calls


def test_new_answers_without_a_judge_are_said(run: RunFolder) -> None:
    with serve(by_reference) as server:
        score(run, server)
    lines = run.scores.read_text(encoding="utf-8").splitlines(keepends=True)
    run.scores.write_text("".join(lines[:-1]), encoding="utf-8")
    (problem,) = score_runs([run.path])
    assert "since it lacks 1 verdict" in problem
    assert "give the same --judge again" in problem
    assert "judged" not in summary_of(run.path)["means"]


def test_the_metric_by_its_name_needs_a_judge(run: RunFolder) -> None:
    with pytest.raises(UserError, match="no model is named that judges"):
        score_runs([run.path], ("judged",))
    assert find_metric("judged").judged is not None


def test_several_answers_are_judged_at_once(run: RunFolder) -> None:
    with serve(by_reference, delay=0.05) as server:
        score(run, server, judge_concurrency=3)
    assert 2 <= server.most_at_once <= 3


# Verdicts on disk


def test_several_writers_keep_every_verdict(tmp_path: Path) -> None:
    cases = [Case(f"Q{number}?", ("a",), "a") for number in range(40)]

    def write(some: Sequence[Case]) -> None:
        cache = VerdictCache(tmp_path, "a" * 64)
        for each in some:
            cache.write(each, VERDICT)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [cases[:25], cases[10:], cases[::2], cases[::-1]]))
    assert set(VerdictCache(tmp_path, "a" * 64).read(cases)) == set(cases)


def test_the_first_verdict_stays(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path, "a" * 64)
    cache.write(CASE, VERDICT)
    cache.write(CASE, Verdict(False, 1, 1, 0, 1, 0.1, None))
    assert cache.read([CASE]) == {CASE: VERDICT}


def test_what_is_no_verdict_in_the_file_is_damage(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path, "a" * 64)
    cache.write(CASE, VERDICT)
    [file] = tmp_path.glob("*.sqlite")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE checked_verdicts SET verdict = replace(verdict, 'true', 'false')")
    with pytest.raises(UserError, match="the cache of verdicts is damaged") as caught:
        cache.read([CASE])
    assert "delete the file: it holds nothing that is not asked for again" in caught.value.remedy


def test_a_verdict_with_other_fields_is_damage_and_no_traceback(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path, "a" * 64)
    cache.write(CASE, VERDICT)
    [file] = tmp_path.glob("*.sqlite")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE checked_verdicts SET verdict = ?", (with_sum(b"[true, 1]"),))
    with pytest.raises(UserError, match="the cache of verdicts is damaged"):
        cache.read([CASE])


def test_judges_at_two_paths_of_one_host_are_two_judges() -> None:
    urls = ("http://h/v1", "http://h", "http://h/team-b/v1", "http://other/v1")
    judges = [find_judge(Judging(judge="openai:m", judge_base_url=url), {}) for url in urls]
    identities = [judge.identity for judge in judges if judge is not None]
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3


def test_an_interruption_keeps_the_verdicts_so_far(run: RunFolder, kept: Path) -> None:
    gate = threading.Event()

    def reply(candidate: str) -> str:
        gate.set()
        return "CORRECT"

    def interrupted(stage: str, done: int, total: int) -> None:
        if gate.is_set() and done == 2:
            raise KeyboardInterrupt

    with serve(judging(reply)) as server, pytest.raises(KeyboardInterrupt):
        score_runs([run.path], METRICS, progress=interrupted, judge=judge_at(server, judge_concurrency=1))
    assert len(asked(server)) == 2
    [file] = kept.glob("*.sqlite")
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT count(*) FROM checked_verdicts").fetchone() == (2,)
    assert not run.scores.exists()


# Which judge is asked


@pytest.mark.parametrize(
    ("options", "environ", "message"),
    [
        ({"judge": "openai:gpt-4o-mini"}, {}, "OPENAI_API_KEY is not set"),
        ({"judge": "openai:"}, {"OPENAI_API_KEY": "x"}, "names no model"),
        ({"judge": "openai:m", "judge_base_url": "localhost:1"}, {}, "not the URL of a server"),
        ({"judge": "openai:m", "judge_base_url": "http://h/v1", "judge_key_variable": "J"}, {}, "J is not set"),
        ({"judge": "random:tiny", "judge_base_url": "http://h/v1"}, {}, "means nothing for a judge on this machine"),
        ({"judge": "random:tiny", "judge_key_variable": "J"}, {}, "means nothing for a judge on this machine"),
    ],
)
def test_what_is_wrong_with_a_judge_is_said_before_it_is_asked(
    options: dict[str, str], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_judge(Judging(**options), environ)


def test_the_key_of_the_models_server_is_not_sent_to_the_judges() -> None:
    environ = {"MODELS": "sk-models", "JUDGES": "sk-judges", "OPENAI_API_KEY": "sk-openai"}

    def key(**options: str) -> str:
        judge = find_judge(Judging(judge="openai:m", key_variable="MODELS", **options), environ)
        return judge._settings.address.key

    assert key() == "sk-models"
    assert key(judge_base_url="http://other/v1") == "sk-openai"
    assert key(judge_base_url="http://other/v1", judge_key_variable="JUDGES") == "sk-judges"


def test_no_judge_is_the_default() -> None:
    assert find_judge(Judging(), {}) is None
