"""JSON lines: what a kill, a full disk or a stranger's edit leaves behind."""

import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_runs import append

from rmtbench.errors import UserError
from rmtbench.files import temporary_of
from rmtbench.journal.checks import SCHEMA
from rmtbench.journal.lines import LineWriter, drop_torn_line, encode, read_numbered, write_whole

ROWS = [{"n": 1, "text": "ein Fluß"}, {"n": 2, "text": "line\nbreak"}]


def rows_of(path):
    return [row for _, row in read_numbered(path)]


def numbers(path):
    return [row["n"] for row in rows_of(path)]


def test_what_was_appended_is_read_back_with_the_schema_version(tmp_path):
    append(tmp_path / "a.jsonl", *ROWS)
    assert rows_of(tmp_path / "a.jsonl") == [{"schema": SCHEMA, **row} for row in ROWS]


def test_a_missing_file_has_no_rows(tmp_path):
    assert rows_of(tmp_path / "none.jsonl") == []


def test_a_row_is_on_disk_before_append_returns(tmp_path):
    with LineWriter(tmp_path / "a.jsonl") as writer:
        writer.append(ROWS[0])
        assert numbers(tmp_path / "a.jsonl") == [1]


def test_row_cut_at_any_byte_is_dropped(tmp_path):
    path = tmp_path / "a.jsonl"
    whole = encode(ROWS[0])
    last = encode(ROWS[1])
    for cut in range(len(last)):
        path.write_bytes(whole + last[:cut])
        assert numbers(path) == [1]
        append(path, {"n": 3})
        assert numbers(path) == [1, 3]
        assert path.read_bytes() == whole + encode({"n": 3})


def test_a_torn_line_longer_than_the_read_block_is_dropped_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode({"n": 1}) + b"x" * 200_000)
    drop_torn_line(path)
    assert path.read_bytes() == encode({"n": 1})


def test_a_file_that_is_one_torn_line_becomes_empty(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 200_000)
    drop_torn_line(path)
    assert path.read_bytes() == b""


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_fits_on_one_line_and_comes_back(text):
    line = encode({"text": text})
    assert line.count(b"\n") == 1
    assert json.loads(line)["text"] == text


def test_half_a_surrogate_pair_is_stored_as_a_question_mark():
    assert json.loads(encode({"text": "a\ud83d"}))["text"] == "a?"


def test_append_outside_the_with_block_is_a_defect_of_ours(tmp_path):
    with pytest.raises(RuntimeError, match="outside the with block"):
        LineWriter(tmp_path / "a.jsonl").append({})


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{broken\n", "damaged: not JSON"),
        (b"\xff\xfe{}\n", "damaged: not JSON"),
        (b"\n", "damaged: not JSON"),
        (b"[1, 2]\n", "damaged: not an object"),
    ],
)
def test_a_damaged_line_in_middle_is_an_error_with_file_and_line(tmp_path, line, what):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(encode({"n": 1}) + line + encode({"n": 3}))
    with pytest.raises(UserError) as caught:
        rows_of(path)
    assert caught.value.what.startswith(what)
    assert caught.value.where == f"{path}, line 2"
    assert "--fresh" in caught.value.remedy


UPGRADE = "upgrade rmtbench to read it, or choose another folder with --results"
ASIDE = "move the run aside, or choose another folder with --results"


@pytest.mark.parametrize(
    ("row", "found", "remedy"),
    [
        ({"schema": SCHEMA + 1}, str(SCHEMA + 1), UPGRADE),
        ({"schema": 0}, "0", ASIDE),
        ({"schema": "1.0"}, "'1.0'", ASIDE),
        ({"n": 1}, "None", ASIDE),
    ],
)
def test_another_schema_version_is_refused_first(tmp_path, row, found, remedy):
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError) as caught:
        rows_of(path)
    assert caught.value.what == f"written by another version of rmtbench (schema {found}, this version reads {SCHEMA})"
    assert (caught.value.where, caught.value.remedy) == (f"{path}, line 1", remedy)


def test_a_full_disk_refuses_the_row_and_says_that_rest_is_kept(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(UserError, match="the disk is full") as caught, LineWriter(path) as writer:
        writer.append({"n": 1})
    assert caught.value.where == str(path)
    assert "everything written so far is kept" in caught.value.remedy


def test_a_full_disk_leaves_old_file_when_whole_one_is_replaced(tmp_path):
    path = tmp_path / "summary.json"
    write_whole(path, b"old")
    # The name under which the new content is written first.
    temporary_of(path).symlink_to("/dev/full")
    with pytest.raises(UserError, match="the disk is full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_cannot_be_made_is_named_not_its_temporary(tmp_path):
    path = tmp_path / "nowhere" / "made.json"
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(path, b"{}")
    assert caught.value.filename == str(path)
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="cannot be written") as refused:
        write_whole(tmp_path / "taken", b"{}", option="--json")
    assert refused.value.where == str(tmp_path / "taken")
    assert refused.value.remedy == "choose another folder with --json"


def test_a_file_where_a_folder_should_be_is_an_error_of_the_user(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match=os.strerror(errno.ENOTDIR)) as caught:
        write_whole(tmp_path / "run" / "spec.json", b"{}")
    assert caught.value.remedy == "choose another folder with --results"
