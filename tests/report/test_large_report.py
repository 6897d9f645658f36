"""Reports of many answers: columns kept beside the runs change no byte, and the page's answers are files beside it."""

import base64
import gzip
import json
import os
import re
from pathlib import Path

import pytest
from page_cases import answers_of, data_of, show
from report_runs import EMBEDDER, add_run, spec_of

from rmtbench.analysis import read
from rmtbench.analysis.read import read_figures
from rmtbench.journal.column_cache import FOLDER
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.packed import pack
from rmtbench.report.write import write_report


def make_runs(results: Path) -> list[RunFolder]:
    """Four runs: complete, packed, with failures and without scores, and one that is still going on."""
    first = add_run(results, spec_of(draws=8), score=0.8)
    packed = add_run(results, spec_of("rag-sparse", top_k=2, draws=8), score=0.4, failed=3)
    dense = spec_of("rag-dense", top_k=3, embedder="minilm", draws=8)
    begun = add_run(results, dense, answered=9, scored=5, provenance=EMBEDDER)
    add_run(results, spec_of("closed-book", draws=8), score=None)
    pack(packed.path)
    return [first, packed, begun]


def bytes_of(results: Path) -> dict[str, bytes]:
    """Every file of a report that was made just now."""
    folder = write_report(results).folder
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def kept(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (results / FOLDER).iterdir()}


@pytest.fixture
def large(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "LARGE_BYTES", 0)
    return tmp_path


def test_tables_of_a_large_report_are_those_of_a_small_one(tmp_path, monkeypatch):
    make_runs(tmp_path)
    small = bytes_of(tmp_path)
    assert not (tmp_path / FOLDER).exists()
    monkeypatch.setattr(read, "LARGE_BYTES", 0)
    whole = bytes_of(tmp_path)
    assert len(kept(tmp_path)) == 4
    page = {name for name in whole if name.startswith("answers/")} | {"index.html"}
    assert {name: data for name, data in whole.items() if name not in page} == {
        name: data for name, data in small.items() if name != "index.html"
    }


def test_kept_columns_and_answers_change_no_byte(large):
    make_runs(large)
    first = bytes_of(large)
    stamps = {path: path.stat().st_mtime_ns for path in (large / "report" / "answers").iterdir()}
    assert bytes_of(large) == first
    assert {path: path.stat().st_mtime_ns for path in (large / "report" / "answers").iterdir()} == stamps


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
        lambda data: b"not columns at all",
    ],
    ids=["empty", "torn", "a flipped bit", "something else"],
)
@pytest.mark.parametrize("of", [FOLDER, "report/answers"])
def test_a_damaged_file_is_made_again(large, spoil, of):
    make_runs(large)
    first = bytes_of(large)
    for path in (large / of).iterdir():
        path.write_bytes(spoil(path.read_bytes()))
    assert bytes_of(large) == first


def test_columns_of_another_run_are_not_believed(large):
    make_runs(large)
    first = bytes_of(large)
    one, *others = sorted((large / FOLDER).iterdir())
    for other in others:
        other.write_bytes(one.read_bytes())
    assert bytes_of(large) == first


@pytest.mark.parametrize("name", ["scores.jsonl", "answers.jsonl"])
def test_a_changed_journal_has_new_columns_of_the_same_size(large, name):
    first, *_ = make_runs(large)
    before = read_figures(large)
    columns = kept(large)
    path = first.path / name
    stamp = path.stat()
    changed = path.read_bytes().replace(b'"em":0.8,', b'"em":0.2,').replace(b'"total":1.0', b'"total":2.0')
    path.write_bytes(changed)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # neither size nor time tells
    assert path.stat().st_size == stamp.st_size
    after = read_figures(large)
    assert [one.run_id for one, other in zip(before, after, strict=True) if one.summary != other.summary] == [
        json.loads(first.spec.read_bytes())["run_id"]
    ]
    assert len({*columns.items()} - {*kept(large).items()}) == 1


def test_a_folder_that_cannot_be_written_is_read_all_the_same(large):
    make_runs(large)
    (large / FOLDER).write_text("a file where the folder should be")
    assert [run.summary for run in read_figures(large)] == [run.summary for run in read_figures(large)]
    (large / FOLDER).unlink()
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    large.chmod(0o555)
    try:
        assert len(read_figures(large)) == 4
        assert not (large / FOLDER).exists()
    finally:
        large.chmod(0o755)


