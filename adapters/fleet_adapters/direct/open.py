"""Runs the use cases Execute and Hydrate in this process for as long as they are open."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleet_adapters.direct.plugin import DirectExecutorSettings
from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.kit.json_bytes import dump
from fleet_plugins.kit.redaction import REDACTOR


@asynccontextmanager
async def open_executor(
    settings: DirectExecutorSettings, ctx: FactoryContext, *, keeps_jobs: bool = False
) -> AsyncIterator[Executor]:
    """Execute over the context's ports; claims are made in a name that no other process has.

    Args:
        settings: how long claims last.
        ctx: bus, state, blobs, runner and tokens.
        keeps_jobs: whether what it accepted outlives it (`ExecuteSettings.keeps_jobs`).
    """
    owner = f"{ctx.process}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    execute = Execute(
        ctx.ports[PortName.RUNNER],
        _stores(ctx),
        ctx.ports[PortName.TOKENS],
        ExecuteSettings(owner, settings.claim_ttl_ms, keeps_jobs),
    )
    async with execute.running():
        yield execute


@asynccontextmanager
async def open_hydrator(ctx: FactoryContext) -> AsyncIterator[Hydrator]:
    """Hydrate over the context's ports; it records plans and decisions as they come."""
    models = ctx.ports[PortName.MODEL]
    hydrate = Hydrate(ctx.ports[PortName.GRAPH], models["default"], _stores(ctx), REDACTOR)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(hydrate.follow())
        try:
            yield hydrate
        finally:
            following.cancel()


def _stores(ctx: FactoryContext) -> Stores:
    bus, state, blobs = (ctx.ports[port] for port in (PortName.BUS, PortName.STATE, PortName.BLOBS))
    return Stores(bus, state, blobs, ctx.clock, dump)
