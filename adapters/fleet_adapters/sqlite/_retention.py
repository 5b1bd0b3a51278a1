"""Letting go of what has aged out: events by their stream, documents by their TTL, blobs.

The log is in order of time, near enough, and each stream remembers how far it was pruned: a round
looks at each row once for each stream, without an index on age. The newest event always stays, so
that positions never repeat.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3

from fleet_adapters.sqlite._writer import Writer
from fleet_core.domain.events import STREAMS
from fleet_core.errors import FleetError
from fleet_core.ports.clock import Clock

_EVERY_S = 60.0
_SOON_S = 0.1
_EVENTS_AT_ONCE = 2000
_DOCUMENTS_AT_ONCE = 1000
_BLOBS_AT_ONCE = 20
_DAY_MS = 24 * 3600 * 1000

BLOB_REFRESH_MS = _DAY_MS
"""A blob put again after so long counts as new."""

_BLOB_AGE_MS = max(stream.max_age_s for stream in STREAMS) * 1000 + 2 * BLOB_REFRESH_MS


def streams(cursor: sqlite3.Cursor) -> dict[str, int]:
    """Each stream's number in the file; numbers those that are new."""
    for stream in STREAMS:
        cursor.execute("INSERT OR IGNORE INTO stream(name) VALUES (?)", (stream.name,))
    return dict(cursor.execute("SELECT name, id FROM stream").fetchall())


def prune(cursor: sqlite3.Cursor, now: int) -> bool:
    """Let go of some of what has aged out; true where there is more."""
    more = False
    newest = cursor.execute("SELECT max(position) FROM log").fetchone()[0]
    for stream in STREAMS:
        if stream.max_age_s and newest is not None:
            more |= _prune_stream(cursor, stream.name, now - stream.max_age_s * 1000, newest)
    more |= _delete(cursor, "document", "until_ms > 0 AND until_ms", now, _DOCUMENTS_AT_ONCE)
    more |= _delete(cursor, "blob", "kept_ms", now - _BLOB_AGE_MS, _BLOBS_AT_ONCE)
    return more


def _prune_stream(cursor: sqlite3.Cursor, name: str, before_ms: int, newest: int) -> bool:
    number, pruned = cursor.execute(
        "SELECT id, pruned FROM stream WHERE name = ?", (name,)
    ).fetchone()
    window = cursor.execute(
        "SELECT position, kept_ms FROM log WHERE position > ? AND position < ?"
        " ORDER BY position LIMIT ?",
        (pruned, newest, _EVENTS_AT_ONCE),
    ).fetchall()
    aged = [position for position, kept_ms in window if kept_ms <= before_ms]
    if not aged:
        return False
    cursor.execute(
        "DELETE FROM log WHERE position > ? AND position <= ? AND stream = ? AND kept_ms <= ?",
        (pruned, aged[-1], number, before_ms),
    )
    cursor.execute("UPDATE stream SET pruned = ? WHERE id = ?", (aged[-1], number))
    return len(window) == _EVENTS_AT_ONCE and aged[-1] == window[-1][0]


def _delete(cursor: sqlite3.Cursor, table: str, age: str, until: int, limit: int) -> bool:
    cursor.execute(
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {age} <= ? LIMIT ?)",  # noqa: S608 -- constants
        (until, limit),
    )
    return cursor.rowcount == limit


class Retention:
    """Prunes on opening and every minute, a little at a time."""

    def __init__(self, writer: Writer, clock: Clock, log: logging.Logger) -> None:
        self._writer = writer
        self._clock = clock
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle = self._loop.call_soon(self._round)

    def close(self) -> None:
        """Prune no more."""
        self._timer.cancel()

    def _round(self) -> None:
        now = self._clock()
        pruned = self._writer.submit(lambda cursor: prune(cursor, now))
        pruned.add_done_callback(self._next)

    def _next(self, pruned: asyncio.Future[bool]) -> None:
        if self._timer.cancelled() or pruned.cancelled():
            return
        error = pruned.exception()
        if isinstance(error, FleetError):
            self._log.warning("what has aged out could not be removed: %s", error)
        elif error is not None:
            raise error
        soon = error is None and pruned.result()
        self._timer = self._loop.call_later(_SOON_S if soon else _EVERY_S, self._round)
