"""Files that commands agree on."""

from __future__ import annotations

from pathlib import Path

from rmtbench.errors import UserError


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
