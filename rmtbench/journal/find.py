"""Find runs in a results folder, or one of them by its name."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from rmtbench.errors import UserError
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.packed import SUFFIX, packed_of
from rmtbench.options import flag
from rmtbench.plural import many


def find_runs(results: Path) -> list[Path]:
    """The runs directly under `results` (or `results` itself, if it is one), folders and packed ones, by name.

    A packed run is given by the folder that it was. A folder with answers and no spec counts as a run: reading it says
    what is missing, instead of leaving it out. A hidden folder is no run: an interrupted merge or pack leaves some.

    Raises:
        UserError: The folder does not exist.
    """
    if not results.is_dir() and packed_of(results) is None:
        raise UserError("no such folder", where=str(results), remedy="run something first: rmtbench run --help")
    if _is_run(RunFolder(results)):
        return [results.with_suffix("") if results.suffix == SUFFIX else results]
    shown = (path for path in results.iterdir() if not path.name.startswith("."))
    folders = {path.with_suffix("") if path.suffix == SUFFIX else path for path in shown}
    return sorted(path for path in folders if _is_run(RunFolder(path)))


def find_run(name: str, results: Path) -> Path:
    """A run's folder.

    Args:
        name: A folder, a run's name under `results` or a beginning of it that no other has, or the hash that ends it.
        results: Where to look.

    Raises:
        UserError: No run, or several, are called so.
    """
    folder = Path(name)
    if RunFolder(folder).spec.is_file():
        return folder
    runs = find_runs(results) if results.is_dir() else []
    exact = [path for path in runs if name in (path.name, path.name.rpartition("-")[2])]
    found = exact or [path for path in runs if path.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    close = get_close_matches(name, [path.name for path in runs], n=1, cutoff=0.4)
    guess = f"did you mean {close[0]}? " if close and not found else ""
    if found:
        guess = f"{', '.join(path.name for path in found[:3])}{', and others' if len(found) > 3 else ''}. "
    several = "several runs are called so" if exact else "several runs begin so"
    raise UserError(
        several if found else "no such run",
        where=name,
        remedy=f"{guess}Name a folder, or one of the {many(len(runs), 'run')} in {results} by its name or hash "
        f"({flag.results})",
    )


def _is_run(folder: RunFolder) -> bool:
    return folder.spec.is_file() or folder.answers.is_file()
