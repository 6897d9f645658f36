"""A SQLite file that several processes read and write at once, and what its errors mean to a user.

Every transaction is whole or absent, however the process ends. Knows no table.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from rmtbench.errors import UserError, disk_errors

WAIT_SECONDS = 30.0
"""How long to wait while another process writes."""


SUM_BYTES = 4
"""Length of the checksum behind a value."""


def with_sum(value: bytes) -> bytes:
    """Put a checksum behind a value: SQLite has none, and hands out whatever a failing disk has left of a file."""
    return value + crc32(value).to_bytes(SUM_BYTES, "little")


def without_sum(stored: object) -> bytes:
    """Return a value that was stored with its checksum.

    Raises:
        ValueError: It is not what was stored.
    """
    if not isinstance(stored, bytes) or with_sum(stored[:-SUM_BYTES]) != stored:
        raise ValueError("a value that is not what was stored")
    return stored[:-SUM_BYTES]


@dataclass(frozen=True, slots=True)
class Database:
    """A file of tables.

    Attributes:
        path: The file; it and its folder are made if missing.
        tables: Statements that make the tables where they are missing.
        name: What messages call it, such as ``embedding cache``.
        entry: What one entry is, such as ``embedding``.
        again: What happens to a deleted entry, such as ``computed again``.
    """

    path: Path
    tables: Sequence[str]
    name: str
    entry: str
    again: str

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Yield an open transaction, committed at the end of the block.

        Raises:
            UserError: The file cannot be read or written, is damaged or locked, or the disk is full.
        """
        # SQLite itself refuses a file where a folder should be.
        with disk_errors(self.path, "RMTBENCH_CACHE"), suppress(FileExistsError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS)) as database, database:
                self._share(database)
                for table in self.tables:
                    database.execute(table)
                yield database
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def damaged(self, what: str) -> UserError:
        """Return the error for content that makes no sense.

        Args:
            what: What is wrong with it.
        """
        return UserError(
            f"the {self.name} is damaged ({what})",
            where=str(self.path),
            remedy=f"delete the file: it holds nothing that is not {self.again}",
        )

    def _explain(self, error: sqlite3.Error) -> UserError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return UserError(
                "the disk is full",
                where=str(self.path),
                remedy=f"free some room and give the same command again: every {self.entry} written so far is kept",
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return UserError(
                f"the {self.name} has been locked by another process for {WAIT_SECONDS:.0f} s",
                where=str(self.path),
                remedy="wait until the other process has ended, then give the same command again",
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return UserError(
                f"the {self.name} cannot be written ({error})",
                where=str(self.path),
                remedy="set RMTBENCH_CACHE to a folder that can be written",
            )
        return self.damaged(str(error))

    def _share(self, database: sqlite3.Connection) -> None:
        """Let readers and a writer go on side by side (write-ahead log); a property of the file, once it is set.

        SQLite waits for other locks by itself, but refuses at once where two connections set this on a new file.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                database.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(0.005)
            else:
                return
