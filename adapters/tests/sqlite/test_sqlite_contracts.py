"""The contract suites over the sqlite adapters; bus and state also with power durability."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_plugins.contracts.blob_store import (
    BlobStoreContract,
    Corrupt,
    CorruptibleBlobStoreContract,
    DurableBlobStoreContract,
)
from fleet_plugins.contracts.context_graph import (
    ContextGraphContract,
    DurableContextGraphContract,
    SharedContextGraphContract,
)
from fleet_plugins.contracts.event_bus import (
    DurableEventBusContract,
    EventBusContract,
    JoinedEventBusContract,
)
from fleet_plugins.contracts.state_store import DurableStateStoreContract, StateStoreContract

Reopen = Callable[[], Awaitable[Any]]


class TestSqliteEventBus(EventBusContract, DurableEventBusContract, JoinedEventBusContract):
    @pytest.fixture
    async def bus(self, opener: Any) -> EventBus:
        bus: EventBus = await opener.open("bus")
        return bus

    @pytest.fixture
    async def state(self, opener: Any) -> StateStore:
        state: StateStore = await opener.open("state")
        return state

    @pytest.fixture
    def reopen(self, opener: Any) -> Reopen:
        reopener: Reopen = opener.reopener("bus")
        return reopener


class TestSqliteEventBusOnPower(TestSqliteEventBus):
    @pytest.fixture
    def durability(self) -> str:
        return "power"


class TestSqliteStateStore(StateStoreContract, DurableStateStoreContract):
    @pytest.fixture
    async def state(self, opener: Any) -> StateStore:
        state: StateStore = await opener.open("state")
        return state

    @pytest.fixture
    def reopen(self, opener: Any) -> Reopen:
        reopener: Reopen = opener.reopener("state")
        return reopener


class TestSqliteStateStoreOnPower(TestSqliteStateStore):
    @pytest.fixture
    def durability(self) -> str:
        return "power"


class TestSqliteBlobStore(
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
        def spoil() -> None:
            connection = sqlite3.connect(opener.home / "fleet.sqlite")
            with connection:
                connection.execute("UPDATE blob SET data = x'00'")
            connection.close()

        async def corrupt(_: str) -> None:
            await asyncio.to_thread(spoil)

        return corrupt


class TestSqliteContextGraph(
    ContextGraphContract, DurableContextGraphContract, SharedContextGraphContract
):
    @pytest.fixture
    async def graph(self, opener: Any) -> ContextGraph:
        graph: ContextGraph = await opener.open("graph")
        return graph

    @pytest.fixture
    def reopen(self, opener: Any) -> Reopen:
        reopener: Reopen = opener.reopener("graph")
        return reopener

    @pytest.fixture
    async def another(self, opener: Any) -> ContextGraph:
        graph: ContextGraph = await opener.open("graph")
        return graph
