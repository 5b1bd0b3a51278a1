"""The direct executor and hydrator, opened by their factories over memory stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet_adapters.direct import plugin
from fleet_adapters.direct.plugin import DirectExecutorSettings, DirectHydratorSettings
from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_adapters.memory.tokens import InMemoryTokenStream
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_core.testing.jobs import HeldRunner
from fleet_core.testing.saying import ObedientModel
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.contracts.executor import ExecutorContract
from fleet_plugins.contracts.hydrator import HydratorContract


def clock() -> int:
    return 1_700_000_000_000


def no_secret(name: str) -> str:
    raise KeyError(name)


def context(stores: Stores, tmp_path: Path, **ports: object) -> FactoryContext:
    given = {
        PortName.BUS: stores.bus,
        PortName.STATE: stores.state,
        PortName.BLOBS: stores.blobs,
        **ports,
    }
    return FactoryContext(clock, no_secret, tmp_path, ports=given)


@pytest.fixture
def stores() -> Stores:
    return Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)


@pytest.fixture
def bus(stores: Stores) -> EventBus:
    return stores.bus


class TestDirectExecutor(ExecutorContract):
    @pytest.fixture
    def stores(self, stores: Stores) -> Stores:
        return stores

    @pytest.fixture
    async def executor(
        self, stores: Stores, runner: HeldRunner, tmp_path: Path
    ) -> AsyncIterator[Executor]:
        ports = {PortName.RUNNER: runner, PortName.TOKENS: InMemoryTokenStream(1_000)}
        ctx = context(stores, tmp_path, **ports)
        factory = plugin.executor.fleet_adapter().factory
        async with factory(DirectExecutorSettings(), ctx) as executor:
            yield executor


class TestDirectHydrator(HydratorContract):
    @pytest.fixture
    def bus(self, bus: EventBus) -> EventBus:
        return bus

    @pytest.fixture
    async def hydrator(self, stores: Stores, tmp_path: Path) -> AsyncIterator[Hydrator]:
        ports = {
            PortName.GRAPH: InMemoryContextGraph(),
            PortName.MODEL: {"default": ObedientModel()},
        }
        ctx = context(stores, tmp_path, **ports)
        factory = plugin.hydrator.fleet_adapter().factory
        async with factory(DirectHydratorSettings(), ctx) as hydrator:
            yield hydrator
