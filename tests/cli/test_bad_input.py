"""Bad input ends with exit 2, a line that says what is wrong and where, and a line that says what to do."""

import errno
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_commands import Command, Said, told

from rmtbench.cli.progress import resumable
from rmtbench.cli.running import run_request
from rmtbench.spec import make_request

SETTINGS = {"systems": ("closed-book",), "dataset": "handbook", "model": "random:tiny", "questions": 8,
            "max_answer_tokens": 64}  # fmt: skip
WORDS = ("run", "--system", "closed-book", "--dataset", "handbook", "--model", "random:tiny", "--questions", "8",
         "--results")  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one finished run; no test may change it."""
    results = tmp_path_factory.mktemp("finished") / "results"
    assert run_request(make_request("mini", SETTINGS), results, fresh=False) == 0
    return results


@pytest.fixture
def kept(finished: Path) -> Iterator[Path]:
    """The finished results, of which every byte must be there still when the test is over."""
    before = contents(finished)
    yield finished
    assert contents(finished).items() >= before.items()


@pytest.fixture
def half_done(finished: Path, tmp_path: Path) -> Path:
    """A results folder whose one run lacks its last five answers."""
    results = tmp_path / "half-done"
    shutil.copytree(finished, results)
    [journal] = results.glob("*/answers.jsonl")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:3]))
    return results


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(said: Said, place: str, remedy: str) -> None:
    """Exit 2 and two lines, below whatever was told before the mistake was met."""
    *before, what, do = said.err.splitlines()
    assert said.code == 2
    assert what.startswith("error: ")
    assert place in what
    assert do.startswith("  ")
    assert remedy in do
    assert not any(line.startswith(("error", " ", "Traceback", "Usage")) for line in before)


OPTIONS = [
    ("--dataset hotpot", "--dataset: no data set 'hotpot'", "did you mean 'hotpotqa'?"),
    ("--dataset ./nowhere", "--dataset ./nowhere: no such folder", "holds documents/"),
    ("--dataset ~nobody-here/x", "--dataset ~nobody-here/x: no such user's home folder", "in full"),
    ("--model ~nobody-here/x", "--model ~nobody-here/x: no such user's home folder", "in full"),
    ("--size smal", "--size: no size 'smal'", "did you mean 'small'?"),
    ("--size 8K", "--size: no size '8K'", "or tokens such as 8k"),
    ("--size 0k", "--size: no size '0k'", "or tokens such as 8k"),
    ("--size 9999k", "size '9999k' needs 9,999,000 tokens; there are", "--size all or smoke"),
    ("--size large", "size 'large' needs 85,000 tokens; there are", "--size all or smoke"),
    ("--system rag-spars", "--system: no system 'rag-spars'", "did you mean 'rag-sparse'?"),
    ("--system cag,orcale", "--system: no system 'orcale'", "did you mean 'oracle'?"),
    ("--system ,", "--system: names nothing", "--system"),
    ("--top-k 0", "--top-k: must be at least 1 (given: '0')", "--top-k"),
    ("--top-k 1,x", "--top-k: must be a whole number (given: 'x')", "--top-k"),
    ("--questions 0", "--questions: must be at least 1 (given: 0)", "--questions"),
    ("--questions few", "'--questions'", "rmtbench run --help"),
    ("--draws 0", "--draws: must be at least 1", "--draws"),
    ("--batch 0", "--batch: must be at least 1", "--batch"),
    ("--seed -1", "--seed: must be at least 0", "--seed"),
    ("--seed 1000000000000000001", "--seed: must be less than or equal to 1000000000000000000", "--seed"),
    ("--max-answer-tokens 0", "--max-answer-tokens: must be at least 1", "--max-answer-tokens"),
    ("--chunk-tokens 0", "--chunk-tokens: must be at least 1", "--chunk-tokens"),
    ("--answer-style long", "--answer-style: must be 'direct' or 'bridge' (given: 'long')", "--answer-style"),
    ("--dtype int3", "--dtype: no dtype 'int3'", "float32, bfloat16, float16"),
    ("--device tpu", "--device: no device 'tpu' here", "cpu"),
    ("--kv-cache on --cache-limit much", "--cache-limit: 'much' is no size", "give such as 20GB"),
    ("--chunk-cache --set chunk-cache-limit=much", "--set chunk-cache-limit: 'much' is no size", "give such as 20GB"),
    ("--profile mimi", "--profile: no profile 'mimi'", "did you mean 'mini'?"),
    ("--model random:tinny", "--model: no geometry 'tinny'", "did you mean 'tiny'?"),
    ("--model ./nowhere", "--model ./nowhere: no such folder", "the folder that holds config.json"),
    ("--model nobody/nothing", "--model: model 'nobody/nothing' cannot be loaded", "a hub id needs the network"),
    ("--tokenizer nobody/nothing", "--tokenizer: tokenizer 'nobody/nothing' cannot be loaded", "tokenizer"),
    ("--system rag-dense --embedder nobody/nothing", "no embedder 'nobody/nothing'", "--embedder minilm"),
    ("--profile paper --dataset squad", "the hub cannot be reached for 'squad'", "--data-dir"),
    ("--dataset squad --data-dir ./nowhere", "nowhere: no such file or folder", "check --data-dir"),
    ("--datset handbook", "No such option: --datset (Possible options: --adapter, --dataset", "rmtbench run --help"),
]


@pytest.mark.parametrize(("words", "place", "remedy"), OPTIONS, ids=[words for words, _, _ in OPTIONS])
def test_an_option_that_cannot_be_served_is_named(
    rmtbench: Command, kept: Path, words: str, place: str, remedy: str
) -> None:
    given = words.split()
    said = rmtbench(*(("run", *WORDS[3:]) if "--system" in given else WORDS), kept, *given)
    check(said, place, remedy)
    # A machine that takes seconds to look for a file says what it loads.
    told = [line for line in said.err.splitlines() if not line.startswith("loading ")]
    assert len(told) == 2, "found before anything is loaded or told"


COMMANDS = [
    ("runn", "No such command 'runn'. Did you mean 'run'?", "rmtbench --help"),
    ("score RESULTS --metrics em,f2", "--metrics: no metric 'f2'", "did you mean 'f1'?"),
    ("score RESULTS --scorer nobody/nothing", "--scorer: scorer model 'nobody/nothing'", "use minilm"),
    ("score nowhere", "nowhere: no such folder", "rmtbench run --help"),
    ("report nowhere", "nowhere: no such folder", "rmtbench run --help"),
    ("data check hotpot", "NAME: no data set 'hotpot'", "did you mean 'hotpotqa'?"),
    ("data export --dataset handbook", "Missing option '--out'", "rmtbench data export --help"),
    ("bench retrieval --chunks 1", "--chunks: must be at least 10 (given: 1)", "Invented chunks"),
    ("bench retrieval --draws 2", "--draws: means nothing without --dataset", "give --dataset, or leave it out"),
    ("bench retrieval --folder kept", "--folder: means nothing without --on-disk", "give --on-disk, or leave it out"),
    ("bench retrieval --dataset handbook --chunks 50k", "--chunks: means nothing with --dataset", "leave one of both"),
    ("bench rmt --base-samples 3", "--base-samples: means nothing without --base-too", "give --base-too, or leave"),
    (
        "bench rmt --task babilong:qa1/4k.json --names seen",
        "--names: means nothing for an official file",
        "leave it out",
    ),
    ("bench kv --batches 1,0", "--batches: must be at least 1 (given: 1,0)", "Questions at once"),
    (f"cache gc --cache-limit {'9' * 400}GB", "is no size", "give such as 20GB"),
    ("sweep nowhere --shard 9/8", "error: --shard: must be N/M with N from 1 to M", "give such as 2/8"),
    ("bench rmt --memory nowhere", "nowhere: no trained memory here", "rmtbench train rmt"),
    ("bench rmt --memory nowhere --lengths 4x", "--lengths: '4x' is no number above 0", "4k"),
    ("bench rmt --task detekt", "--task: no task 'detekt'", "did you mean 'detect'?"),
    ("bench overhead --questions 4", "rmtbench bench overhead: this bench", "python -m experiments.benches overhead"),
    ("train lm --out DIR", "rmtbench train lm: the mini model", "python -m experiments.training"),
]


@pytest.mark.parametrize(("words", "place", "remedy"), COMMANDS, ids=[words for words, _, _ in COMMANDS])
def test_every_other_command_says_it_the_same_way(
    rmtbench: Command, kept: Path, words: str, place: str, remedy: str
) -> None:
    check(rmtbench(*(kept if word == "RESULTS" else word for word in words.split())), place, remedy)


@pytest.mark.parametrize("name", ["RMTBENCH_DATA", "RMTBENCH_CACHE"])
def test_a_variable_with_the_home_of_nobody_is_named(
    rmtbench: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "~nobody-of-this-name/x")
    check(rmtbench("cache", "list"), f"{name} ~nobody-of-this-name/x: no such user's home", "the path in full")


def test_a_home_folder_that_the_shell_left_is_found(
    rmtbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    said = rmtbench(*WORDS[:-1], "--results=~/made", "--dry-run")
    assert said.code == 0, said.err
    assert f"from this machine in {tmp_path / 'made'}" in said.err


PARAGRAPH = {"context": "Founded in 1642.", "qas": [{"id": "s1", "question": "When?", "answers": []}]}
FILES = [
    ("squad", "{", "line 1, column 2: not JSON", "mend the file"),
    ("squad", "", "data.json: the file is empty", "download it again"),
    ("squad", '{"data": [{"title": "T"}]}', "'paragraphs' is missing", "docs/reference/data.md"),
    ("squad", json.dumps({"data": [{"title": "T", "paragraphs": [PARAGRAPH]}]}), "s1", "remove the question"),
    ("hotpotqa", '[{"_id": "h1", "question": "Who?"}]', "is missing", "docs/reference/data.md"),
    ("hotpotqa", "{}", "data.json", ""),
    ("triviaqa", "{}", "data.json: no evidence folder beside it", "unpack evidence/"),
]


@pytest.mark.parametrize(("dataset", "text", "place", "remedy"), FILES)
def test_official_file_that_is_not_in_format_is_named_with_row(
    rmtbench: Command, kept: Path, tmp_path: Path, dataset: str, text: str, place: str, remedy: str
) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    said = rmtbench(*WORDS, kept, "--dataset", dataset, "--size", "smoke", "--data-dir", path)
    check(said, place, remedy)
    assert said.err.startswith(f"error: {path}")


GOOD = '{"question": "When was it founded?", "answers": "1642"}\n'
ROWS = [
    ("", "questions.jsonl: no questions", "one JSON object a line"),
    (GOOD + '{"question": "Who?"', "questions.jsonl, line 2", "mend the file"),
    (GOOD + '["Who?"]', "questions.jsonl, line 2: not an object", "docs/reference/data.md"),
    (GOOD + '{"question": "Who?"}', "questions.jsonl, line 2: field 'answers'", "docs/reference/data.md"),
    (GOOD + '{"question": "Who?", "answers": [" "]}', "line 2: question without a reference", "fill in 'answers'"),
    (GOOD + '{"question": " ", "answers": "x"}', "line 2: field 'question' is blank", "fill it in"),
    (
        GOOD + '{"question": 7, "answers": "x"}',
        "line 2: field 'question' must be a text, not a whole number",
        "docs/reference/data.md",
    ),
    (GOOD + '{"question": "Who?", "answers": "x", "evidence": ["b.md"]}', "line 2, evidence 0", "documents/"),
]


@pytest.mark.parametrize(("text", "place", "remedy"), ROWS)
def test_defect_in_an_own_folder_is_named_by_file_line_and_field(
    rmtbench: Command, kept: Path, tmp_path: Path, text: str, place: str, remedy: str
) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.md").write_text("# Port Amaret\nFounded in 1642.\n")
    (tmp_path / "questions.jsonl").write_text(text)
    check(rmtbench(*WORDS, kept, "--dataset", tmp_path), place, remedy)


def test_folder_without_documents_or_questions_names_them(rmtbench: Command, kept: Path, tmp_path: Path) -> None:
    check(rmtbench(*WORDS, kept, "--dataset", tmp_path), "documents: no document", "put the documents there")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.md").write_text(" \n")
    check(rmtbench(*WORDS, kept, "--dataset", tmp_path), "a.md: the document is empty", "fill it in or remove it")
    (tmp_path / "documents" / "a.md").write_text("# Port Amaret\nFounded in 1642.\n")
    check(rmtbench(*WORDS, kept, "--dataset", tmp_path), "questions.jsonl: missing", "one JSON object a line")


def test_corpus_longer_than_context_names_tokens_and_sizes(
    rmtbench: Command, kept: Path, model_of_context: Callable[[int], Path]
) -> None:
    words = ("run", "--system", "cag,full-context", *WORDS[3:], kept, "--max-answer-tokens", "8", "--model")
    said = rmtbench(*words, model_of_context(2000))
    check(said, "(cag, full-context): the context is 4,0", "--size smoke fits; else leave these systems out")
    assert "takes 2,000" in said.err
    check(rmtbench(*words, model_of_context(200)), "takes 200", "no size fits: leave these systems out")
    assert len(told(kept)) == 1


def test_systems_that_fit_are_run_and_one_line_names_the_others(
    rmtbench: Command, tmp_path: Path, model_of_context: Callable[[int], Path]
) -> None:
    words = (*WORDS, tmp_path, "--max-answer-tokens", "8", "--model", model_of_context(2000), "--system")
    said = rmtbench(*words, "closed-book,cag,full-context")
    assert said.code == 2, "systems that were asked for by name were not run"
    (line,) = [line for line in said.err.splitlines() if "skipped" in line]
    assert line.startswith("cag, full-context skipped: the context is 4,0")
    assert [path.parent.name.partition("-handbook")[0] for path in tmp_path.glob("*/summary.json")] == ["closed-book"]


def test_results_of_another_version_are_left_alone(rmtbench: Command, half_done: Path) -> None:
    [spec] = half_done.glob("*/spec.json")
    spec.write_text(spec.read_text().replace('"schema": 1', '"schema": 99'))
    before = contents(half_done)
    place = "spec.json: written by another version of rmtbench (schema 99, this version reads 1)"
    check(rmtbench(*WORDS, half_done), place, "upgrade rmtbench")
    check(rmtbench("score", half_done), place, "upgrade rmtbench")
    check(rmtbench("report", half_done), place, "upgrade rmtbench")
    assert contents(half_done) == before


def test_damaged_journal_is_named_by_its_line_and_not_written_to(rmtbench: Command, half_done: Path) -> None:
    [journal] = half_done.glob("*/answers.jsonl")
    journal.write_text(journal.read_text().replace("{", "", 1))
    before = contents(half_done)
    check(rmtbench(*WORDS, half_done), "answers.jsonl, line 1: damaged: not JSON", "--fresh")
    assert contents(half_done) == before


def test_a_run_that_another_process_writes_is_left_to_it(rmtbench: Command, half_done: Path) -> None:
    [journal] = half_done.glob("*/answers.jsonl")
    script = "import fcntl, os, sys\nstream = open(sys.argv[1], 'w')\nfcntl.flock(stream, fcntl.LOCK_EX)\n"
    script += "print(os.getpid(), file=stream, flush=True)\nprint(flush=True)\nsys.stdin.read()\n"
    command = [sys.executable, "-c", script, str(journal.with_name(".lock"))]
    before = journal.read_bytes()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        said = rmtbench(*WORDS, half_done)
        other.stdin.close()
    check(said, f"{journal.parent}: another process (pid {other.pid}) is writing this run", "wait for it to end")
    assert journal.read_bytes() == before
    assert rmtbench(*WORDS, half_done).code == 0


def test_a_results_folder_that_cannot_be_written_is_named(
    rmtbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        check(rmtbench(*WORDS, tmp_path / name), "cannot be written (Not a directory)", "choose another folder")
    make = os.mkdir

    def forbidden(path: str | Path, *rest: object, **options: object) -> None:
        if Path(path).is_relative_to(tmp_path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        make(path, *rest, **options)

    monkeypatch.setattr(os, "mkdir", forbidden)
    check(rmtbench(*WORDS, tmp_path / "new"), "cannot be written (Permission denied)", "choose another folder")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc, where no folder can be made")
def test_what_else_operating_system_refuses_is_told_in_two_lines(rmtbench: Command) -> None:
    check(rmtbench(*WORDS, "/proc/results"), "/proc/results: No such file or directory", "choose another one")


class FullDisk(io.FileIO):
    """A file on a disk with little room: takes some bytes, the last of them in the midst of a row, then none."""

    room = 1500

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = super().write(memoryview(data)[: self.room])
        self.room -= taken
        return taken


def test_full_disk_keeps_whole_answers_and_resumes(
    rmtbench: Command, finished: Path, half_done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [journal] = half_done.glob("*/answers.jsonl")
    before = journal.read_bytes()
    really_open = io.open

    def with_little_room(file: str | Path, mode: str = "r", *rest: object, **options: object) -> object:
        if str(file) == str(journal) and mode == "ab":
            return io.BufferedWriter(FullDisk(file, mode))
        return really_open(file, mode, *rest, **options)

    with monkeypatch.context() as disk:
        disk.setattr(io, "open", with_little_room)
        check(rmtbench(*WORDS, half_done), f"{journal}: the disk is full", "everything written so far is kept")
    after = journal.read_bytes()
    assert len(after) == len(before) + FullDisk.room
    assert after.startswith(before)
    assert not after.endswith(b"\n"), "the last row is torn"
    assert rmtbench(*WORDS, half_done).code == 0
    assert told(half_done) == told(finished)


def test_a_limit_on_the_size_of_files_is_met_like_a_full_disk(
    rmtbench: Command, finished: Path, half_done: Path
) -> None:
    [journal] = half_done.glob("*/answers.jsonl")
    before = journal.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 1500, hard))
    try:
        said = rmtbench(*WORDS, half_done)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check(said, "File too large", "everything written so far is kept")
    assert journal.read_bytes().startswith(before)
    assert rmtbench(*WORDS, half_done).code == 0
    assert told(half_done) == told(finished)


@pytest.mark.parametrize("words", ["--size smal", "--datset handbook", "--results /proc/results"])
def test_debug_adds_the_traceback_wherever_it_stands(rmtbench: Command, words: str, tmp_path: Path) -> None:
    plain = rmtbench(*WORDS, tmp_path, *words.split())
    assert "Traceback" not in plain.err
    for command in (["--debug", *WORDS, tmp_path, *words.split()], [*WORDS, tmp_path, *words.split(), "--debug"]):
        said = rmtbench(*command)
        assert said.code == 2
        assert "Traceback (most recent call last)" in said.err
        assert said.err.endswith(plain.err[plain.err.index("error: ") :])


def test_what_is_said_of_the_same_command_leaves_fresh_out() -> None:
    said = "every answer so far is kept; the same command resumes"
    assert resumable(said, ["run", "--fresh"]).endswith("the same command without --fresh resumes")
    assert resumable(said, ["run"]) == said
