"""The executor as a service: Execute over the profile's runner, for callers over gRPC.

Where the profile's executor is a queue in NATS, jobs are taken from there too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from fleet_adapters.direct.open import open_executor
from fleet_adapters.direct.plugin import DirectExecutorSettings
from fleet_adapters.grpc.executor_server import serve_executor
from fleet_adapters.grpc.serving import Served
from fleet_adapters.nats.settings import NatsExecutorSettings
from fleet_bootstraps.fleet import opened_ports
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.services import readiness
from fleet_bootstraps.services.roles import Role, ports_of, require_shared
from fleet_bootstraps.telemetry.watching import Watching
from fleet_core.ports.executor import Executor
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.lifetimes import Observe as ObservePorts
from fleet_plugins.registry import Binding


@asynccontextmanager
async def executor_service(
    profile: Profile,
    context: FactoryContext,
    *,
    observe_ports: ObservePorts = lambda _event, _detail: None,
    watching: Watching | None = None,
) -> AsyncIterator[Served]:
    """Serve until the context is left; then jobs under way are given back, for others to take.

    `watching` is told how it goes; see `telemetry.watching`.

    Raises:
        ProfileError: the profile cannot be shared by services, or the address is exposed.
        FleetError: an adapter could not be opened, or the address not be bound.
    """
    require_shared(profile)
    watched = watching or Watching()
    context = replace(context, process=str(Role.EXECUTOR))
    settings = profile.settings.service(Role.EXECUTOR)
    only = tuple(ports_of(Role.EXECUTOR, profile.bindings))
    async with opened_ports(
        profile, context, observe_ports, only=only, around=watched.around
    ) as ports:
        given = replace(context, ports={str(port): value for port, value in ports.items()})
        async with (
            open_executor(
                DirectExecutorSettings(settings.claim_ttl_ms), given, keeps_jobs=True
            ) as execute,
            serve_executor(
                execute,
                ports[PortName.BLOBS],
                context.clock,
                settings.server(Role.EXECUTOR),
                context.secret,
                max_jobs=settings.max_jobs,
                observe=watched.rpc,
            ) as served,
            _queue_served(profile, execute, given),
            asyncio.TaskGroup() as tasks,
        ):
            asked = readiness.probes(ports[PortName.BUS], ports[PortName.STATE])
            look = readiness.watch(asked, served.set_ready, noted=watched.readiness.tell)
            asking = tasks.create_task(look)
            try:
                async with watched.serving(ports):
                    yield served
            finally:
                asking.cancel()


@asynccontextmanager
async def _queue_served(
    profile: Profile, execute: Executor, context: FactoryContext
) -> AsyncIterator[None]:
    """Take jobs from the queue, where the profile has one."""
    bound = profile.bindings[PortName.EXECUTOR]
    if not isinstance(bound, Binding) or not isinstance(bound.settings, NatsExecutorSettings):
        yield
        return
    from fleet_adapters.nats import executor_server  # noqa: PLC0415 -- its driver is an extra

    log = logging.getLogger("fleet.executor.nats")
    blobs = context.ports[PortName.BLOBS]
    async with executor_server.serve_executor(
        execute, blobs, bound.settings, replace(context, log=log)
    ):
        yield
