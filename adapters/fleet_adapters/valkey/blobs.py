"""Content-addressed bytes on a Valkey server."""

from __future__ import annotations

import asyncio
import hashlib
import re

from fleet_adapters.valkey._keys import Keys
from fleet_adapters.valkey._link import Link
from fleet_core.domain.events import STREAMS
from fleet_core.errors import NotFound, StoreError
from fleet_core.ports.blob_store import BlobStore

_PREFIX = "sha256:"
_REF = re.compile(_PREFIX + "[0-9a-f]{64}")
_HASHED_ASIDE = 256 * 1024  # bytes; hashing more takes longer than a thread's hand-off
_LARGEST = 500 * 1024 * 1024  # bytes; at 512 MiB the server closes the connection
_DAY_S = 24 * 3600
KEPT_S = max(stream.max_age_s for stream in STREAMS) + 2 * _DAY_S
"""How long a blob is kept after it was last put."""


class ValkeyBlobStore(BlobStore):
    """A blob stays two days longer than the longest stream keeps what may refer to it."""

    def __init__(self, link: Link, namespace: str) -> None:
        self._link = link
        self._blobs = Keys(namespace).blobs

    async def put(self, data: bytes) -> str:
        """Keep bytes, anew; returns their reference."""
        if len(data) > _LARGEST:
            raise StoreError(
                f"a blob of {len(data)} bytes is more than the server takes",
                f"keep at most {_LARGEST} in one",
            )
        digest = await _digest(data)
        await self._link.call("SET", self._blobs + digest.encode(), data, "EX", KEPT_S)
        return _PREFIX + digest

    async def get(self, ref: str) -> bytes:
        """The bytes of a reference; see the port."""
        if not _REF.fullmatch(ref):
            raise NotFound(f"there is no blob {ref!r}", "a reference is sha256: and 64 hex digits")
        digest = ref.removeprefix(_PREFIX)
        data: bytes | None = await self._link.call("GET", self._blobs + digest.encode())
        if data is None:
            raise NotFound(f"there is no blob {ref!r}")
        if await _digest(data) != digest:
            raise StoreError(
                f"{self._link.where}: blob {ref!r} is not what was put", "restore a copy of it"
            )
        return data


async def _digest(data: bytes) -> str:
    if len(data) > _HASHED_ASIDE:
        return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
    return hashlib.sha256(data).hexdigest()
