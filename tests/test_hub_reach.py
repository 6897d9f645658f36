"""Without a hub, one line in seconds says what to do; nothing tries again and again."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmtbench import hub


@pytest.fixture(autouse=True)
def without_official_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real rows that the machine has would decide the model, and what is missing."""
    monkeypatch.delenv("RMTBENCH_DATA", raising=False)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of this machine where nothing listens, as the hub's."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{place.getsockname()[1]}"
    for name in ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", address)
    return address


@pytest.fixture
def listening(closed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


def test_a_hub_that_takes_connections_is_asked(listening: None) -> None:
    assert hub.look_for_hub()
    assert not hub.hub_is_off()


def test_without_a_hub_its_libraries_look_in_their_caches(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # so that what the call sets is taken back
    assert not hub.look_for_hub()
    assert hub.hub_is_off()
    assert huggingface_hub.constants.HF_HUB_OFFLINE


def test_a_proxy_is_trusted_to_know_the_hub(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")
    assert hub.look_for_hub()


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--model", "nobody/model"], "mini, smollm2 and --model openai:NAME need neither"),
        (["--dataset", "squad", "--profile", "paper", "--model", "mini"], "give official files with --data-dir"),
        (["--system", "rag-dense", "--embedder", "nobody/embedder", "--model", "mini"], "--embedder minilm"),
    ],
)
def test_a_run_without_a_hub_says_so_once(
    closed: str,
    tmp_path: Path,
    words: list[str],
    remedy: str,
) -> None:
    base = ["run", "--system", "closed-book", "--dataset", "handbook", "--size", "2k", "--results", str(tmp_path)]
    command = [sys.executable, "-m", "rmtbench", *base, *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert lines[-2].startswith("error: ")
    assert remedy in lines[-1]
    assert "Retrying" not in ended.stderr
