"""A finished run as one file: a zip of its folder, read in place. See `docs/reference/files.md`."""

from __future__ import annotations

import errno
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PosixPath
from shlex import quote
from typing import IO, Any

from rmtbench.errors import UserError, disk_errors
from rmtbench.files import write_atomically
from rmtbench.journal.lock import only_writer
from rmtbench.options import flag

SUFFIX = ".zip"
_MOMENT = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that the same run gives the same bytes."""


class PackedFile(PosixPath):
    """A file within a packed run: its path, and its content as if the zip were a folder. It cannot be written."""

    def exists(self) -> bool:
        """Tell whether the run has this file."""
        with _opened(self.parent) as packed:
            return self.name in packed.namelist()

    def is_file(self) -> bool:
        """As `exists`."""
        return self.exists()

    def read_bytes(self) -> bytes:
        """Return the whole content.

        Raises:
            FileNotFoundError: The run has no such file.
        """
        try:
            with _opened(self.parent) as packed:
                return packed.read(self.name)
        except KeyError as error:
            raise FileNotFoundError(str(self)) from error

    def open(self, mode: str = "r", *_rest: Any, **_options: Any) -> IO[Any]:  # type: ignore[override]  # noqa: ANN401
        """Return a stream of the bytes; only mode ``rb`` is known."""
        if mode != "rb":
            raise OSError(errno.EROFS, "it is packed: see rmtbench pack --undo", str(self))
        return BytesIO(self.read_bytes())


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as packed:
            yield packed
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # By the last two zipfile says that a member is encrypted, or compressed in a way that it does not know.
        raise UserError(f"damaged: {error}", where=str(path), remedy="copy the file again, or remove it") from error


def packed_of(folder: Path) -> Path | None:
    """Return the zip that stands for a run's folder, or None where there is a folder, or neither."""
    if folder.suffix == SUFFIX:
        return folder if folder.is_file() else None
    folder = folder if folder.name else folder.absolute()  # "." has no name
    packed = folder.with_name(folder.name + SUFFIX) if folder.name else folder
    return packed if packed.is_file() and not folder.is_dir() else None


def refuse_packed(folder: Path) -> None:
    """Raise a UserError if a run is packed: nothing is written to it."""
    if packed := packed_of(folder):
        remedy = f"rmtbench pack {quote(str(packed))} --undo makes a folder of it again"
        raise UserError("this run is packed, and nothing can be added to it", where=str(packed), remedy=remedy)


def file_of(folder: Path, name: str) -> Path:
    """Return the path of a run's file, in its folder or its zip."""
    packed = packed_of(folder)
    return folder / name if packed is None else PackedFile(packed / name)


def pack(folder: Path) -> Path:
    """Write a run's zip beside its folder and remove the folder; returns the zip's path.

    Args:
        folder: The run's folder; its visible files are kept, each as it is.

    Raises:
        UserError: Another process writes the run, its folder holds another folder, or the disk is full.
    """
    with only_writer(folder / ".lock"):
        return _pack(folder)


def _pack(folder: Path) -> Path:
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if inner := next((path for path in paths if not path.is_file()), None):
        raise UserError("a run's folder holds files only", where=str(inner), remedy="move it elsewhere")
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in paths:
            member = zipfile.ZipInfo(path.name, _MOMENT)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            packed.writestr(member, path.read_bytes())
    target = folder.with_name(folder.name + SUFFIX)
    # At once out of the way, for a folder that is half removed would be read, and packed again, in place of the zip;
    # and where a file is held open, as on NFS, the folder may not go at all.
    removed = folder.with_name(f".{folder.name}.packed")
    with disk_errors(target, flag.results):
        write_atomically(target, made.getvalue())
        shutil.rmtree(removed, ignore_errors=True)
        folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)
    return target


def unpack(packed: Path) -> Path:
    """Write a run's folder beside its zip and remove the zip; returns the folder's path.

    Args:
        packed: A zip that `pack` made.

    Raises:
        UserError: It is no such zip, or the disk is full.
    """
    folder = packed.with_suffix("")
    unfinished = folder.with_name(f".{folder.name}.unpacking")
    with disk_errors(folder, flag.results):
        shutil.rmtree(unfinished, ignore_errors=True)
        with _opened(packed) as whole:
            whole.extractall(unfinished)
        unfinished.rename(folder)
        packed.unlink()
    return folder
