"""`rmtbench cache` and `rmtbench run --kv-cache`: caches are kept where asked for, told of, checked and removed."""

import json
from pathlib import Path

import pytest
from cli_commands import Command, journals, of_systems, rows, told


@pytest.fixture
def cached_run(sample_run: tuple[str, ...], tmp_path: Path) -> tuple[str | Path, ...]:
    """A run of `cag` that keeps its cache."""
    return (*of_systems(sample_run, "cag"), "--kv-cache", tmp_path / "kv")


def caches(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "kv").iterdir() if not path.name.startswith("."))


def prepared(results: Path) -> list[dict]:
    return [row for path in sorted(results.glob("*/prepared.jsonl")) for row in rows(path)]


def test_second_run_loads_what_first_has_kept_and_answers_alike(
    rmtbench: Command, cached_run: tuple, sample_run: tuple, tmp_path: Path
) -> None:
    made = rmtbench(*cached_run)
    assert made.code == 0
    [first] = prepared(tmp_path / "results")
    answers = told(tmp_path / "results")
    assert list(first["seconds"]) == ["tokenize", "load", "save", "prefill"]
    assert (first["counts"]["reused_tokens"], first["counts"]["read_tokens"]) == (0, first["tokens"])
    again = rmtbench(*cached_run, "--fresh")
    [second] = prepared(tmp_path / "results")
    assert list(second["seconds"]) == ["tokenize", "load"]
    assert second["counts"] == {"reused_tokens": first["tokens"], "read_tokens": 0}
    assert f"{first['tokens']:,} tokens loaded, not computed" in again.err
    assert told(tmp_path / "results") == answers
    assert rmtbench(*of_systems(sample_run, "cag")).code == 0
    plain = [row for run, row in told(tmp_path / "results").items() if run not in answers]
    assert plain == list(answers.values()), "and a run that keeps nothing is another run with the same answers"


def test_without_the_option_nothing_is_kept_or_looked_for(
    rmtbench: Command, sample_run: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "own"))
    assert rmtbench(*of_systems(sample_run, "cag")).code == 0
    assert not (tmp_path / "own" / "kv").exists()
    [row] = prepared(tmp_path / "results")
    assert (list(row["seconds"]), row["counts"]) == (["tokenize", "prefill"], {})
    assert rmtbench(*of_systems(sample_run, "cag"), "--kv-cache", "on").code == 0
    assert (
        len(list((tmp_path / "own" / "kv").glob("tiny-*"))) + len(list((tmp_path / "own" / "kv").glob("random*"))) == 1
    )


def test_report_marks_what_was_loaded_and_keeps_it_in_row_of_own(
    rmtbench: Command, cached_run: tuple, sample_run: tuple, tmp_path: Path
) -> None:
    assert rmtbench(*cached_run).code == 0
    assert rmtbench(*of_systems(sample_run, "cag")).code == 0
    assert "§" not in rmtbench("report", tmp_path / "results").out
    assert rmtbench(*cached_run, "--fresh").code == 0
    rmtbench("report", tmp_path / "results")
    text = (tmp_path / "results" / "report" / "report.md").read_text()
    marked = [line for line in text.splitlines() if "§" in line]
    assert any("kv_cache=on" in line for line in marked)
    assert any("loaded from kept caches and not computed" in line for line in marked)
    assert not any("| cag " in line and "kv_cache" not in line for line in marked)


def test_list_tells_model_tokens_size_and_last_use(rmtbench: Command, cached_run: tuple, tmp_path: Path) -> None:
    assert rmtbench("cache", "list", "--kv-cache", tmp_path / "kv").err.startswith("0 caches, 0 B")
    assert rmtbench(*cached_run).code == 0
    said = rmtbench("cache", "list", "--kv-cache", tmp_path / "kv")
    [folder] = caches(tmp_path)
    [row] = json.loads(rmtbench("cache", "list", "--json", "--kv-cache", tmp_path / "kv").out)
    assert said.out.startswith(folder.name)
    assert f"random:tiny, {row['tokens']:,} tokens, made " in said.out
    assert row["name"] == folder.name
    assert row["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert set(row) >= {"model", "dtype", "last_used", "created", "seconds", "reused_tokens"}


def test_verify_names_every_damaged_file_and_exits_with_1(rmtbench: Command, cached_run: tuple, tmp_path: Path) -> None:
    assert rmtbench(*cached_run).code == 0
    [folder] = caches(tmp_path)
    words = ("cache", "verify", "--kv-cache", tmp_path / "kv")
    good = rmtbench(*words)
    assert (good.code, good.out) == (0, f"{folder.name}: sound\n")
    (folder / "layer-000.safetensors").write_bytes(b"short")
    (folder / "token-ids.u32").unlink()
    bad = rmtbench(*words)
    assert bad.code == 1
    assert [line.partition(": ")[2].partition(":")[0] for line in bad.out.splitlines()] == [
        "layer-000.safetensors", "token-ids.u32",
    ]  # fmt: skip
    [row] = json.loads(rmtbench(*words, "--json").out)
    assert len(row["damage"]) == 2


def test_damaged_cache_is_reported_and_answers_nothing(rmtbench: Command, cached_run: tuple, tmp_path: Path) -> None:
    assert rmtbench(*cached_run).code == 0
    answers = told(tmp_path / "results")
    file = caches(tmp_path)[0] / "layer-001.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 64
    file.write_bytes(data)
    said = rmtbench(*cached_run, "--fresh")
    assert "is not used, and made anew: layer-001.safetensors: its bytes have changed" in said.err
    assert told(tmp_path / "results") == answers
    assert rmtbench("cache", "verify", "--kv-cache", tmp_path / "kv").code == 0


def test_caches_are_removed_by_name_and_down_to_limit(rmtbench: Command, cached_run: tuple, tmp_path: Path) -> None:
    assert rmtbench(*cached_run).code == 0
    [folder] = caches(tmp_path)
    place = ("--kv-cache", tmp_path / "kv")
    assert rmtbench("cache", "remove", "nothing", *place).code == 2
    assert rmtbench("cache", "remove", folder.name[:-4], *place).out.startswith(f"removed {folder.name}")
    assert caches(tmp_path) == []
    assert rmtbench(*cached_run, "--fresh").code == 0
    assert rmtbench("cache", "gc", *place).code == 0
    assert caches(tmp_path) == [folder]
    assert "least recently used" in rmtbench("cache", "gc", "--cache-limit", "1kB", *place).out
    assert caches(tmp_path) == []


def test_a_limit_that_is_no_size_or_too_small_is_an_error(rmtbench: Command, cached_run: tuple, tmp_path: Path) -> None:
    for limit, what in (("much", "is no size"), ("1kB", "the store may have 1 kB")):
        said = rmtbench(*cached_run, "--cache-limit", limit)
        assert (said.code, what in said.err) == (2, True), said.err
    assert journals(tmp_path / "results") == {} or not any(journals(tmp_path / "results").values())


def test_the_plain_prefix_uses_the_same_cache(rmtbench: Command, cached_run: tuple, tmp_path: Path) -> None:
    assert rmtbench(*cached_run).code == 0
    assert "loaded, not computed" in rmtbench(*cached_run, "--cache-layout", "plain").err
    one, other = told(tmp_path / "results").values()
    assert one == other


def test_keeping_a_cache_without_system_that_has_one_is_refused(rmtbench: Command, sample_run: tuple) -> None:
    said = rmtbench(*sample_run, "--kv-cache", "on")
    assert said.code == 2
    assert "no system here has a cache to keep" in said.err
    assert rmtbench(*sample_run, "--kv-cache", "off").code == 0
