"""`docs/reference/files.md` describes every field that is written."""

from pathlib import Path

import pytest

from rmtbench.core import Answer, Corpus, Gold, Prepared, Question, RunSpec, Source, SystemTraits
from rmtbench.journal import rows
from rmtbench.journal.layout import RunFolder

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "files.md"

WRITTEN = {
    "answers": rows.answer_to_row(Answer("q", "a", "eos"), 0, 0),
    "gold": rows.gold_to_row(Gold("q", ("a",)), Question("q", "Why?"), 0),
    "corpora": rows.corpus_to_row(Corpus("c", "squad", "small", 0, (), (), Source("own", "folder", "ab")), 7),
    "prepared": rows.prepared_to_row(Prepared(), 0, 0),
    "system": rows.system_to_row(SystemTraits("cag")),
    "spec": rows.spec_to_row(RunSpec("cag", "squad", "small", "mini", "own:x")),
}


def names(row):
    """Field names of a row and of the objects in it."""
    for name, value in row.items():
        yield name
        if isinstance(value, dict) and name != "seconds":
            yield from names(value)


@pytest.mark.parametrize("file", WRITTEN)
def test_every_field_is_described(file):
    text = DOCUMENT.read_text()
    assert [name for name in names(WRITTEN[file]) if f"`{name}`" not in text] == []


def test_every_file_is_described():
    text = DOCUMENT.read_text()
    files = [
        getattr(RunFolder(Path("run")), name) for name in vars(RunFolder) if isinstance(vars(RunFolder)[name], property)
    ]
    assert len(files) >= 9
    assert [path.name for path in files if path.name not in text] == []
