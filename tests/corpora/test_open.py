"""From a name and a place to a data set: which file is taken, and never another one in its stead."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from corpora_files import draw, refusal, write, write_json

from rmtbench.corpora.export import export_draw
from rmtbench.corpora.open import canonical_name, find_file, open_dataset
from rmtbench.corpora.registry import known_datasets
from rmtbench.errors import UserError
from rmtbench.scoring.answers import exact_match

SQUAD = {
    "data": [
        {
            "title": "Port_Amaret",
            "paragraphs": [
                {
                    "context": "Founded in 1642.",
                    "qas": [{"id": "s", "question": "When?", "answers": [{"text": "1642", "answer_start": 11}]}],
                }
            ],
        }
    ]
}
HOTPOTQA = [{"_id": "h", "question": "Who?", "answer": "Wren", "supporting_facts": [], "context": [["T", ["Wren."]]]}]
TRIVIAQA = {
    "Data": [
        {
            "QuestionId": "t",
            "Question": "Which?",
            "EntityPages": [{"Filename": "Petrel.txt"}],
            "Answer": {"NormalizedAliases": ["petrel"]},
        }
    ]
}
CONTENT = {"squad": SQUAD, "hotpotqa": HOTPOTQA, "triviaqa": TRIVIAQA}


def lay(folder: Path, files: Mapping[str, object] | list[str]) -> Path:
    """Writes files with the given contents; names alone are files that hold an empty object."""
    for name in files:
        content = files[name] if isinstance(files, Mapping) else {}
        write_json(folder / name, content)
    return folder


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        ("squad", ["dev-v1.1.json", "train-v1.1.json", "zzz.json"], "dev-v1.1.json"),
        ("squad", ["train-v1.1.json", "dev-mine.json"], "train-v1.1.json"),
        ("squad", ["squad/dev-v1.1.json", "dev-v1.1.json"], "squad/dev-v1.1.json"),
        ("squad", ["mine.json"], "mine.json"),
        ("squad", ["squad/mine.json", "notes.txt"], "squad/mine.json"),
        ("squad", ["dev-subset.json", "train-subset.json"], "dev-subset.json"),
        ("squad", {"mine.json": SQUAD, "rows.json": HOTPOTQA}, "mine.json"),
        ("hotpotqa", {"mine.json": SQUAD, "rows.json": HOTPOTQA}, "rows.json"),
        (
            "hotpotqa",
            {"hotpot_train_v1.1.json": HOTPOTQA, "hotpot_dev_distractor_v1.json": HOTPOTQA},
            "hotpot_dev_distractor_v1.json",
        ),
        (
            "hotpotqa",
            {"hotpotqa/hotpot_subset.json": HOTPOTQA, "hotpotqa/sources.json": {}},
            "hotpotqa/hotpot_subset.json",
        ),
        ("triviaqa", ["qa/web-dev.json", "qa/wikipedia-dev.json"], "qa/wikipedia-dev.json"),
        ("triviaqa", ["qa/web-train.json", "qa/web-dev.json"], "qa/web-dev.json"),
        ("triviaqa", ["triviaqa/qa/web-train.json", "triviaqa/other.json"], "triviaqa/qa/web-train.json"),
        ("triviaqa", ["web-train.json"], "web-train.json"),
        ("triviaqa", ["qa/web-mine.json"], "qa/web-mine.json"),
    ],
)
def test_a_folder_is_searched_for_the_official_file_or_only_one(
    tmp_path: Path, name: str, files: list[str], found: str
) -> None:
    assert find_file(name, lay(tmp_path, files)) == tmp_path / found


@pytest.mark.parametrize("name", CONTENT)
def test_a_file_of_any_name_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    path = write_json(tmp_path / "qa" / "rows of mine.txt", CONTENT[name])
    write(tmp_path / "evidence" / "wikipedia" / "Petrel.txt", "The Petrel.")
    dataset = open_dataset(name, path, {})
    assert (dataset.name, dataset.facts().questions) == (name, 1)
    assert (dataset.source.kind, dataset.source.name) == ("official", "rows of mine.txt")
    assert dataset.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "files", "where", "what", "remedy"),
    [
        (
            "squad",
            ["squad/one.json", "squad/two.json"],
            "squad",
            "several files could be squad: one.json, two.json",
            "name one with --data-dir",
        ),
        (
            "squad",
            ["dev-1.json", "dev-2.json", "train.json"],
            "",
            "several files could be squad: dev-1.json, dev-2.json, train.json",
            "name one with --data-dir",
        ),
        (
            "hotpotqa",
            ["mine.json"],  # an object, where the official file is a list
            "",
            "no hotpotqa file here (it holds mine.json)",
            "give the folder that holds hotpot_dev_distractor_v1.json, or one file",
        ),
        (
            "triviaqa",
            ["triviaqa/one/qa/web-dev.json", "triviaqa/two/qa/web-dev.json"],
            "triviaqa",
            "no triviaqa file here (it holds one, two)",
            "give the folder that holds wikipedia-dev.json, or one file",
        ),
        (
            "squad",
            [],
            "",
            "no squad file here (it holds nothing)",
            "give the folder that holds dev-v1.1.json, or one file",
        ),
    ],
)
def test_a_folder_without_the_file_or_with_several_is_refused(
    tmp_path: Path, name: str, files: list[str], where: str, what: str, remedy: str
) -> None:
    lay(tmp_path, files)
    assert refusal(lambda: open_dataset(name, tmp_path, {}), tmp_path / where) == ("", what, remedy)


def test_evidence_lies_beside_the_qa_folder_or_beside_the_file(tmp_path: Path) -> None:
    for number, place in enumerate(("qa/web-dev.json", "web-dev.json")):
        folder = tmp_path / str(number)
        write(folder / "evidence" / "wikipedia" / "Petrel.txt", "The Petrel.")
        assert open_dataset("triviaqa", write_json(folder / place, TRIVIAQA), {}).facts().documents == 1
    alone = write_json(tmp_path / "alone" / "qa" / "web-dev.json", TRIVIAQA)
    remedy = "unpack evidence/ beside the folder that holds the file"
    assert refusal(lambda: open_dataset("triviaqa", alone, {}), alone) == ("", "no evidence folder beside it", remedy)


def test_evidence_is_found_from_within_the_qa_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "evidence" / "wikipedia" / "Petrel.txt", "The Petrel.")
    monkeypatch.chdir(write_json(tmp_path / "qa" / "web-dev.json", TRIVIAQA).parent)
    assert open_dataset("triviaqa", Path("web-dev.json"), {}).facts().documents == 1


def test_the_environment_names_the_folder_unless_an_option_does(tmp_path: Path) -> None:
    lay(tmp_path, {"ours/squad/dev-v1.1.json": SQUAD, "given/mine.json": SQUAD})
    environ = {"RMTBENCH_DATA": str(tmp_path / "ours")}
    assert open_dataset("squad", None, environ).source.name == "dev-v1.1.json"
    assert open_dataset("squad", tmp_path / "given", environ).source.name == "mine.json"
    gone = tmp_path / "gone"
    expected = ("", "no such file or folder", "check --data-dir or RMTBENCH_DATA")
    assert refusal(lambda: open_dataset("squad", gone, environ), gone) == expected
    assert refusal(lambda: open_dataset("squad", None, {"RMTBENCH_DATA": str(gone)}), gone) == expected


def test_a_home_folder_may_be_written_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    lay(tmp_path, {"mine/dev-v1.1.json": SQUAD})
    assert open_dataset("squad", Path("~/mine"), {}).facts().questions == 1


def test_official_files_of_data_that_has_none_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, {"mine/documents/a.txt": "Some text."})
    for name, why in (("handbook", "comes with the package"), (str(tmp_path / "mine"), "is a folder of your own")):
        with pytest.raises(UserError, match=f"{why}, and has no official files") as caught:
            open_dataset(name, tmp_path, {})
        assert (caught.value.where, caught.value.remedy) == (f"--data-dir {tmp_path}", "leave --data-dir out")


def test_handbook_is_packages_own_wherever_official_data_lies(tmp_path: Path) -> None:
    dataset = open_dataset("handbook", None, {"RMTBENCH_DATA": str(tmp_path)})
    assert (dataset.name, dataset.source.kind, dataset.source.name) == ("handbook", "embedded", "handbook")


def test_a_folder_called_like_a_former_data_set_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sample" / "documents" / "a.md", "Text.")
    write_json(tmp_path / "sample" / "questions.jsonl", {"question": "What?", "answers": "Text"})
    monkeypatch.chdir(tmp_path)
    assert open_dataset("sample", None, {}).source.kind == "own"


def test_any_other_name_is_folder_of_ones_called_by_last_part(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "documents" / "a.md", "Text.")
    write_json(tmp_path / "mine" / "questions.jsonl", {"question": "What?", "answers": "Text"})
    dataset = open_dataset(f"{tmp_path}/mine/../mine/", None, {})
    assert (dataset.name, dataset.source.kind, dataset.source.name) == ("mine", "own", "mine")


@pytest.mark.parametrize(
    ("name", "where", "what", "remedy"),
    [
        (
            "hotpot",
            "--dataset",
            "no data set 'hotpot'",
            f"did you mean 'hotpotqa'? Known: {', '.join(sorted(known_datasets()))}, or the path of a folder",
        ),
        (
            "sample",
            "--dataset",
            "no data set 'sample'",
            f"did you mean 'handbook'? Known: {', '.join(sorted(known_datasets()))}, or the path of a folder",
        ),
        ("./nowhere", "--dataset ./nowhere", "no such folder", "give a folder that holds documents/"),
        ("~/nowhere at all", "--dataset ~/nowhere at all", "no such folder", "give a folder that holds documents/"),
    ],
)
def test_a_name_that_is_nothing_is_refused(name: str, where: str, what: str, remedy: str) -> None:
    assert refusal(lambda: open_dataset(name, None, {}), Path(where)) == ("", what, remedy)


def test_a_folder_is_never_taken_for_a_data_set_of_its_name(tmp_path: Path) -> None:
    write(tmp_path / "triviaqa" / "documents" / "a.txt", "A well-known tale.")
    write(tmp_path / "triviaqa" / "questions.jsonl", '{"question": "What?", "answers": ["well-known"]}\n')
    dataset = open_dataset(str(tmp_path / "triviaqa"), None, {})
    made = draw(dataset, "all")
    assert made.corpus.dataset == "own-triviaqa"
    assert {path.name for path in export_draw(made, tmp_path / "out")} == {"a.txt", "questions.jsonl"}
    assert exact_match("well known", ["well-known"], made.corpus.dataset) == 0


def test_a_folder_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("home/mine", "here/mine", "here/below/mine", "else/mine"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "else" / "mine")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    spellings = {
        "mine": ["mine", "mine/", "./mine", f"{tmp_path}/here/mine", "below/../mine", "../here/mine"],
        "below/mine": ["below/mine", "below//mine/", f"{tmp_path}/here/below/mine"],
        "link": ["link", "./link", f"{tmp_path}/here/link"],
        "~/mine": ["~/mine", "~/mine/", f"{tmp_path}/home/mine", "../home/mine"],
        f"{tmp_path}/else/mine": [f"{tmp_path}/else/mine/", "../else/mine"],
        ".": [".", "./", str(tmp_path / "here")],
        "squad": ["squad"],
        "./nowhere": ["./nowhere"],
    }
    assert {name: {canonical_name(one) for one in ways} for name, ways in spellings.items()} == {
        name: {name} for name in spellings
    }


SCRIPT = """
import sys
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.export import export_draw
from rmtbench.corpora.open import open_dataset
for name in ("squad", "hotpotqa", "triviaqa", "handbook"):
    data = open_dataset(name, None, {"RMTBENCH_DATA": sys.argv[1]})
    draw = data.draw(DrawRequest("smoke", 0), lambda texts: [500] * len(texts))
    print(draw.corpus.sha256, draw.gold)
