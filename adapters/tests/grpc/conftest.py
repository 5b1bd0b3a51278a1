"""Stores, executor and hydrator over them, both served over gRPC in this process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from fleet_adapters.grpc import plugin
from fleet_adapters.grpc.context_server import Hydration, serve_context
from fleet_adapters.grpc.executor_server import serve_executor
from fleet_adapters.grpc.pack_cache import PackCache
from fleet_adapters.grpc.serving import Served
from fleet_adapters.grpc.settings import (
    GrpcExecutorSettings,
    GrpcHydratorSettings,
    GrpcServerSettings,
)
from fleet_adapters.grpc.telemetry import RpcCall
from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_adapters.memory.tokens import InMemoryTokenStream
from fleet_core.errors import ProfileError
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.runner import Runner
from fleet_core.testing.jobs import HeldRunner
from fleet_core.testing.playing import seats
from fleet_core.testing.saying import ObedientModel
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.sessions import Sessions
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.kit.redaction import REDACTOR

ANY_PORT = GrpcServerSettings(listen="127.0.0.1:0", drain_ms=2_000)


def clock() -> int:
    return time.time_ns() // 1_000_000


COUNCILS = {role: seats(role, 1) for role in ("ARCHITECT", "DEV", "QA")}


@dataclass
class Fleet:
    """Opens executors and hydrators, servers of them and clients, over shared stores."""

    stores: Stores
    home: Path
    graph: ContextGraph = field(default_factory=InMemoryContextGraph)
    secrets: dict[str, str] = field(default_factory=dict)
    calls: list[RpcCall] = field(default_factory=list)

    def secret(self, name: str) -> str:
        if name not in self.secrets:
            raise ProfileError(f"the secret {name} is not set", field=name)
        return self.secrets[name]

    @asynccontextmanager
    async def execute(self, runner: Runner, owner: str = "test") -> AsyncIterator[Execute]:
        tokens = InMemoryTokenStream(1_000)
        execute = Execute(runner, self.stores, tokens, ExecuteSettings(owner))
        async with execute.running():
            yield execute

    @asynccontextmanager
    async def served(
        self, executor: Executor, settings: GrpcServerSettings = ANY_PORT, **more: Any
    ) -> AsyncIterator[Served]:
        async with serve_executor(
            executor,
            self.stores.blobs,
            clock,
            settings,
            self.secret,
            observe=self.calls.append,
            **more,
        ) as served:
            yield served

    def hydration(self, graph: ContextGraph | None = None) -> Hydration:
        found = graph or self.graph
        hydrate = Hydrate(found, ObedientModel(), self.stores, REDACTOR)
        state = self.stores.state
        return Hydration(
            hydrate,
            found,
            Councils(state, COUNCILS),
            Sessions(hydrate, state, self.stores.clock),
            self.stores.blobs,
            PackCache(state, found, lambda: "test"),
        )

    @asynccontextmanager
    async def context(
        self, settings: GrpcServerSettings = ANY_PORT, graph: ContextGraph | None = None
    ) -> AsyncIterator[Served]:
        async with serve_context(
            self.hydration(graph), settings, self.secret, observe=self.calls.append
        ) as served:
            yield served

    @asynccontextmanager
    async def hydrator(self, *addresses: str, **more: Any) -> AsyncIterator[Hydrator]:
        factory = plugin.hydrator.fleet_adapter().factory
        async with factory(GrpcHydratorSettings(addresses, **more), self._client()) as hydrator:
            yield hydrator

    def _client(self) -> FactoryContext:
        return FactoryContext(
            clock, self.secret, self.home, ports={PortName.BLOBS: self.stores.blobs}
        )

    @asynccontextmanager
    async def client(self, *addresses: str, **more: Any) -> AsyncIterator[Executor]:
        factory = plugin.executor.fleet_adapter().factory
        async with factory(GrpcExecutorSettings(addresses, **more), self._client()) as executor:
            yield executor


@pytest.fixture
def stores() -> Stores:
    return Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)


@pytest.fixture
def fleet(stores: Stores, tmp_path: Path) -> Fleet:
    return Fleet(stores, tmp_path)


@pytest.fixture
def runner() -> HeldRunner:
    return HeldRunner()


@pytest.fixture
async def execute(fleet: Fleet, runner: HeldRunner) -> AsyncIterator[Execute]:
    async with fleet.execute(runner) as execute:
        yield execute


@pytest.fixture
async def served(fleet: Fleet, execute: Execute) -> AsyncIterator[Served]:
    async with fleet.served(execute) as served:
        yield served


@pytest.fixture
async def channel(served: Served) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(served.address) as channel:
        yield channel
