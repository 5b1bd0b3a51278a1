"""What every BlobStore must do.

Subclass `BlobStoreContract` in your adapter's tests and give it a fixture `blobs`. Where what is
kept can be spoiled from outside, subclass `CorruptibleBlobStoreContract` too and give it a fixture
`corrupt`: an async function that changes the kept bytes of a reference behind the store's back.
Where blobs outlive the store, subclass `DurableBlobStoreContract` and give it a fixture `reopen`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable

import pytest

from fleet_core.errors import NotFound, StoreError
from fleet_core.ports.blob_store import BlobStore

Reopen = Callable[[], Awaitable[BlobStore]]
Corrupt = Callable[[str], Awaitable[None]]


@pytest.mark.anyio
class BlobStoreContract:
    """Content addressing."""

    @pytest.fixture
    def blobs(self) -> BlobStore:
        """The store under test."""
        raise NotImplementedError("give your subclass a fixture `blobs`")

    @pytest.mark.parametrize("size", [0, 1, 4096, 300_000, 3_000_000])
    async def test_bytes_come_back_by_their_hash(self, blobs: BlobStore, size: int) -> None:
        """Of any size."""
        data = os.urandom(size)
        ref = await blobs.put(data)
        assert ref == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert await blobs.get(ref) == data

    async def test_the_same_bytes_have_one_reference(self, blobs: BlobStore) -> None:
        """However often and however concurrently they are put."""
        data = os.urandom(64)
        refs = await asyncio.gather(*(blobs.put(data) for _ in range(10)))
        assert len(set(refs)) == 1
        assert await blobs.get(refs[0]) == data

    @pytest.mark.parametrize(
        "ref", ["sha256:" + "0" * 64, "sha256:", "", "sha256:" + "g" * 64, "md5:00", "../../x"]
    )
    async def test_unknown_references_are_not_found(self, blobs: BlobStore, ref: str) -> None:
        """Malformed ones too."""
        with pytest.raises(NotFound):
            await blobs.get(ref)


@pytest.mark.anyio
class CorruptibleBlobStoreContract:
    """Spoiled bytes are never handed out."""

    @pytest.fixture
    def corrupt(self) -> Corrupt:
        """Changes the kept bytes of a reference."""
        raise NotImplementedError("give your subclass a fixture `corrupt`")

    async def test_spoiled_bytes_are_refused(self, blobs: BlobStore, corrupt: Corrupt) -> None:
        """With StoreError, not NotFound: they were there."""
        ref = await blobs.put(b"what was put")
        await corrupt(ref)
        with pytest.raises(StoreError):
            await blobs.get(ref)


@pytest.mark.anyio
class DurableBlobStoreContract:
    """Blobs that outlive the store."""

    @pytest.fixture
    def reopen(self) -> Reopen:
        """Closes the store and opens another on the same blobs."""
        raise NotImplementedError("give your subclass a fixture `reopen`")

    async def test_blobs_outlive_the_store(self, blobs: BlobStore, reopen: Reopen) -> None:
        """And are still found by their hash."""
        data = os.urandom(1000)
        ref = await blobs.put(data)
        blobs = await reopen()
        assert await blobs.get(ref) == data
        assert await blobs.put(data) == ref
