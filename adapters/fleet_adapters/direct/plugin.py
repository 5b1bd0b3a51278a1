"""The registrations of the `direct` executor and hydrator."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName
from fleet_plugins.kit.json_bytes import dump

_STORES = (PortName.BUS, PortName.STATE, PortName.BLOBS)


@dataclass(frozen=True, slots=True)
class DirectExecutorSettings:
    """Settings of the direct executor.

    Attributes:
        claim_ttl_ms: a job claimed by a process that died can be run again after so long.
    """

    claim_ttl_ms: int = 3_000


@dataclass(frozen=True, slots=True)
class DirectHydratorSettings:
    """There is nothing to set."""


def _stores(ctx: FactoryContext) -> Stores:
    bus, state, blobs = (ctx.ports[port] for port in _STORES)
    return Stores(bus, state, blobs, ctx.clock, dump)


@asynccontextmanager
async def _executor(
    settings: DirectExecutorSettings, ctx: FactoryContext
) -> AsyncIterator[Executor]:
    owner = f"{ctx.process}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    execute = Execute(
        ctx.ports[PortName.RUNNER],
        _stores(ctx),
        ctx.ports[PortName.TOKENS],
        ExecuteSettings(owner, settings.claim_ttl_ms),
    )
    async with execute.running():
        yield execute


@asynccontextmanager
async def _hydrator(_: DirectHydratorSettings, ctx: FactoryContext) -> AsyncIterator[Hydrator]:
    models = ctx.ports[PortName.MODEL]
    hydrate = Hydrate(ctx.ports[PortName.GRAPH], models["default"], _stores(ctx))
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(hydrate.follow())
        try:
            yield hydrate
        finally:
            following.cancel()


executor = AdapterPlugin(
    Adapter(
        PortName.EXECUTOR,
        "direct",
        DirectExecutorSettings,
        _executor,
        frozenset({Capability.SHARED_PROCESS, Capability.STREAMING}),
        (*_STORES, PortName.RUNNER, PortName.TOKENS),
        summary="Execute in this process",
    )
)

hydrator = AdapterPlugin(
    Adapter(
        PortName.HYDRATOR,
        "direct",
        DirectHydratorSettings,
        _hydrator,
        frozenset({Capability.SHARED_PROCESS}),
        (*_STORES, PortName.GRAPH, PortName.MODEL),
        summary="Hydrate in this process",
    )
)
