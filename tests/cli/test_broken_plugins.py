"""A plugin that is broken, anywhere, stops neither the tool nor the other systems."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_commands import Command, journals, of_systems

from rmtbench.corpora import registry

SOURCE = """
from rmtbench.core import Prepared
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system

class Base:
    def __init__(self, resources):
        self.inner = find_system("closed-book").make(resources)
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def prepare(self, corpus):
        return self.inner.prepare(corpus)
    def answer(self, questions):
        for place, question in enumerate(questions):
            self.look(question)
            yield from self.inner.answer([question])
    def look(self, question):
        pass

class OneFails(Base):
    seen = []
    def look(self, question):
        self.seen.append(question.id)
        if len(set(self.seen)) == 2:
            raise KeyError("no such passage")

class NoPrepare(Base):
    def prepare(self, corpus):
        raise ZeroDivisionError("division by zero")

class NoMake(Base):
    def __init__(self, resources):
        raise ZeroDivisionError("division by zero")

class Leaves(Base):
    def answer(self, questions):
        yield from self.inner.answer(questions[:1])
        raise SystemExit(0)

class Unclosed(Base):
    def __exit__(self, *error):
        raise OSError("still busy")

class Odd(Base):
    def answer(self, questions):
        from dataclasses import replace
        from rmtbench.core import Retrieved
        for place, answer in enumerate(self.inner.answer(questions)):
            if place == 0:
                yield replace(answer, text=None)
            elif place == 1:
                yield replace(answer, retrieved=(Retrieved("a.md", 5, 2, 1.0),))
            elif place == 2:
                yield "text alone"
            else:
                yield answer

def no_kernels(model, spec):
    raise KeyError("attention")

class Silent(Base):
    def answer(self, questions):
        yield from ()

