"""The house rules that no linter knows, held by the package's syntax trees and by a process without heavy libraries."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import rmtbench
from rmtbench.core import Answer, Draw, Prepared, RunSpec
from rmtbench.journal.writer import RunWriter

PACKAGE = Path(rmtbench.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"
HEAVY = ("torch", "transformers", "llama_index", "datasets", "sentence_transformers", "faiss")

PLANNED = {"rmt": 3, "training": 3}
"""Rooms of the design that the page need not print yet."""
ARROWS = {("rmt", "training"), ("core", "options"), ("options", "errors")}
"""Who may import a room of its own level."""
COMMANDS_OF_BENCHES = {("cli/bench.py", "bench"), ("cli/bench_tables.py", "bench")}
"""The one import across a level besides: `rmtbench bench` calls the benches, and no other command may."""
APART = {"scoring", "analysis", "report"}
"""The column that meets systems and runs in the journal alone."""
STATISTICS = "analysis/stats"
"""Knows numbers only: it imports nothing of the package but itself."""
LOADED_ON_DEMAND = {"cli/running.py"}
"""Modules of light rooms that are themselves imported inside functions only, once there is something to run."""
LIGHT = {
    "core", "errors", "options", "spec", "measure", "journal", "normalize", "corpora", "systems", "scoring", "analysis",
    "report", "cli",
}  # fmt: skip
"""Rooms that a help, a list, a rescoring or a report imports: no heavy library may be loaded with them."""


LINES, PARAMETERS, OWN = 60, 8, {"self", "cls"}
LONGEST_TEST_NAME = 60
MARK = re.compile(r"# (long|many|many, long): \w")
"""Behind the `def` of a function over a limit, with the reason."""


def printed_levels(text: str) -> dict[str, int]:
    """Rooms and their levels as the page prints them: single words after a level's number, set apart by spaces."""
    block = text.partition("## Who may import whom")[2].split("```")[1]
    rows = [re.split(r"\s{2,}", line) for line in block.strip().splitlines()]
    return {name: int(row[0]) for row in rows for name in row[1:] if name.isidentifier()}


LEVELS = PLANNED | printed_levels(PAGE.read_text(encoding="utf-8"))