def test_nothing_is_written_through_a_link(large):
    make_runs(large)
    elsewhere = large / "elsewhere"
    elsewhere.mkdir()
    (large / FOLDER).symlink_to(elsewhere)
    read_figures(large)
    assert list(elsewhere.iterdir()) == []


def test_files_of_runs_that_are_gone_are_removed(large):
    first, *_ = make_runs(large)
    bytes_of(large)
    for path in first.path.iterdir():
        path.unlink()
    first.path.rmdir()
    files = bytes_of(large)
    assert len(kept(large)) == 3
    assert len([name for name in files if name.startswith("answers/run-")]) == 3


def test_a_run_that_is_reported_by_several_processes_is_the_same(large):
    make_runs(large)
    assert read_figures(large, processes=2) == read_figures(large)


def blocks_of(path: Path) -> list:
    """What the script beside a page hands over."""
    comment, call, end = path.read_text(encoding="ascii").split("\n")
    assert comment.startswith("// ")
    assert end == ""
    name, blocks = json.loads(f"[{re.fullmatch(r'Stored[.]take[(](.*)[)];', call)[1]}]")
    assert name == path.name
    return [json.loads(gzip.decompress(base64.b64decode(block))) for block in blocks]


def test_files_beside_the_page_hold_what_a_small_page_does(tmp_path, monkeypatch):
    make_runs(tmp_path)
    folder = write_report(tmp_path).folder
    small = (folder / "index.html").read_text()
    monkeypatch.setattr(read, "LARGE_BYTES", 0)
    write_report(tmp_path)
    page = (folder / "index.html").read_text()
    before = {run["id"]: run for run in data_of(small)["runs"]}
    for run in data_of(page)["runs"]:
        old = before[run["id"]]
        name, number = run["questions"].split("#")
        assert blocks_of(folder / "answers" / name)[int(number)] == data_of(small, f"block-{old['questions']}")
        (file,) = {place.split("#")[0] for place in run["answers"]}
        rows = [row for block in blocks_of(folder / "answers" / file) for row in block["rows"]]
        assert rows == answers_of(small, old)
        assert data_of(page, f"block-{run['outcomes']}") == data_of(small, f"block-{old['outcomes']}")
    assert "script-src" in page
    assert "'self' file:" in page
    assert "'self' file:" not in small


@pytest.mark.parametrize("name", ["../../above", "a/b", "con", "x" * 10_000, "\u202e</script>", ".hidden", ""])
def test_a_file_is_named_safely_whatever_a_run_is_called(large, name):
    first, *_ = make_runs(large)
    head = json.loads(first.spec.read_bytes())
    first.spec.write_text(json.dumps(head | {"run_id": name}))
    beside, within = ({path.name for path in folder.iterdir()} for folder in (large.parent, large))
    folder = write_report(large).folder
    files = [path.name for path in (folder / "answers").iterdir()]
    assert len([file for file in files if file.startswith("run-")]) == 4
    assert all(re.fullmatch(r"(run|questions)-[A-Za-z0-9_-]{1,120}\.js", file) for file in files)
    assert {path.name for path in large.parent.iterdir()} == beside
    assert {path.name for path in large.iterdir()} == within | {FOLDER, "report"}


@pytest.mark.browser
def test_the_page_loads_the_answers_that_are_looked_at(look, large):
    make_runs(large)
    page = look(write_report(large).folder / "index.html")
    loaded = []
    page.on("request", lambda request: loaded.append(request.url))
    show(page, "Answers")
    page.locator(".answer").first.wait_for()
    page.get_by_label("Search in").fill("blue")
    page.wait_for_function("document.querySelectorAll('.list .row').length > 0")
    assert {re.search(r"/answers/(run|questions)-", url)[1] for url in loaded} == {"run", "questions"}
    assert page.locator("script[src]").count() == 0


@pytest.mark.browser
def test_a_page_without_its_files_says_so(chromium, large):
    make_runs(large)
    folder = write_report(large).folder
    alone = large / "alone.html"
    alone.write_bytes((folder / "index.html").read_bytes())
    context = chromium.new_context()
    page = context.new_page()
    page.goto(alone.as_uri())
    page.get_by_role("tab", name="Answers").click()
    page.get_by_role("alert").wait_for()
    assert "is missing. It belongs beside this page." in page.get_by_role("alert").inner_text()
    context.close()
