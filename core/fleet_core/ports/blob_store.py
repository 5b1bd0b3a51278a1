"""BlobStore: content-addressed bytes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class BlobStore(Protocol):
    """Kept at least as long as the longest stream that may refer to them (30 days)."""

    @abstractmethod
    async def put(self, data: bytes) -> str:
        """Keep bytes; returns `sha256:` and 64 hex digits. The same bytes are kept once."""

    @abstractmethod
    async def get(self, ref: str) -> bytes:
        """The bytes of a reference.

        Raises:
            NotFound: there is no such blob.
            StoreError: what is kept does not match its hash.
        """
