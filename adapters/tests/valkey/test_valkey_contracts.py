"""The contract suites over the valkey adapters, on a real server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.state_store import StateStore
from fleet_plugins.contracts.blob_store import (
    BlobStoreContract,
    Corrupt,
    CorruptibleBlobStoreContract,
    DurableBlobStoreContract,
)
from fleet_plugins.contracts.state_store import DurableStateStoreContract, StateStoreContract

Reopen = Callable[[], Awaitable[Any]]
pytestmark = pytest.mark.connected


class TestValkeyStateStore(StateStoreContract, DurableStateStoreContract):
    @pytest.fixture
    async def state(self, opener: Any) -> StateStore:
        state: StateStore = await opener.open("state")
        return state

    @pytest.fixture
    def reopen(self, opener: Any) -> Reopen:
        reopener: Reopen = opener.reopener("state")
        return reopener


class TestValkeyBlobStore(
    BlobStoreContract, CorruptibleBlobStoreContract, DurableBlobStoreContract
):
    @pytest.fixture
    async def blobs(self, opener: Any) -> BlobStore:
        blobs: BlobStore = await opener.open("blobs")
        return blobs

    @pytest.fixture
    def reopen(self, opener: Any) -> Reopen:
        reopener: Reopen = opener.reopener("blobs")
        return reopener

    @pytest.fixture
    def corrupt(self, opener: Any) -> Corrupt:
        async def corrupt(ref: str) -> None:
            async with Redis.from_url(opener.url.replace("valkey:", "redis:")) as redis:
                key = f"{opener.namespace}:blob:{ref.removeprefix('sha256:')}"
                assert await redis.setrange(key, 0, b"W")

        return corrupt