FAILS = SystemKind("fails", "fails one question", OneFails)
PREPARE = SystemKind("prepare", "cannot prepare", NoPrepare)
MAKE = SystemKind("make", "cannot be made", NoMake)
SILENT = SystemKind("silent", "gives no answers", Silent)
LEAVES = SystemKind("leaves", "ends the process", Leaves)
UNCLOSED = SystemKind("unclosed", "cannot be closed", Unclosed)
ODD = SystemKind("odd", "gives what are no answers", Odd)
KERNELS = SystemKind("kernels", "cannot say how it reads", Base, kernels=no_kernels)
THIEF = SystemKind("cag", "calls itself cag", Base)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package that names systems under the group of entry points."""
    site = tmp_path / "site"

    def put(group: str = "systems", **points: str) -> None:
        info = site / f"their_{group}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "their_plugins.py").write_text(SOURCE)
        (site / "their_broken.py").write_text("raise RuntimeError('no licence')\n")
        (site / "their_exit.py").write_text("raise SystemExit(0)\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: their-{group}\nVersion: 1.0\n")
        lines = [f"{name.replace('_', '-')} = {value}\n" for name, value in points.items()]
        (info / "entry_points.txt").write_text(f"[rmtbench.{group}]\n" + "".join(lines))
        monkeypatch.syspath_prepend(str(site))
        registry._all.cache_clear()

    yield put
    registry._all.cache_clear()
    for name in ("their_plugins", "their_broken", "their_exit"):
        sys.modules.pop(name, None)


def test_systems_lists_the_broken_with_reasons_and_goes_on(rmtbench: Command, install: Install) -> None:
    install(theirs="their_broken:KIND", cag="their_plugins:SILENT", thief="their_plugins:THIEF",
            silent="their_plugins:SILENT")  # fmt: skip
    said = rmtbench("systems")
    assert said.code == 0
    lines = {line.split()[0]: line for line in said.out.splitlines() if "broken" in line}
    assert set(lines) == {"theirs", "cag", "thief"}
    assert "system 'theirs' cannot be imported (RuntimeError: no licence)" in lines["theirs"]
    assert "system 'cag' is built in, so this one is not used" in lines["cag"]
    assert "calls itself 'cag', and a built-in system has that name" in lines["thief"]
    assert any(line.startswith("silent  ") for line in said.out.splitlines())
    rows = json.loads(rmtbench("systems", "--json").out)
    assert {row["name"] for row in rows if "broken" in row} == {"theirs", "cag", "thief"}


@pytest.mark.parametrize("noise", [b"\xff\xfe\x00", b"[rmtbench.systems]\nno equals sign\n"])
def test_a_package_with_a_damaged_list_hides_no_other(
    rmtbench: Command, install: Install, tmp_path: Path, noise: bytes
) -> None:
    install(silent="their_plugins:SILENT")
    install("metrics")
    (tmp_path / "site" / "their_metrics-1.0.dist-info" / "entry_points.txt").write_bytes(noise)
    said = rmtbench("systems")
    assert said.code == 0, said.err
    assert any(line.startswith("silent  ") for line in said.out.splitlines())
    told = next(line for line in rmtbench("doctor").out.splitlines() if "their-metrics" in line)
    assert "broken: " in told
    assert "entry_points.txt cannot be read" in told


def test_all_leaves_a_broken_plugin_out_and_says_so(rmtbench: Command, install: Install, tmp_path: Path) -> None:
    install(theirs="their_broken:KIND")
    said = rmtbench("run", "--dataset", "handbook", "--model", "random:tiny", "--dry-run", "--results", tmp_path / "r")
    assert said.code == 0, said.err
    assert "theirs" not in said.out
    assert "closed-book" in said.out


def test_a_question_that_raises_fails_alone_with_its_reason(
    rmtbench: Command, install: Install, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    install(fails="their_plugins:FAILS")
    said = rmtbench(*of_systems(sample_run, "fails"), "--questions", 4)
    assert said.code == 1, said.err
    [answers] = journals(tmp_path / "results").values()
    errors = [answer["error"] for answer in answers]
    assert errors == [None, "KeyError: 'no such passage'", None, None]
    assert "1 of 4 answers failed" in said.err


def test_answers_that_are_not_given_fail(
    rmtbench: Command, install: Install, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    install(silent="their_plugins:SILENT")
    assert rmtbench(*of_systems(sample_run, "silent")).code == 1
    [answers] = journals(tmp_path / "results").values()
    assert [answer["error"] for answer in answers] == ["the plugin gave no answer"] * 2


@pytest.mark.parametrize("name", ["prepare", "make"])
def test_a_draw_that_cannot_be_prepared_is_left_out(
    rmtbench: Command, install: Install, sample_run: tuple[str, ...], tmp_path: Path, name: str
) -> None:
    install(**{name: f"their_plugins:{name.upper()}"})
    said = rmtbench(*of_systems(sample_run, f"{name},closed-book"))
    assert said.code == 1, said.err
    line = f"draw 0 is left out, for {name} cannot prepare it (ZeroDivisionError: division by zero)"
    assert line in said.err
    assert sorted(map(len, journals(tmp_path / "results").values())) in ([2], [0, 2])
    assert rmtbench("report", tmp_path / "results", "--quick").code == 0


def test_a_package_that_ends_the_process_ends_nothing(
    rmtbench: Command, install: Install, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    install(leaves="their_plugins:LEAVES", exits="their_exit:KIND")
    assert "system 'exits' cannot be imported (SystemExit: 0)" in rmtbench("systems").out
    assert rmtbench(*of_systems(sample_run, "leaves"), "--questions", 3).code == 1
    [answers] = journals(tmp_path / "results").values()
    assert [answer["error"] for answer in answers] == [None, "SystemExit: 0", None]


def test_what_is_no_answer_fails_its_question(
    rmtbench: Command, install: Install, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    install(odd="their_plugins:ODD")
    said = rmtbench(*of_systems(sample_run, "odd"), "--questions", 6)
    assert said.code == 1, said.err
    [answers] = journals(tmp_path / "results").values()
    errors = [answer["error"] or "" for answer in answers]
    assert errors[0].startswith("the plugin's answer cannot be kept (")
    assert len(errors) == 6
    assert rmtbench("score", tmp_path / "results").code == 0


def test_a_system_that_cannot_be_closed_keeps_its_answers(
    rmtbench: Command, install: Install, sample_run: tuple[str, ...], tmp_path: Path
) -> None:
    install(unclosed="their_plugins:UNCLOSED", kernels="their_plugins:KERNELS")
    said = rmtbench(*of_systems(sample_run, "unclosed,kernels"))
    assert said.code == 0, said.err
    assert "unclosed cannot be closed (OSError: still busy); its answers are kept" in said.err
    assert [len(rows) for rows in journals(tmp_path / "results").values()] == [2, 2]


def test_doctor_reads_variables_as_a_run_does(rmtbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTBENCH_DATA", "~")
    monkeypatch.setenv("HF_HUB_OFFLINE", "false")
    said = rmtbench("doctor").out
    assert "RMTBENCH_DATA          ~\n" in said
    assert "hub                    asked when a model or data set is not local" in said


def test_doctor_lists_every_broken_plugin_with_its_reason(rmtbench: Command, install: Install) -> None:
    groups = (("systems", "a"), ("datasets", "b"), ("metrics", "c"))
    for group, name in groups:
        install(group, **{name: "their_broken:KIND"})
    said = rmtbench("doctor")
    assert said.code == 0, said.err
    lines = [line for line in said.out.splitlines() if "broken: " in line]
    assert [line.split(" broken: ")[0].strip() for line in lines] == ["system a", "data set b", "metric c"]
    assert all("(RuntimeError: no licence)" in line for line in lines)
    assert all("mend that package" in line for line in lines)
