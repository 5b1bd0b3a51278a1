"""Content-addressed bytes in memory."""

from __future__ import annotations

import hashlib

from fleet_core.errors import NotFound, StoreError
from fleet_core.ports.blob_store import BlobStore


class InMemoryBlobStore(BlobStore):
    """Keeps bytes as long as the object lives."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    async def put(self, data: bytes) -> str:
        """Keep bytes; returns their reference."""
        ref = _ref(data)
        self._kept[ref] = bytes(data)
        return ref

    async def get(self, ref: str) -> bytes:
        """The bytes of a reference; see the port."""
        data = self._kept.get(ref)
        if data is None:
            raise NotFound(f"there is no blob {ref!r}")
        if _ref(data) != ref:
            raise StoreError(f"blob {ref!r} is not what was put", "restore it, or run again")
        return data


def _ref(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
