"""Files and folders that commands agree on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rmtbench.errors import UserError, disk_errors


def check_results(results: Path) -> None:
    """Refuse a results folder that cannot be written, before anything is loaded for its runs; makes no folder.

    Raises:
        UserError: It is a file, lies below one, or may not be written.
    """
    with disk_errors(results, "--results"):
        _check_writable(results)


def check_cache(cache: Path) -> None:
    """Refuse a folder for caches that cannot be written, before anything is loaded; makes no folder.

    Raises:
        UserError: It is a file, lies below one, or may not be written.
    """
    try:
        _check_writable(cache)
    except OSError as error:
        raise UserError(
            f"caches cannot be written ({error.strerror})",
            where=str(cache),
            remedy="set RMTBENCH_CACHE to a folder that can be written",
        ) from error


def _check_writable(folder: Path) -> None:
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def in_a_folder(path: Path | None) -> Path | None:
    """Refuse a file of ``--json`` that cannot be written, before anything is done and told.

    Args:
        path: As it was given; None for no file.

    Returns:
        The same path.

    Raises:
        UserError: Its folder does not exist, or it is a folder itself.
    """
    if path is not None and path.is_dir():
        raise UserError("is a folder", where=f"--json {path}", remedy="name a file")
    if path is not None and not path.parent.is_dir():
        raise UserError("no such folder", where=f"--json {path}", remedy=f"make {path.parent}, or name another file")
    return path
