"""From a name to an opened data set: official files, else the hub, the handbook, or a user's folder.

Never one in place of another without being asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rmtbench.core import Source
from rmtbench.corpora.base import Dataset, DatasetKind, OfficialFiles
from rmtbench.corpora.own import read_folder
from rmtbench.corpora.plugin import GuardedDataset
from rmtbench.corpora.registry import broken_datasets, is_plugin, known_datasets
from rmtbench.errors import MissingError, UserError, nearest
from rmtbench.files import hash_file
from rmtbench.options import flag

DATA_VARIABLE = "RMTBENCH_DATA"
"""Environment variable: folder of official files, where ``--data-dir`` gives none."""

REPLACED = {"sample": "handbook"}
"""Former names of data sets, and what to name instead."""


def open_dataset(name: str, data_dir: Path | None, environ: Mapping[str, str], *, generated: bool = False) -> Dataset:
    """Open a data set.

    Args:
        name: One of `known_datasets`, or the path of a user's own folder.
        data_dir: Folder or file of official data; None for the folder in the environment, else the hub.
        environ: Environment variables, for `RMTBENCH_DATA`.
        generated: Whether the miniature in the data set's style is meant where no files are named, instead of the hub.

    Raises:
        UserError: The name is unknown, the data is missing or not in its format, or `data_dir` has no effect on it.
    """
    kind = known_datasets().get(name)
    if kind is None:
        if name in broken_datasets():  # a folder of that name is not meant
            raise broken_datasets()[name]
        if is_folder(name):
            _refuse_files(f"'{name}' is a folder of your own", data_dir)
        return _open_own(name)
    if is_plugin(name):
        return GuardedDataset(name, lambda: _open_kind(kind, data_dir, environ, generated=generated))
    return _open_kind(kind, data_dir, environ, generated=generated)


def _open_kind(kind: DatasetKind, data_dir: Path | None, environ: Mapping[str, str], *, generated: bool) -> Dataset:
    name = kind.name
    if kind.embedded is not None:
        _refuse_files(f"{name} comes with the package", data_dir)
        return kind.embedded()
    given = data_dir or (Path(environ[DATA_VARIABLE]) if environ.get(DATA_VARIABLE) else None)
    if given is not None:
        return _open_official(kind, find_file(name, given.expanduser()))
    if generated and kind.miniature:
        from rmtbench.corpora.miniature.dataset import Miniature
        from rmtbench.corpora.miniature.styles import STYLES

        return next(Miniature(style) for style in STYLES if style == name)
    if kind.hub is None:
        remedy = f"give {flag.data_dir} or {DATA_VARIABLE}"
        raise MissingError(f"no files of {name} are named", where=flag.dataset, remedy=remedy)
    from rmtbench.corpora.hub import load_hub

    return _files_of(kind).make(*load_hub(name, kind.hub))


def has_official_files(name: str) -> bool:
    """Whether a name is of a data set that official files can be named for."""
    kind = known_datasets().get(name)
    return kind is not None and kind.embedded is None


def _refuse_files(why: str, data_dir: Path | None) -> None:
    if data_dir is not None:
        what = f"{why}, and has no official files"
        raise UserError(what, where=f"{flag.data_dir} {data_dir}", remedy=f"leave {flag.data_dir} out")


def is_folder(name: str) -> bool:
    """Whether a data set's name is the path of a folder; a name that can be no path is none."""
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, RuntimeError):  # too long, or below the home folder of an unknown user
        return False


def canonical_name(name: str) -> str:
    """One spelling of a data set's name for all spellings of the same folder; any other name as it is.

    A folder below the current one is named from there, one below the home folder as ``~/…``, which tells no user's
    name, and any other by its absolute path.

    Args:
        name: As `open_dataset` takes it.
    """
    if name in known_datasets() or not is_folder(name):
        return name
    folder, here = Path(name).expanduser(), Path.cwd()
    # A link is named as it was given: only `..` must be followed, since it may lead elsewhere than the words say.
    place = folder.resolve() if ".." in folder.parts else folder.absolute()
    if not place.is_relative_to(here):
        place = place.parent.resolve() / place.name
    if place.is_relative_to(here):
        below = str(place.relative_to(here))
        return f"./{below}" if below in known_datasets() else below
    return f"~/{place.relative_to(Path.home())}" if place.is_relative_to(Path.home()) else str(place)


def find_file(name: str, path: Path) -> Path:
    """The official file of a data set: `path` itself, or the one it holds.

    A folder is searched for a subfolder of the data set's name, then (TriviaQA) for ``qa/``, then for the official
    names, then for the only JSON file, or the only one whose name begins with ``dev``.

    Args:
        name: The data set.
        path: A file or folder.

    Raises:
        UserError: There is nothing there, or there are several and none has an official name.
    """
    official = _files_of(known_datasets()[name])
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError("no such file or folder", where=str(path), remedy=f"check {flag.data_dir} or RMTBENCH_DATA")
    if (path / name).is_dir():
        path /= name
    if official.below is not None and (path / official.below).is_dir():
        path /= official.below
    for usual in official.names:
        if (path / usual).is_file():
            return path / usual
    found = sorted(candidate for candidate in path.glob("*.json") if _begins(candidate) == official.begins)
    begin = [candidate for candidate in found if candidate.name.startswith("dev")]
    for few in (found, begin):
        if len(few) == 1:
            return few[0]
    if found:
        names = ", ".join(candidate.name for candidate in found)
        raise UserError(
            f"several files could be {name}: {names}", where=str(path), remedy=f"name one with {flag.data_dir}"
        )
    inside = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
    raise MissingError(
        f"no {name} file here (it holds {inside})",
        where=str(path),
        remedy=f"give the folder that holds {official.names[0]}, or one file",
    )


def _begins(path: Path) -> str:
    """A first look: the outermost bracket of a JSON file."""
    with path.open("rb") as stream:
        return stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1].decode("latin-1")


def _files_of(kind: DatasetKind) -> OfficialFiles:
    if kind.official is None:
        raise UserError(
            f"{kind.name} comes with the package, and has no official files", remedy=f"leave {flag.data_dir} out"
        )
    return kind.official


def _open_official(kind: DatasetKind, path: Path) -> Dataset:
    official = _files_of(kind)
    rows = official.read(path)
    # TriviaQA's evidence is not hashed here (it can be gigabytes): every draw's own hash covers what it holds.
    return official.make(Source("official", path.name, hash_file(path)), rows)


def _open_own(name: str) -> Dataset:
    if not is_folder(name):
        with suppress(OSError, RuntimeError):  # as `is_folder`
            if Path(name).expanduser().is_file():
                remedy = "give the folder that holds documents/ and questions.jsonl or questions.csv"
                raise UserError("a file, and not a folder", where=f"{flag.dataset} {name}", remedy=remedy)
        if "/" in name or name.startswith((".", "~")):
            raise UserError(
                "no such folder", where=f"{flag.dataset} {name}", remedy="give a folder that holds documents/"
            )
        raise UserError(
            f"no data set '{name}'",
            where=flag.dataset,
            remedy=f"{nearest(REPLACED.get(name, name), known_datasets())}, or the path of a folder",
        )
    folder = Path(name).expanduser()
    own = folder.resolve().name
    # Scores, exports and published tables go by a data set's name: a folder must not be taken for one.
    return read_folder(folder, f"own-{own}" if own in known_datasets() else own, "own")
