"""The command line as a user types it: in this process, through the very function that the console script calls."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import huggingface_hub.constants
import pytest
from cli_commands import Command, Said
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.cli.main import main
from rmtbench.models.load import load_tokenizer
from rmtbench.models.random_geometry import geometry


@pytest.fixture
def rmtbench(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Command]:
    """Give a command line; its caches, data and network are those of a fresh machine without any."""
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # it has read the variable long ago
    monkeypatch.delenv("RMTBENCH_DATA", raising=False)
    before = signal.getsignal(signal.SIGTERM)

    def command(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["rmtbench", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    yield command
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def sample_run(tmp_path: Path) -> tuple[str, ...]:
    """The words of a run that takes a second: two questions of the handbook, closed book, tiny random weights."""
    return ("run", "--system", "closed-book", "--dataset", "handbook", "--model", "random:tiny", "--questions", "2",
            "--max-answer-tokens", "4", "--results", str(tmp_path / "results"))  # fmt: skip


@pytest.fixture(scope="session")
def model_of_context(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Make a model folder whose context is so many tokens, its weights those of random:tiny."""

    @cache
    def make(tokens: int) -> Path:
        folder = tmp_path_factory.mktemp("models") / f"context-{tokens}"
        config = AutoConfig.for_model(**{**geometry("random:tiny"), "max_position_embeddings": tokens})
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        load_tokenizer("random:tiny").save_pretrained(folder)
        return folder

    return make
