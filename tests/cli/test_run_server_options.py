"""Options that mean something to a server alone are refused where there is none, and the other way round."""

from pathlib import Path

import pytest
from cli_commands import Command

from rmtbench.errors import UserError
from rmtbench.runs.session import open_session
from rmtbench.spec import make_request

SERVED = ("--model", "openai:m", "--base-url", "http://localhost:9/v1", "--tokenizer", "mini")
LOCAL = ("--model", "mini")
EMBEDDED = ("--embedder", "openai:e", "--system", "rag-dense")
CLOSED = ("--system", "closed-book")

NOTHING_SERVED = "means nothing where model and embedder are on this machine"
NO_MODEL = "means nothing for a model on this machine"
NO_EMBEDDER = "means nothing where no server embeds"
NOT_HERE = "means nothing for a model behind a server"


@pytest.mark.parametrize(
    ("words", "option", "what"),
    [
        ((*LOCAL, *CLOSED, "--base-url", "http://localhost:9/v1"), "--base-url", NOTHING_SERVED),
        ((*LOCAL, *CLOSED, "--key-variable", "MINE"), "--key-variable", NOTHING_SERVED),
        ((*LOCAL, *CLOSED, "--prices", "prices.toml"), "--prices", NOTHING_SERVED),
        ((*LOCAL, *CLOSED, "--set", "requests-per-minute=60"), "--set requests-per-minute", NOTHING_SERVED),
        ((*LOCAL, *CLOSED, "--set", "tokens-per-minute=60"), "--set tokens-per-minute", NOTHING_SERVED),
        ((*LOCAL, *CLOSED, "--set", "deadline=600"), "--set deadline", NOTHING_SERVED),
        ((*LOCAL, *CLOSED, "--set", "attempts=3"), "--set attempts", NOTHING_SERVED),
        ((*LOCAL, *CLOSED, "--api", "chat"), "--api", NO_MODEL),
        ((*LOCAL, *CLOSED, "--concurrency", "4"), "--concurrency", NO_MODEL),
        ((*LOCAL, *EMBEDDED, "--concurrency", "4"), "--concurrency", NO_MODEL),
        ((*LOCAL, *EMBEDDED, "--api", "completions"), "--api", NO_MODEL),
        ((*SERVED, *CLOSED, "--set", "embedder-base-url=http://x/v1"), "--set embedder-base-url", NO_EMBEDDER),
        ((*SERVED, *CLOSED, "--set", "embedder-key-variable=E"), "--set embedder-key-variable", NO_EMBEDDER),
        # A served embedder that no system asks is none.
        ((*LOCAL, *CLOSED, "--embedder", "openai:e", "--base-url", "http://x/v1"), "--base-url", NOTHING_SERVED),
        ((*SERVED, *CLOSED, "--batch", "4"), "--batch", NOT_HERE),
        ((*SERVED, *CLOSED, "--adapter", "reading"), "--adapter", NOT_HERE),
        ((*SERVED, *CLOSED, "--dtype", "bfloat16"), "--dtype", NOT_HERE),
        ((*SERVED, *CLOSED, "--device", "cpu"), "--device", "means nothing where servers compute all"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("--") else "",
)
def test_an_option_that_nothing_would_heed_is_refused_by_name(
    rmtbench: Command, tmp_path: Path, words: tuple[str, ...], option: str, what: str
) -> None:
    said = rmtbench("run", "--dataset", "handbook", *words, "--results", tmp_path / "r")
    assert said.code == 2
    assert said.err.splitlines()[-2] == f"error: {option}: {what}"
    assert said.err.splitlines()[-1].strip().startswith("leave it out, or ")
    assert not (tmp_path / "r").exists()


def opened(**given: object) -> None:
    open_session(make_request("mini", {"dataset": "handbook", "questions": 1, **given}), {"OPENAI_API_KEY": "sk-x"})


LIMITS = {"attempts": 3, "deadline": 60.0, "requests_per_minute": 60, "tokens_per_minute": 600, "key_variable": None}


@pytest.mark.parametrize(
    "given",
    [
        {"systems": ("closed-book",), "model": "openai:m", "concurrency": 4, "api": "chat", **LIMITS},
        {"systems": ("rag-dense",), "model": "openai:m", "device": "cpu"},
        {"systems": ("rag-dense",), "model": "mini", "embedder": "openai:e", "batch": 2, "dtype": "float32", **LIMITS},
        {"systems": ("rag-dense",), "model": "mini", "embedder": "openai:e", "embedder_base_url": "http://x/v1"},
    ],
)
def test_what_something_heeds_is_taken(given: dict[str, object]) -> None:
    opened(**given)


def test_a_sweep_is_told_the_same(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="means nothing where model and embedder are on this machine"):
        opened(systems=("closed-book",), model="mini", attempts=8)
