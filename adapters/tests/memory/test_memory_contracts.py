"""The contract suites over the memory adapters, opened through their plugin objects."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.memory import plugin
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_core.ports.token_stream import TokenStream
from fleet_plugins.api import AdapterPlugin, FactoryContext
from fleet_plugins.contracts.blob_store import (
    BlobStoreContract,
    Corrupt,
    CorruptibleBlobStoreContract,
)
from fleet_plugins.contracts.context_graph import ContextGraphContract
from fleet_plugins.contracts.event_bus import EventBusContract, JoinedEventBusContract
from fleet_plugins.contracts.state_store import StateStoreContract
from fleet_plugins.contracts.token_stream import TokenStreamContract


def _no_secret(name: str) -> str:
    raise AssertionError(f"asked for secret {name}")


async def _opened(entry: AdapterPlugin, home: Path) -> AsyncIterator[Any]:
    adapter = entry.fleet_adapter()
    ctx = FactoryContext(lambda: time.time_ns() // 1_000_000, _no_secret, home)
    async with adapter.factory(adapter.settings(), ctx) as port:
        yield port


class TestInMemoryEventBus(EventBusContract, JoinedEventBusContract):
    @pytest.fixture
    async def bus(self, tmp_path: Path) -> AsyncIterator[EventBus]:
        async for port in _opened(plugin.bus, tmp_path):
            yield port

    @pytest.fixture
    async def state(self, tmp_path: Path) -> AsyncIterator[StateStore]:
        async for port in _opened(plugin.state, tmp_path):
            yield port


class TestInMemoryStateStore(StateStoreContract):
    @pytest.fixture
    async def state(self, tmp_path: Path) -> AsyncIterator[StateStore]:
        async for port in _opened(plugin.state, tmp_path):
            yield port


class TestInMemoryBlobStore(BlobStoreContract, CorruptibleBlobStoreContract):
    @pytest.fixture
    async def blobs(self, tmp_path: Path) -> AsyncIterator[BlobStore]:
        async for port in _opened(plugin.blobs, tmp_path):
            yield port

    @pytest.fixture
    def corrupt(self, blobs: Any) -> Corrupt:
        async def spoil(ref: str) -> None:
            blobs._kept[ref] = b"something else"

        return spoil


class TestInMemoryContextGraph(ContextGraphContract):
    @pytest.fixture
    async def graph(self, tmp_path: Path) -> AsyncIterator[ContextGraph]:
        async for port in _opened(plugin.graph, tmp_path):
            yield port


class TestInMemoryTokenStream(TokenStreamContract):
    @pytest.fixture
    async def tokens(self, tmp_path: Path) -> AsyncIterator[TokenStream]:
        async for port in _opened(plugin.tokens, tmp_path):
            yield port
