"""The page's list of files is what the modules say of themselves."""

from __future__ import annotations

from pathlib import Path

from experiments.architecture import BEGIN, END, PAGE, listed, with_list


def test_the_list_of_files_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_list(page, listed()), "run `make docs` and commit the page"


def test_a_new_file_is_listed_with_its_first_line(tmp_path: Path) -> None:
    room = tmp_path / "pack" / "room"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text('"""A room."""\n')
    (room / "thing.py").write_text('"""What it does.\n\nAnd why.\n"""\n')
    assert listed(tmp_path / "pack") == "### `pack/room/`\n\nA room.\n\n- `thing.py`: What it does.\n\n"


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    assert with_list(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}\nnew\n\n{END}b\n"
