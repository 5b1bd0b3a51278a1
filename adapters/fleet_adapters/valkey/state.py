"""Versioned documents on a Valkey server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleet_adapters.valkey._keys import Keys, to_bytes, to_text
from fleet_adapters.valkey._link import Link
from fleet_adapters.valkey._scripts import COMMIT
from fleet_core.errors import Conflict, InputError, StoreError
from fleet_core.ports.state_store import Document, Put, StateStore, Write

_PAGE = 256  # documents looked at in one step of the server, which serves nobody else meanwhile
_LONGEST_TTL_MS = 100 * 365 * 24 * 3600 * 1000
_LARGEST = 500 * 1024 * 1024  # bytes; at 512 MiB the server closes the connection
_ABOVE_ALL = b"\xff"  # no UTF-8 holds this byte


class ValkeyStateStore(StateStore):
    """Any number of processes on any number of hosts may share the documents.

    TTLs count by the server's clock, which all of them share.
    """

    def __init__(self, link: Link, namespace: str) -> None:
        self._link = link
        keys = Keys(namespace)
        self._documents = keys.documents
        self._index = keys.index
        self._expiring = keys.expiring

    async def get(self, keys: Sequence[str]) -> Sequence[Document | None]:
        """The documents of those keys, in that order, from one snapshot."""
        return await self._kept(keys) if keys else []

    async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
        """All the writes or none, in one round trip; see the port."""
        if not writes:
            return []
        keys = [self._index, self._expiring]
        numbers = [len(self._documents)]
        values: list[bytes] = []
        for write in writes:
            keys.append(self._documents + to_bytes(write.key))
            numbers.append(-1 if write.expect is None else write.expect)
            if isinstance(write, Put):
                numbers.append(_ttl(write))
                values.append(_value(write))
            else:
                numbers.append(-1)
        answer: bytes = await self._link.run(COMMIT, keys, [" ".join(map(str, numbers)), *values])
        if not answer.startswith(b"!"):
            return [int(version) for version in answer.split()]
        _, number, version = answer.split()
        lost = writes[int(number) - 1]
        raise Conflict(
            f"document {lost.key!r} has version {int(version)}, not {lost.expect}",
            "read it again",
            key=lost.key,
        )

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Document]:
        """Documents of a prefix above `after`, in key order."""
        low, above = to_bytes(prefix), to_bytes(after)
        start = b"(" + above if above and above >= low else b"[" + low
        end = b"(" + low + _ABOVE_ALL
        found: list[Document] = []
        while (wanted := min(limit - len(found), _PAGE)) > 0:
            names = await self._link.call(
                "ZRANGEBYLEX", self._index, start, end, "LIMIT", 0, wanted
            )
            if names:
                found += [d for d in await self._kept([to_text(n) for n in names]) if d is not None]
            if len(names) < wanted:
                break
            start = b"(" + names[-1]
        return found

    async def _kept(self, keys: Sequence[str]) -> list[Document | None]:
        full = [self._documents + to_bytes(key) for key in keys]
        answer: list[Any] = await self._link.call("MGET", *full)
        return [self._document(key, raw) for key, raw in zip(keys, answer, strict=True)]

    def _document(self, key: str, raw: bytes | None) -> Document | None:
        if raw is None:
            return None
        version, found, value = raw.partition(b" ")
        if not found or not version.isdigit():
            raise StoreError(
                f"{self._link.where} holds something else under the key"
                f" {to_text(self._documents)}{key}",
                "set a namespace that nothing else uses",
            )
        return Document(key, int(version), value)


def _ttl(write: Put) -> int:
    if write.ttl_ms < 0:
        raise InputError(f"document {write.key!r} has a TTL of {write.ttl_ms} ms", field="ttl_ms")
    return min(write.ttl_ms, _LONGEST_TTL_MS)


def _value(write: Put) -> bytes:
    if len(write.value) > _LARGEST:
        raise StoreError(
            f"document {write.key!r} has {len(write.value)} bytes, which the server does not take",
            f"keep at most {_LARGEST} in one",
        )
    return write.value