def sources() -> dict[str, ast.Module]:
    """Every module of the package by its path from the package's root."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def room(name: str) -> str:
    """The room of a module's path or dotted name within the package; the root's own is empty."""
    first = name.removeprefix("rmtbench.").removesuffix(".py").replace("/", ".").partition(".")[0]
    return "" if first in ("rmtbench", "__init__", "__main__") else first


def imported(path: str, tree: ast.AST) -> Iterator[str]:
    """Dotted names that a piece of a module imports, wherever it does; ``module:attribute`` texts count too."""
    package = ["rmtbench", *Path(path).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"rmtbench\.[\w.]+:\w+", str(node.value)):
            yield str(node.value).partition(":")[0]


def forbidden(path: str, tree: ast.AST) -> list[str]:
    """What a module imports of the package against the levels."""
    own, found = room(path), []
    for name in imported(path, tree):
        other = room(name) if name.startswith("rmtbench.") else own
        if path.startswith(STATISTICS) and name.startswith("rmtbench.") and STATISTICS.replace("/", ".") not in name:
            found.append(f"{path} imports {name}")
            continue
        if other not in LEVELS or own in (other, ""):  # a name of the root itself, such as its version
            continue
        if own == "report" and name.startswith(f"rmtbench.{STATISTICS.replace('/', '.')}"):  # it renders only
            found.append(f"{path} imports {name}")
        below = LEVELS[other] < LEVELS[own] and not (own in APART and other in {"systems", "runs"})
        if not below and (own, other) not in ARROWS and (path, other) not in COMMANDS_OF_BENCHES:
            found.append(f"{path} imports {name}")
    return found


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The imports that loading a module runs: none in functions, nor what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from run_at_import(ast.Module(child.orelse, []))
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from run_at_import(child)


def way_to_heavy(start: str, modules: dict[str, ast.Module]) -> list[str]:
    """The chain of imports by which importing a module loads a heavy library; empty where it loads none."""
    files = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in modules}
    waiting, seen = [[start]], {start}
    while waiting:
        way = waiting.pop()
        for name in (name for node in run_at_import(modules[way[-1]]) for name in imported(way[-1], node)):
            if name.partition(".")[0] in HEAVY:
                return [*way, name]
            inner = name.removeprefix("rmtbench.")
            # `from a.b import c` names a module or what stands in one, and loads the packages around it.
            around = [".".join(inner.split(".")[:count]) for count in range(1, inner.count(".") + 2)]
            for path in (files[each] for each in around if name.startswith("rmtbench.") and each in files):
                if path not in seen:
                    seen.add(path)
                    waiting.append([*way, path])
    return []


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    return sources()


def test_every_room_has_a_level_and_the_page_prints_seven(modules: dict[str, ast.Module]) -> None:
    rooms = {room(path) for path in modules} - {""}
    assert rooms - set(LEVELS) == set()
    assert set(printed_levels(PAGE.read_text(encoding="utf-8")).values()) == set(range(7))
    assert {name: LEVELS[name] for name in PLANNED} == PLANNED


def test_imports_go_down_only_and_never_to_a_room_of_same_level(modules: dict[str, ast.Module]) -> None:
    assert [offence for path, tree in modules.items() for offence in forbidden(path, tree)] == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("core.py", "from rmtbench.errors import UserError"),
        ("journal/lines.py", "import rmtbench.models.base"),
        ("models/load.py", "from rmtbench.corpora.base import SIZES"),
        ("kvcache/exact/plain.py", "def late():\n    from rmtbench.retrieval.base import Chunk"),
        ("retrieval/dense.py", "if TYPE_CHECKING:\n    from rmtbench.systems.base import System"),
        ("systems/cag.py", "from rmtbench import runs"),
        ("systems/registry.py", "OURS = {'x': 'rmtbench.runs.loop:execute'}"),
        ("corpora/miniature/world.py", "from ...runs import loop"),
        ("scoring/score.py", "from rmtbench.systems.registry import find_system"),
        ("report/write.py", "from rmtbench.runs.plan import plan_runs"),
        ("report/write.py", "from rmtbench.scoring.kinds import metric_names"),
        ("report/write.py", "from rmtbench.analysis.stats.paired import paired_differences"),
        ("runs/loop.py", "from rmtbench.scoring.score import score_runs"),
        ("training/loop.py", "from rmtbench.rmt.base import Wrapper"),
        ("analysis/stats/paired.py", "from rmtbench.analysis.sections import Grid"),
        ("analysis/stats/paired.py", "from rmtbench.errors import UserError"),
        ("analysis/decision.py", "from rmtbench.report.tables import Table"),
        ("analysis/run_figures.py", "from rmtbench.systems.registry import find_system"),
        ("journal/record.py", "from rmtbench.analysis.run_figures import summarize"),
        ("bench/kv.py", "from rmtbench.cli.run import run"),
        ("cli/run.py", "from rmtbench.bench.kv import run"),
    ],
)
def test_an_import_against_the_levels_would_be_seen(path: str, line: str) -> None:
    assert len(forbidden(path, ast.parse(line))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("rmt/wrapper.py", "from rmtbench.training.loop import train"),
        ("report/write.py", "from rmtbench.analysis.pairs import compare_all"),
        ("scoring/score.py", "from rmtbench.analysis.run_figures import summarize"),
        ("analysis/run_figures.py", "from rmtbench.analysis.stats.clustered import clustered_standard_error"),
        ("cli/main.py", "from rmtbench import __version__\nfrom rmtbench.cli import run\nimport torch"),
        ("corpora/miniature/world.py", "from ..base import Dataset\nfrom . import names"),
    ],
)
def test_imports_along_an_arrow_or_within_a_room_are_free(path: str, line: str) -> None:
    assert forbidden(path, ast.parse(line)) == []


def test_core_and_declared_options_import_the_standard_library(modules: dict[str, ast.Module]) -> None:
    files = {path: tree for path, tree in modules.items() if room(path) in ("core", "options")}
    loaded = {name for path, tree in files.items() for node in run_at_import(tree) for name in imported(path, node)}
    others = {name for name in loaded if not name.startswith(("rmtbench.options", "rmtbench.errors"))}
    assert others
    assert {name.partition(".")[0] for name in others} - sys.stdlib_module_names == set()


def imports_by_file(modules: dict[str, ast.Module]) -> dict[str, set[str]]:
    """The package's files that each file imports, for type checkers too; names in registries do not count."""
    files = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in modules}
    found: dict[str, set[str]] = {}
    for path, tree in modules.items():
        nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
        names = [name.removeprefix("rmtbench.") for node in nodes for name in imported(path, node)]
        modules_named = (files.get(name) or files.get(name.rpartition(".")[0]) for name in names)
        found[path] = {other for other in modules_named if other is not None} - {path}
    return found


