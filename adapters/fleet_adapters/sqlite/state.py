"""Versioned documents in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from fleet_adapters.sqlite._file import File
from fleet_adapters.sqlite._mapping import to_bytes, to_text
from fleet_core.errors import Conflict
from fleet_core.ports.clock import Clock
from fleet_core.ports.state_store import Document, Put, StateStore, Write

_LIVE = "(until_ms = 0 OR until_ms > ?)"
_GET = f"SELECT version, value FROM document WHERE key = ? AND {_LIVE}"  # noqa: S608 -- constants
_SCAN = (
    f"SELECT key, version, value FROM document WHERE key >= ? AND key > ? AND key < ? AND {_LIVE}"  # noqa: S608 -- constants
    " ORDER BY key LIMIT ?"
)
_VERSION = f"SELECT version FROM document WHERE key = ? AND {_LIVE}"  # noqa: S608 -- constants
_INSERT = (
    "INSERT INTO document(key, version, until_ms, value) VALUES (?, 1, ?, ?)"
    " ON CONFLICT(key) DO UPDATE SET version = 1, until_ms = excluded.until_ms,"
    " value = excluded.value WHERE document.until_ms > 0 AND document.until_ms <= ?"
)
_UPSERT = (
    "INSERT INTO document(key, version, until_ms, value) VALUES (?, 1, ?, ?)"
    " ON CONFLICT(key) DO UPDATE SET version = CASE WHEN document.until_ms > 0"
    " AND document.until_ms <= ? THEN 1 ELSE document.version + 1 END,"
    " until_ms = excluded.until_ms, value = excluded.value RETURNING version"
)
_UPDATE = (
    "UPDATE document SET version = version + 1, until_ms = ?, value = ?"
    " WHERE key = ? AND version = ? AND (until_ms = 0 OR until_ms > ?)"
)
_DELETE = f"DELETE FROM document WHERE key = ? AND version = ? AND {_LIVE}"  # noqa: S608 -- constants
_ABOVE_ALL = b"\xff"  # no UTF-8 holds this byte


class SqliteStateStore(StateStore):
    """Several processes of one host may share the documents."""

    def __init__(self, file: File, clock: Clock) -> None:
        self.file = file
        self._writer = file.writer
        self.clock = clock

    async def get(self, keys: Sequence[str]) -> Sequence[Document | None]:
        """The documents of those keys, in that order, from one snapshot."""
        now = self.clock()

        def query(cursor: sqlite3.Cursor) -> list[Document | None]:
            found: list[Document | None] = []
            if len(keys) > 1:
                cursor.execute("BEGIN")
            for key in keys:
                row = cursor.execute(_GET, (to_bytes(key), now)).fetchone()
                found.append(Document(key, row[0], row[1]) if row else None)
            if len(keys) > 1:
                cursor.execute("COMMIT")
            return found

        return await self._writer.read(query)

    async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
        """All the writes or none; see the port."""
        now = self.clock()
        return await self._writer.submit(lambda cursor: written(cursor, writes, now))

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Document]:
        """Documents of a prefix above `after`, in key order."""
        low = to_bytes(prefix)
        bounds = (low, to_bytes(after), low + _ABOVE_ALL, self.clock(), limit)
        rows = await self._writer.read(lambda cursor: cursor.execute(_SCAN, bounds).fetchall())
        return [Document(to_text(key), version, value) for key, version, value in rows]


def written(cursor: sqlite3.Cursor, writes: Sequence[Write], now: int) -> list[int]:
    """The versions after the writes; the writer undoes them where one of them conflicts."""
    return [_write(cursor, write, now) for write in writes]


def _write(cursor: sqlite3.Cursor, write: Write, now: int) -> int:
    """One write, made only where its expectation holds; the writer undoes those before it."""
    key, expect = to_bytes(write.key), write.expect
    if isinstance(write, Put):
        until = now + write.ttl_ms if write.ttl_ms else 0
        if expect is None:
            cursor.execute(_UPSERT, (key, until, write.value, now))
            return int(cursor.fetchone()[0])
        if expect == 0:
            done = cursor.execute(_INSERT, (key, until, write.value, now)).rowcount
        else:
            done = cursor.execute(_UPDATE, (until, write.value, key, expect, now)).rowcount
        if done:
            return expect + 1
    elif expect is None:
        cursor.execute("DELETE FROM document WHERE key = ?", (key,))
        return 0
    elif expect and cursor.execute(_DELETE, (key, expect, now)).rowcount:
        return 0
    row = cursor.execute(_VERSION, (key, now)).fetchone()
    version = row[0] if row else 0
    if isinstance(write, Put) or version != expect:
        raise Conflict(
            f"document {write.key!r} has version {version}, not {expect}",
            "read it again",
            key=write.key,
        )
    return 0
