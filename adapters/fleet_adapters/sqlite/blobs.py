"""Content-addressed bytes in an SQLite file."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3

from fleet_adapters.sqlite._file import File
from fleet_adapters.sqlite._retention import BLOB_REFRESH_MS
from fleet_core.errors import NotFound, StoreError
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock

_PREFIX = "sha256:"
_HASHED_ASIDE = 256 * 1024  # bytes; hashing more takes longer than a thread's hand-off
_PUT = (
    "INSERT INTO blob(digest, kept_ms, data) VALUES (?, ?, ?) ON CONFLICT(digest) DO UPDATE SET"
    " kept_ms = excluded.kept_ms, data = excluded.data WHERE blob.kept_ms < ?"
)


class SqliteBlobStore(BlobStore):
    """A blob stays two days longer than the longest stream keeps what may refer to it."""

    def __init__(self, file: File, clock: Clock) -> None:
        self._path = file.path
        self._writer = file.writer
        self._clock = clock

    async def put(self, data: bytes) -> str:
        """Keep bytes; returns their reference."""
        digest, now = await _digest(data), self._clock()
        row = (digest, now, bytes(data), now - BLOB_REFRESH_MS)

        def keep(cursor: sqlite3.Cursor) -> None:
            cursor.execute(_PUT, row)

        await self._writer.submit(keep)
        return _PREFIX + digest.hex()

    async def get(self, ref: str) -> bytes:
        """The bytes of a reference; see the port."""
        digest = _parsed(ref)
        row = await self._writer.read(
            lambda cursor: cursor.execute(
                "SELECT data FROM blob WHERE digest = ?", (digest,)
            ).fetchone()
        )
        if row is None:
            raise NotFound(f"there is no blob {ref!r}")
        data = bytes(row[0])
        if await _digest(data) != digest:
            raise StoreError(
                f"{self._path}: blob {ref!r} is not what was put", "restore a copy of the file"
            )
        return data


def _parsed(ref: str) -> bytes:
    try:
        digest = bytes.fromhex(ref.removeprefix(_PREFIX))
    except ValueError:
        digest = b""
    if f"{_PREFIX}{digest.hex()}" != ref:
        raise NotFound(f"there is no blob {ref!r}", "a reference is sha256: and 64 hex digits")
    return digest


async def _digest(data: bytes) -> bytes:
    if len(data) > _HASHED_ASIDE:
        return await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
    return hashlib.sha256(data).digest()
