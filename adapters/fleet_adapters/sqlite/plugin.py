"""The `sqlite` adapters: bus, state, blobs and graph in one file under FLEET_HOME."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_plugins.api import (
    Adapter,
    AdapterPlugin,
    Capability,
    Factory,
    FactoryContext,
    PortName,
)


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    """Where the file is, and what a write that was answered survives.

    Attributes:
        path: the file, relative to FLEET_HOME; ports with the same path share it.
        durability: `process`: a kill of the process; `power`: a loss of power too, for an fsync
            of each group of writes.
    """

    path: str = "fleet.sqlite"
    durability: str = "process"


@asynccontextmanager
async def _bus(settings: SqliteSettings, ctx: FactoryContext) -> AsyncIterator[EventBus]:
    from fleet_adapters.sqlite._file import opened  # noqa: PLC0415 -- loaded when bound
    from fleet_adapters.sqlite.bus import SqliteEventBus  # noqa: PLC0415 -- loaded when bound

    path = ctx.home / settings.path
    async with opened(path, settings.durability, ctx.clock, ctx.log) as file:
        yield SqliteEventBus(file)


@asynccontextmanager
async def _state(settings: SqliteSettings, ctx: FactoryContext) -> AsyncIterator[StateStore]:
    from fleet_adapters.sqlite._file import opened  # noqa: PLC0415 -- loaded when bound
    from fleet_adapters.sqlite.state import SqliteStateStore  # noqa: PLC0415 -- loaded when bound

    path = ctx.home / settings.path
    async with opened(path, settings.durability, ctx.clock, ctx.log) as file:
        yield SqliteStateStore(file, ctx.clock)


@asynccontextmanager
async def _blobs(settings: SqliteSettings, ctx: FactoryContext) -> AsyncIterator[BlobStore]:
    from fleet_adapters.sqlite._file import opened  # noqa: PLC0415 -- loaded when bound
    from fleet_adapters.sqlite.blobs import SqliteBlobStore  # noqa: PLC0415 -- loaded when bound

    path = ctx.home / settings.path
    async with opened(path, settings.durability, ctx.clock, ctx.log) as file:
        yield SqliteBlobStore(file, ctx.clock)


@asynccontextmanager
async def _graph(settings: SqliteSettings, ctx: FactoryContext) -> AsyncIterator[ContextGraph]:
    from fleet_adapters.sqlite._file import opened  # noqa: PLC0415 -- loaded when bound
    from fleet_adapters.sqlite.graph import SqliteContextGraph  # noqa: PLC0415 -- loaded when bound

    path = ctx.home / settings.path
    async with opened(path, settings.durability, ctx.clock, ctx.log) as file:
        yield SqliteContextGraph(file)


def _plugin(port: PortName, factory: Factory, summary: str) -> AdapterPlugin:
    return AdapterPlugin(
        Adapter(
            port=port,
            name="sqlite",
            settings=SqliteSettings,
            factory=factory,
            capabilities=frozenset(
                {Capability.DURABLE, Capability.SHARED_PROCESS, Capability.SHARED_HOST}
            ),
            summary=summary,
        )
    )


bus = _plugin(PortName.BUS, _bus, "a durable event log in a file of this host")
state = _plugin(PortName.STATE, _state, "documents in a file of this host")
blobs = _plugin(PortName.BLOBS, _blobs, "blobs in a file of this host")
graph = _plugin(PortName.GRAPH, _graph, "the context graph in a file of this host")