"""


def test_another_process_draws_same_bytes_whatever_its_hash_seed(tmp_path: Path) -> None:
    files = {
        "squad/dev-v1.1.json": SQUAD,
        "hotpotqa/rows.json": [{**row, "_id": f"{row['_id']}-{copy}"} for copy in range(3) for row in HOTPOTQA],
        "triviaqa/qa/web-dev.json": trivia_rows(),
    }
    lay(tmp_path, files)
    write(tmp_path / "triviaqa" / "evidence" / "wikipedia" / "Petrel.txt", "The Petrel, a petrel ship.")
    write(tmp_path / "triviaqa" / "evidence" / "wikipedia" / "Tern.txt", "The Tern, an AUK.")
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
    assert said.pop().count("Gold(") > 4


def trivia_rows() -> dict:
    aliases = ["petrel", "petrel ship", "auk", "tern", "ship"]
    pages = [{"Filename": "Petrel.txt"}, {"Filename": "Tern.txt"}]
    row = {"Question": "Which?", "EntityPages": pages, "Answer": {"NormalizedAliases": aliases}}
    return {"Data": [{"QuestionId": f"t{number}", **row} for number in range(4)]}


@pytest.mark.real
def test_real_folders_are_told_apart_by_name(real_data: Path) -> None:
    environ = {"RMTBENCH_DATA": str(real_data)}
    assert open_dataset("squad", None, environ).source.name == "dev-subset-v1.1.json"
    what = "several files could be hotpotqa: hotpot_subset_distractor.json, hotpot_train_subset.json"
    assert refusal(lambda: open_dataset("hotpotqa", None, environ), real_data / "hotpotqa")[1] == what
    assert draw(open_dataset("triviaqa", real_data / "triviaqa" / "longbench", environ), "smoke").corpus.documents
    what = "no triviaqa file here (it holds allennlp-sample, longbench)"
    assert refusal(lambda: open_dataset("triviaqa", None, environ), real_data / "triviaqa")[:2] == ("", what)


@pytest.mark.parametrize("name", ["d" * 5000, "~nobody-of-that-name/data"])
def test_a_name_that_can_be_no_path_is_no_folder(name: str) -> None:
    assert canonical_name(name) == name
    with pytest.raises(UserError, match=r"no data set|no such folder"):
        open_dataset(name, None, {})
