"""The orchestrator as a service: plans and deliberations, and their RPCs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from fleet_adapters.grpc import orchestrator_server
from fleet_adapters.grpc.serving import Served
from fleet_bootstraps.fleet import opened_ports, running_orchestrator, seldom_collected
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.services import readiness
from fleet_bootstraps.services.roles import Role, ports_of, require_shared
from fleet_bootstraps.telemetry.watching import Watching
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.lifetimes import Observe as ObservePorts


@asynccontextmanager
async def orchestrator_service(
    profile: Profile,
    context: FactoryContext,
    *,
    observe_ports: ObservePorts = lambda _event, _detail: None,
    watching: Watching | None = None,
) -> AsyncIterator[Served]:
    """Serve until the context is left; what it was at goes on in another, or once it is back.

    `watching` is told how it goes; see `telemetry.watching`.

    Raises:
        ProfileError: the profile cannot be shared by services, or the address is exposed.
        FleetError: an adapter could not be opened, or the address not be bound.
    """
    require_shared(profile)
    watched = watching or Watching()
    context = replace(context, process=str(Role.ORCHESTRATOR))
    only = tuple(ports_of(Role.ORCHESTRATOR, profile.bindings))
    async with (
        opened_ports(profile, context, observe_ports, only=only, around=watched.around) as ports,
        running_orchestrator(profile, context.clock, ports) as own,
        orchestrator_server.serve_orchestrator(
            orchestrator_server.Orchestrator(
                own.plans,
                own.deliberate,
                own.councils,
                own.bus,
                own.state,
                ports[PortName.BLOBS],
                context.clock,
            ),
            profile.settings.service(Role.ORCHESTRATOR).server(Role.ORCHESTRATOR),
            context.secret,
            figures=watched.figures,
            observe=watched.rpc,
        ) as served,
        asyncio.TaskGroup() as tasks,
    ):
        asked = readiness.probes(own.bus, own.state)
        look = readiness.watch(asked, served.set_ready, noted=watched.readiness.tell)
        asking = tasks.create_task(look)
        with seldom_collected():
            try:
                async with watched.serving(ports):
                    yield served
            finally:
                asking.cancel()
