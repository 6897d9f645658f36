"""Facts in the sentences of real documents: which sentences they are, and that nothing else of the text changes."""

import random
from pathlib import Path

import pytest
from task_contracts import contract_of, whole_text

from rmtbench.errors import UserError
from rmtbench.rmt.tasks.documents import document_noise, sentences
from rmtbench.rmt.tasks.registry import check_task, make_task


def test_sentences_are_those_of_running_text() -> None:
    text = [
        "# A heading. It ends.",
        "One sentence. Another",
        "over two lines, with **bold** words!",
        "",
        "- An item of a list.",
        "| a | table. |",
        "1. A numbered one.",
        "It has 2.5 of them. an end without a capital",
    ]
    assert sentences(text) == [
        "One sentence.",
        "Another over two lines, with bold words!",
        "It has 2.5 of them.",
    ]


def test_the_handbook_has_hundreds_of_them_each_once() -> None:
    found = document_noise("handbook")
    assert len(found) > 800
    assert len(set(found)) == len(found)
    assert not [sentence for sentence in found if sentence[-1] not in ".!?"]


def folder_of(path: Path, count: int) -> Path:
    path.mkdir()
    (path / "text.md").write_text(" ".join(f"This is line number {number}." for number in range(count)))
    return path


def test_a_text_is_one_fact_between_sentences_of_a_folder(tmp_path: Path) -> None:
    task = make_task(f"detect:{folder_of(tmp_path / 'mine', 80)}", contract_of(style="direct"), 120)
    sample = task.sample(3, random.Random(0))
    told = [part for part in whole_text(contract_of(), sample.segments).split(". ") if "line number" not in part]
    assert len([part for part in told if len(part.split()) > 2]) == 1


def test_the_name_holds_the_folder_without_its_path(tmp_path: Path) -> None:
    assert make_task(f"facts-2:{folder_of(tmp_path / 'mine', 80)}", contract_of(), 120).name == "facts-2:mine"


def test_too_few_sentences_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="3 sentences, and noise needs 50") as refused:
        document_noise(str(folder_of(tmp_path / "few", 3)))
    assert refused.value.where == "--task"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("reading:handbook", "'reading' has no noise"),
        ("detect:", "names no documents"),
        ("detct:handbook", "no task 'detct:handbook'"),
    ],
)
def test_documents_go_with_tasks_that_have_noise(name: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        check_task(name)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no document"):
        document_noise(str(tmp_path / "none"))
