"""Versioned documents in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple

from fleet_core.errors import Conflict
from fleet_core.ports.clock import Clock
from fleet_core.ports.state_store import Document, Put, StateStore, Write

_PURGE_EVERY_MS = 60_000


class _Kept(NamedTuple):
    document: Document
    until_ms: int  # 0 for ever


class InMemoryStateStore(StateStore):
    """Keeps documents as long as the object lives; a commit is one step of the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._keys: list[str] = []
        self._purge_at = clock() + _PURGE_EVERY_MS

    async def get(self, keys: Sequence[str]) -> Sequence[Document | None]:
        """The documents of those keys, in that order."""
        now = self._clock()
        return [self._live(key, now) for key in keys]

    async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
        """All the writes or none; see the port."""
        now = self._clock()
        if now >= self._purge_at:
            self._purge(now)
        present = []
        for write in writes:
            document = self._live(write.key, now)
            version = document.version if document else 0
            if write.expect is not None and write.expect != version:
                raise Conflict(
                    f"document {write.key!r} has version {version}, not {write.expect}",
                    "read it again",
                    key=write.key,
                )
            present.append(version)
        return [
            self._put(write, version + 1, now) if isinstance(write, Put) else self._drop(write.key)
            for write, version in zip(writes, present, strict=True)
        ]

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Document]:
        """Documents of a prefix above `after`, in key order."""
        now = self._clock()
        start = (
            bisect_right(self._keys, after)
            if after >= prefix and after
            else bisect_left(self._keys, prefix)
        )
        found: list[Document] = []
        for key in self._keys[start:]:
            if len(found) >= limit or not key.startswith(prefix):
                break
            document = self._kept[key]
            if not document.until_ms or document.until_ms > now:
                found.append(document.document)
        return found

    def _live(self, key: str, now: int) -> Document | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until_ms and kept.until_ms <= now:
            self._drop(key)
            return None
        return kept.document

    def _put(self, write: Put, version: int, now: int) -> int:
        if write.key not in self._kept:
            insort(self._keys, write.key)
        until = now + write.ttl_ms if write.ttl_ms else 0
        self._kept[write.key] = _Kept(Document(write.key, version, bytes(write.value)), until)
        return version

    def _drop(self, key: str) -> int:
        if self._kept.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]
        return 0

    def _purge(self, now: int) -> None:
        self._purge_at = now + _PURGE_EVERY_MS
        self._kept = {k: kept for k, kept in self._kept.items() if not 0 < kept.until_ms <= now}
        self._keys = sorted(self._kept)
