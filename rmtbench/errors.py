"""The one error a user is meant to see: what is wrong, where, and what to do.

Only `rmtbench.cli` turns it into two lines on stderr and exit code 2. Anything else that escapes is a defect of ours.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """A mistake in the input or the surroundings that the user can mend.

    Attributes:
        what: What is wrong, one sentence without a full stop.
        where: The file, row and field, or the option it came from; may be empty.
        remedy: What to do about it, one sentence.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which names are right, the nearest first.

    Args:
        name: The name that was not found.
        known: All names that would have been.

    Returns:
        A sentence such as ``did you mean 'cag'? Known: cag, oracle``.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    guess = f"did you mean '{close[0]}'? " if close else ""
    return f"{guess}Known: {', '.join(names)}"


def first_line(error: BaseException) -> str:
    """An error's type and the first line of its text, for a message of one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


PLUGIN_FAULTS = (Exception, SystemExit)
"""What code of other packages may raise. `SystemExit` too: their ``exit(0)`` would end a half-done command as done."""


@contextmanager
def disk_errors(path: Path, option: str) -> Iterator[None]:
    """Turn a full disk or a forbidden path while writing into a `UserError`; other errors pass.

    Args:
        path: What is being written, for the message.
        option: What chooses another folder, such as `flag.results`.

    Raises:
        UserError: The disk is full, or the path cannot be written.
    """
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                "the disk is full",
                where=str(path),
                remedy="free some room and give the same command again: everything written so far is kept",
            ) from error
        if number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR):
            raise UserError(
                f"cannot be written ({os.strerror(number)})",
                where=str(path),
                remedy=f"choose another folder with {option}",
            ) from error
        raise


def check_home(flag: str, value: object) -> None:
    """Refuse a path below the home folder of a user who has none.

    Args:
        flag: The option or environment variable, for the message.
        value: Its value; only texts and paths that begin with ``~`` are looked at.

    Raises:
        UserError: There is no such home folder.
    """
    if isinstance(value, str | Path) and str(value).startswith("~"):
        try:
            Path(value).expanduser()
        except RuntimeError as error:
            where = f"{flag} {value}"
            raise UserError("no such user's home folder", where=where, remedy="write the path in full") from error


def of_system(error: OSError) -> UserError:
    """Return what to tell of a file, folder or device that does not do what is asked of it: that is no defect of ours.

    Args:
        error: What the system said, wherever it shows.
    """
    what = (error.strerror or str(error) or type(error).__name__).splitlines()[0]
    remedy = "mend the file or folder, or choose another one; everything written so far is kept"
    return UserError(what, where=str(error.filename or ""), remedy=remedy)


def _error_number(error: Exception) -> int | None:
    """Return the system's number of an error while writing; None for an error of another kind.

    safetensors, which is written in Rust, gives it in a text. torch says only that a file has not the length it should
    have, for which a full disk is the usual reason.
    """
    if isinstance(error, OSError):
        return error.errno
    text = str(error)
    if found := re.search(r"\(os error (\d+)\)", text):
        return int(found[1])
    return errno.ENOSPC if any(mark in text for mark in _OF_TORCHS_WRITER) else None


_OF_TORCHS_WRITER = ("inline_container", "PytorchStreamWriter", "iostream error")


class AnswerError(Exception):
    """One question cannot be answered; the run goes on, and the answer's row says why."""


class ContextTooLongError(AnswerError):
    """A prompt with its answer is longer than the model's context, by count here or by the server's refusal."""


_NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What torch says in a plain RuntimeError: on the CPU, of pinned memory, and of the room that cuBLAS works in."""


def out_of_memory(error: BaseException) -> str:
    """Return what an error says about missing memory, with its numbers; empty if it is another error.

    It does not import torch: without it, no error can be torch's.
    """
    torch = sys.modules.get("torch")
    known = isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)
    if not known and not (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return ""
    return " ".join(str(error).split())[:300] or type(error).__name__


class MissingError(UserError):
    """Data, a model or a trained memory that is named rightly and is not on this machine; a plan can do without it."""


class ServerGoneError(UserError):
    """A server that answered before, or should, does not any more: the run stops and can be resumed."""
