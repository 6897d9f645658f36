"""Results, experiments and corpora from strangers cannot write outside their folder, whatever their names are."""

import shutil
from pathlib import Path

import pytest
from cli_commands import Command
from hypothesis import given
from hypothesis import strategies as st

from rmtbench.core import Corpus, Document, Draw, Gold, Question, RunSpec, Source
from rmtbench.corpora.export import export_draw
from rmtbench.errors import UserError
from rmtbench.files import temporary_of, write_atomically
from rmtbench.journal.layout import run_id
from rmtbench.journal.packed import unpack
from rmtbench.journal.writer import RunWriter
from rmtbench.report.csv_files import slug
from rmtbench.report.write import write_report
from rmtbench.scoring.score import score_runs

HANDBOOK = Path(__file__).parents[2] / "results" / "handbook"
NAMES = [
    "../../evil", "/tmp/evil", "..", "a/../../b", "..\\..\\evil", "CON", "aux.txt", "nul", "a\x00b", "x" * 10_000,
    "~root", "\u202egnp.exe", "-rf", "$(touch evil)", ".", "",
]  # fmt: skip


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a file that nobody may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("precious")
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Runs as they come from somebody else."""
    shutil.copytree(HANDBOOK, tmp_path / "results", ignore=shutil.ignore_patterns("report"))
    return tmp_path / "results"


def untouched(outside: Path) -> bool:
    return (
        sorted(path.name for path in outside.iterdir()) == ["precious"]
        and (outside / "precious").read_text() == "precious"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_runs_name_is_always_one_part_of_a_path(name: str) -> None:
    for spec in (
        RunSpec(system="cag", dataset=name, size="all", model="m", data="own:x@0"),
        RunSpec(system=name or "cag", dataset="d", size=name, model=name, data="own:x@0"),
    ):
        made = run_id(spec)
        assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        assert not made.startswith(".")
        assert len(made.rpartition("-")[2]) == 8, "the hash makes it no device's name"


@given(st.text())
def test_names_of_report_files_are_letters_digits_and_dashes(dataset: str) -> None:
    assert set(slug(dataset)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_report_is_not_written_through_a_linked_folder(results: Path, outside: Path) -> None:
    (results / "report").symlink_to(outside)
    with pytest.raises(UserError, match="symbolic link"):
        write_report(results, quick=True)
    assert untouched(outside)


@pytest.mark.parametrize("quick", [False, True])
def test_figures_are_not_written_through_a_linked_folder(results: Path, outside: Path, quick: bool) -> None:
    (results / "report").mkdir()
    (results / "report" / "figures").symlink_to(outside)
    (outside / "precious-1.svg").write_text("looks like an old figure")
    with pytest.raises(UserError, match="symbolic link"):
        write_report(results, quick=quick)
    assert sorted(path.name for path in outside.iterdir()) == ["precious", "precious-1.svg"]


def test_a_linked_file_of_a_report_is_replaced_not_followed(results: Path, outside: Path) -> None:
    (results / "report").mkdir()
    (results / "report" / "report.md").symlink_to(outside / "precious")
    write_report(results, quick=True)
    assert untouched(outside)
    assert not (results / "report" / "report.md").is_symlink()


def test_a_linked_temporary_file_is_not_written_through(results: Path, outside: Path) -> None:
    (results / "report").mkdir()
    planted = temporary_of(results / "report" / "report.md")
    planted.symlink_to(outside / "precious")
    with pytest.raises(UserError, match="symbolic link"):
        write_report(results, quick=True)
    planted = temporary_of(outside.parent / "x")
    planted.symlink_to(outside / "precious")
    write_atomically(outside.parent / "x", b"ours")
    assert (outside.parent / "x").read_bytes() == b"ours"
    assert untouched(outside)


def test_scores_are_not_written_into_a_linked_run(results: Path, outside: Path) -> None:
    packed = next(results.glob("*.zip"), None)
    run = unpack(packed) if packed is not None else next(path.parent for path in results.glob("*/spec.json"))
    elsewhere = outside.parent / "elsewhere"
    shutil.move(run, elsewhere)
    run.symlink_to(elsewhere)
    before = {path.name: path.read_bytes() for path in elsewhere.iterdir()}
    with pytest.raises(UserError, match="symbolic link"):
        score_runs([run], ("em",))
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == before


@pytest.mark.parametrize("name", ["answers.jsonl", "sessions.jsonl", ".lock", "spec.json"])
def test_a_run_is_not_resumed_through_a_linked_file(
    rmtbench: Command, tmp_path: Path, outside: Path, sample_run: tuple[str, ...], name: str
) -> None:
    assert rmtbench(*sample_run).code == 0
    [spec] = (tmp_path / "results").glob("*/spec.json")
    answers = spec.parent / "answers.jsonl"
    answers.write_text(answers.read_text().splitlines(keepends=True)[0])  # one answer is left to give
    target = outside / "precious"
    if name == "answers.jsonl":
        target.write_text("precious without a line's end")
    (spec.parent / name).unlink(missing_ok=True)
    (spec.parent / name).symlink_to(target)
    content = target.read_text()
    said = rmtbench(*sample_run)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert target.read_text() == content
    assert [path.name for path in outside.iterdir()] == ["precious"]


def test_a_run_is_not_begun_in_a_linked_folder(tmp_path: Path, outside: Path) -> None:
    spec = RunSpec(system="cag", dataset="towns", size="all", model="mini", data="own:towns@0")
    (tmp_path / run_id(spec)).symlink_to(outside)
    with pytest.raises(UserError, match="symbolic link"), RunWriter(tmp_path, spec):
        pass
    assert untouched(outside)


@pytest.mark.parametrize("member", ["../evil", "/evil", "a/../../evil", "..\\evil"])
def test_a_packed_run_is_unpacked_into_its_folder_only(tmp_path: Path, member: str) -> None:
    import zipfile

    place = tmp_path / "place"
    place.mkdir()
    with zipfile.ZipFile(place / "run.zip", "w") as packed:
        packed.writestr(member, "evil")
        packed.writestr("spec.json", "{}")
    unpack(place / "run.zip")
    assert [path.name for path in place.iterdir()] == ["run"]
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_linked_member_of_a_packed_run_becomes_no_link(tmp_path: Path, outside: Path) -> None:
    import stat
    import zipfile

    link = zipfile.ZipInfo("answers.jsonl")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as packed:
        packed.writestr(link, str(outside / "precious"))
    folder = unpack(tmp_path / "run.zip")
    assert not (folder / "answers.jsonl").is_symlink()


def one_document(name: str) -> Draw:
    documents, questions = (Document(name, "T", "Text."),), (Question("q", "Q?"),)
    corpus = Corpus("c", "towns", "all", 0, documents, questions, Source("own", "towns", "0" * 64))
    return Draw(corpus, (Gold("q", ("a",)),))


@pytest.mark.parametrize("name", ["../../evil.md", "a/../../../evil.md"])
def test_a_document_that_would_lie_outside_is_not_exported(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="would lie outside the folder"):
        export_draw(one_document(name), tmp_path / "a" / "out")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_absolute_name_is_exported_into_the_folder(tmp_path: Path) -> None:
    export_draw(one_document("/tmp/rmtbench-evil.md"), tmp_path / "out")
    assert (tmp_path / "out" / "documents" / "tmp" / "rmtbench-evil.md").is_file()
    assert not Path("/tmp/rmtbench-evil.md").exists()


@pytest.mark.parametrize("name", ["x" * 10_000, "a\nb", "\u202egnp.exe"])
def test_a_name_that_no_disk_takes_ends_in_two_lines(rmtbench: Command, tmp_path: Path, name: str) -> None:
    said = rmtbench("run", "--system", "closed-book", "--dataset", tmp_path / name, "--model", "random:tiny",
                    "--results", tmp_path / "results")  # fmt: skip
    assert said.code == 2
    assert "Traceback" not in said.err
    assert "\u202e" not in said.err


def test_a_sweep_from_a_stranger_runs_no_code(rmtbench: Command, tmp_path: Path) -> None:
    mark, file = tmp_path / "mark", tmp_path / "sweep.yaml"
    for text in (
        f"runs: [{{system: !!python/object/apply:os.system ['touch {mark}']}}]",
        f"runs: !!python/object/new:os.system ['touch {mark}']",
        f"name: $(touch {mark})\nruns: [{{system: cag, dataset: '; touch {mark}'}}]",
    ):
        file.write_text(text)
        said = rmtbench("sweep", file, "--results", tmp_path / "results", "--dry-run")
        assert said.code == 2
        assert "Traceback" not in said.err
    assert not mark.exists()