def circle(imports: dict[str, set[str]], start: str) -> list[str]:
    """The chain of imports by which a file reaches itself; empty if it does not."""
    waiting, seen = [[start]], set()
    while waiting:
        way = waiting.pop()
        for other in sorted(imports[way[-1]]):
            if other == start:
                return [*way, other]
            if other not in seen:
                seen.add(other)
                waiting.append([*way, other])
    return []


def test_no_file_imports_itself_by_way_of_others(modules: dict[str, ast.Module]) -> None:
    imports = imports_by_file(modules)
    assert "kvcache/disk/obtain.py" in imports["systems/cag.py"]
    assert [" > ".join(way) for way in (circle(imports, path) for path in imports) if way] == []


def test_a_circle_of_imports_would_be_seen() -> None:
    imports = {"a.py": {"b.py"}, "b.py": {"c.py"}, "c.py": {"b.py"}}
    assert circle(imports, "b.py") == ["b.py", "c.py", "b.py"]
    assert circle(imports, "a.py") == []


@pytest.mark.parametrize(("own", "above"), [("exact", {"disk", "approximate"}), ("disk", {"approximate"})])
def test_rooms_of_the_cache_import_downwards(modules: dict[str, ast.Module], own: str, above: set[str]) -> None:
    names = [
        (path, name)
        for path, tree in modules.items()
        if path.startswith(f"kvcache/{own}/")
        for name in imported(path, tree)
    ]
    assert names
    assert [each for each in names if each[1].split(".")[1:3] in [["kvcache", room] for room in above]] == []


def test_no_system_or_run_asks_what_its_model_is(modules: dict[str, ast.Module]) -> None:
    asked = [
        f"{path}: {ast.unparse(node)}"
        for path, tree in modules.items()
        if room(path) in {"systems", "runs"}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        if re.search(r"Model|Embedder|Prefix", ast.unparse(node.args[1]))
    ]
    assert asked == []


def test_only_the_command_line_knows_rich(modules: dict[str, ast.Module]) -> None:
    knowing = {room(path) for path, tree in modules.items() for name in imported(path, tree) if name.startswith("rich")}
    assert knowing == {"cli"}


def test_every_module_says_in_at_most_five_lines_why_it_exists(modules: dict[str, ast.Module]) -> None:
    said = {path: (ast.get_docstring(tree) or "").splitlines() for path, tree in modules.items()}
    assert [path for path, lines in said.items() if not 1 <= len(lines) <= 5] == []


