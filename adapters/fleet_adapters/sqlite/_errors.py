"""SQLite's errors in the words of the ports."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet_core.errors import FleetError, StoreError, Unavailable

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PRIMARY = 0xFF  # an extended code's lowest byte is the code it refines

_SAID = {
    sqlite3.SQLITE_FULL: ("the disk is full", "make room, then try again"),
    sqlite3.SQLITE_READONLY: ("it cannot be written", "give this user the right to write there"),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "check that its folder exists and that this user may write there",
    ),
    sqlite3.SQLITE_NOTADB: (
        "it is not an SQLite file",
        "move it away, or set another path",
    ),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", "move it away, or restore a copy"),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", "check the disk"),
    sqlite3.SQLITE_TOOBIG: ("the value is larger than SQLite keeps", "keep less than 1 GB in one"),
}


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds the lock that was asked for."""
    return code(error) in _BUSY


def code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where the driver itself complains."""
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY


def translated(error: sqlite3.Error, path: Path) -> FleetError:
    """The error as the ports name it."""
    if is_busy(error):
        return Unavailable(
            f"{path} is held by another process", "wait for it, or stop what holds the file"
        )
    said, way_out = _SAID.get(code(error), (str(error), "look at the file with the sqlite3 shell"))
    return StoreError(f"{path}: {said}", way_out)


@contextmanager
def translate(path: Path) -> Iterator[None]:
    """Raise what SQLite raises as the ports name it."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error
