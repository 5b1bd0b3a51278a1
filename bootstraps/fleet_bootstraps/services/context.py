"""The context service: Hydrate over the profile's graph, and its RPCs.

It records approved plans and decided deliberations as they come, whether or not anybody calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import fleet_core
from fleet_adapters.grpc.context_server import Hydration, serve_context
from fleet_adapters.grpc.pack_cache import PackCache
from fleet_adapters.grpc.serving import Served
from fleet_bootstraps.councils import configured, model_bindings
from fleet_bootstraps.fleet import opened_ports, seldom_collected
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.services import readiness
from fleet_bootstraps.services.roles import Role, ports_of, require_shared
from fleet_bootstraps.telemetry.watching import Watching
from fleet_core.ports.clock import Clock
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.sessions import Sessions
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import Capability, FactoryContext, PortName
from fleet_plugins.kit.json_bytes import dump
from fleet_plugins.kit.redaction import REDACTOR
from fleet_plugins.lifetimes import Observe as ObservePorts

_DEFAULT = "default"


@asynccontextmanager
async def context_service(
    profile: Profile,
    context: FactoryContext,
    *,
    observe_ports: ObservePorts = lambda _event, _detail: None,
    watching: Watching | None = None,
) -> AsyncIterator[Served]:
    """Serve until the context is left; events that were not recorded by then come again.

    `watching` is told how it goes; see `telemetry.watching`.

    Raises:
        ProfileError: the profile cannot be shared by services, or the address is exposed.
        FleetError: an adapter could not be opened, or the address not be bound.
    """
    require_shared(profile)
    watched = watching or Watching()
    context = replace(context, process=str(Role.CONTEXT))
    opened = _with_its_model_only(profile)
    only = tuple(ports_of(Role.CONTEXT, opened.bindings))
    async with opened_ports(
        opened, context, observe_ports, only=only, around=watched.around
    ) as ports:
        hydrate, hydration = _hydration(profile, context.clock, ports)
        async with (
            serve_context(
                hydration,
                profile.settings.service(Role.CONTEXT).server(Role.CONTEXT),
                context.secret,
                observe=watched.rpc,
            ) as served,
            asyncio.TaskGroup() as tasks,
        ):
            asked = readiness.probes(
                ports[PortName.BUS], ports[PortName.STATE], ports[PortName.GRAPH]
            )
            look = readiness.watch(asked, served.set_ready, noted=watched.readiness.tell)
            owned = [tasks.create_task(look), tasks.create_task(hydrate.follow())]
            try:
                async with watched.serving(ports):
                    with seldom_collected():
                        yield served
            finally:
                for task in owned:
                    task.cancel()


def _with_its_model_only(profile: Profile) -> Profile:
    """Tokens are counted by the default binding; the others are nobody's here."""
    models = {_DEFAULT: profile.models()[_DEFAULT]}
    return replace(profile, bindings={**profile.bindings, PortName.MODEL: models})


def _hydration(
    profile: Profile, clock: Clock, ports: Mapping[PortName, Any]
) -> tuple[Hydrate, Hydration]:
    bus, state, blobs = (ports[port] for port in (PortName.BUS, PortName.STATE, PortName.BLOBS))
    stores = Stores(bus, state, blobs, clock, dump)
    graph, model = ports[PortName.GRAPH], ports[PortName.MODEL][_DEFAULT]
    hydrate = Hydrate(graph, model, stores, REDACTOR)
    councils = Councils(state, configured(profile), model_bindings(profile))
    cache = None
    if profile.can(PortName.STATE, Capability.SHARED_NETWORK):
        made_by = f"{fleet_core.__version__} {REDACTOR.name}"
        cache = PackCache(state, graph, lambda: f"{made_by} {model.tokenizer()}")
    sessions = Sessions(hydrate, state, clock)
    return hydrate, Hydration(hydrate, graph, councils, sessions, blobs, cache)