def too_large(path: str, source: str) -> Iterator[str]:
    """Functions over a limit without its mark, and marks without need. The docstring's lines do not count."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        end = node.end_lineno or node.lineno
        told = node.body[0] if ast.get_docstring(node) else None
        length = end - node.lineno + 1 - (0 if told is None else (told.end_lineno or 0) - told.lineno + 1)
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        sizes = {"long": length > LINES, "many": len([each for each in given if each.arg not in OWN]) > PARAMETERS}
        mark = MARK.search(lines[node.lineno - 1])
        marked = set(mark[1].split(", ")) if mark else set()
        yield from (f"{path}: {node.name} ({name})" for name, over in sizes.items() if over != (name in marked))


def test_a_function_fits_a_screen_or_says_why_not() -> None:
    paths = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    found = [fault for name, path in paths.items() for fault in too_large(name, path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("head", "lines", "faults"),
    [
        ("a, b", 60, []),
        ("a, b", 61, ["x.py: f (long)"]),
        ("self, a, b, c, d, e, f, g, h", 2, []),
        ("a, b, c, d, e, f, g, *, h, i", 2, ["x.py: f (many)"]),
        ("  # long: a table\n", 61, []),
        ("  # many, long: a table\n", 61, ["x.py: f (many)"]),
    ],
)
def test_a_function_over_a_limit_would_be_seen(head: str, lines: int, faults: list[str]) -> None:
    body = "\n".join(["    pass"] * (lines - 1 - head.count("\n")))
    assert list(too_large("x.py", f"def f({head}):\n{body}\n")) == faults


def test_everything_public_has_a_docstring(modules: dict[str, ast.Module]) -> None:
    bare = []
    for path, tree in modules.items():
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        for body in (tree.body, *(node.body for node in classes)):
            bare += [
                f"{path}: {node.name}"
                for node in body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ]
    assert bare == []


def test_importing_a_light_room_loads_no_heavy_library(modules: dict[str, ast.Module]) -> None:
    starts = [path for path in modules if room(path) in LIGHT and path not in LOADED_ON_DEMAND]
    assert [" > ".join(way) for way in (way_to_heavy(start, modules) for start in starts) if way] == []


def test_the_way_to_a_heavy_library_would_be_seen(modules: dict[str, ast.Module]) -> None:
    assert way_to_heavy("kvcache/exact/plain.py", modules)[-1].partition(".")[0] in {"torch", "transformers"}
    added = {**modules, "spec.py": ast.parse("try:\n    from rmtbench.kvcache.exact import plain\nfinally:\n    pass")}
    assert way_to_heavy("cli/run.py", {**added, "cli/run.py": ast.parse("import rmtbench.spec")})


WITHOUT = f"""
import sys
import tomllib
sys.modules.update(dict.fromkeys({HEAVY}))  # importing any of these is now an ImportError
import rmtbench.report.write, rmtbench.cli.main
rmtbench.cli.main.main()
"""


def without_heavy(*words: object) -> subprocess.CompletedProcess[str]:
    """How a command ends in a process that has no heavy library."""
    command = [sys.executable, "-c", WITHOUT, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_scoring_can_be_asked_for_help_without_any_heavy_library() -> None:
    ended = without_heavy("score", "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--metrics" in ended.stdout
    assert "torch" in without_heavy("doctor").stderr, "what needs torch must fail here, or nothing is hidden"


def test_a_run_is_reported_without_any_heavy_library(towns: Draw, tmp_path: Path) -> None:
    spec = RunSpec(system="cag", dataset="towns", size="all", model="mini", data="own:towns@0")
    with RunWriter(tmp_path, spec) as run:
        run.begin({"model": {"id": "mini", "label": ""}})
        run.add_draw(towns, tokens=260)
        run.prepared(Prepared({"prefill": 1.0}), draw=0)
        for question in towns.corpus.questions:
            run.answer(Answer(question.id, "Tam Nedra", "eos"), draw=0)
    ended = without_heavy("report", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "cag" in ended.stdout


def test_the_wheel_holds_the_package_and_no_experiments(modules: dict[str, ast.Module]) -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["rmtbench"]
    used = {path for path, tree in modules.items() for name in imported(path, tree) if name.startswith("experiments")}
    assert used == set()


def test_a_test_is_named_in_a_few_words() -> None:
    named = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
    tests = sorted(Path(__file__).parent.rglob("test_*.py"))
    names = [name for path in tests for name in named.findall(path.read_text(encoding="utf-8"))]
    assert [name for name in names if len(name) > LONGEST_TEST_NAME] == []
    assert len(names) > 1000
