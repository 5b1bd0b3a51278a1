"""The monitor as a service: the pages over a fleet's log, and the actions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from fleet_bootstraps.answering import needed_ports
from fleet_bootstraps.fleet import opened_ports
from fleet_bootstraps.monitor.feed import Feed
from fleet_bootstraps.monitor.opening import access_of, fleet_site
from fleet_bootstraps.monitor.serving import STILL_READING, address_of, served_monitor
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.services import readiness
from fleet_bootstraps.services.roles import Role, ports_of, require_shared
from fleet_bootstraps.telemetry.watching import Watching
from fleet_core.errors import Unavailable
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.lifetimes import Observe as ObservePorts


@dataclass(frozen=True, slots=True)
class Page:
    """A monitor that serves, at `address`."""

    address: str


@asynccontextmanager
async def monitor_service(
    profile: Profile,
    context: FactoryContext,
    *,
    observe_ports: ObservePorts = lambda _event, _detail: None,
    watching: Watching | None = None,
) -> AsyncIterator[Page]:
    """Serve until the context is left.

    `watching` is told how it goes; see `telemetry.watching`.

    Raises:
        ProfileError: the profile cannot be shared by services, or the address is exposed.
        FleetError: an adapter could not be opened, or the address not be bound.
    """
    require_shared(profile)
    watched = watching or Watching()
    context = replace(context, process=str(Role.MONITOR))
    settings = profile.settings.service(Role.MONITOR)
    address_of(settings)  # refused before anything is opened
    access = access_of(settings, context)
    # An executor that runs jobs in the process that opens it is not ours to open.
    only = tuple({*ports_of(Role.MONITOR, profile.bindings), *needed_ports(profile)})
    async with (
        opened_ports(profile, context, observe_ports, only=only, around=watched.around) as ports,
        fleet_site(profile, context, ports, access) as site,
        served_monitor(site, settings, watched.readiness) as address,
        asyncio.TaskGroup() as tasks,
    ):
        looking = tasks.create_task(
            readiness.watch(
                asked_of(ports, site.feed), _told_over_http, noted=watched.readiness.tell
            )
        )
        try:
            async with watched.serving(ports):
                if not site.feed.caught_up.is_set():
                    watched.readiness.tell({"log": STILL_READING})
                yield Page(address)
        finally:
            looking.cancel()


def asked_of(ports: Mapping[PortName, Any], feed: Feed) -> Mapping[str, readiness.Probe]:
    """What must answer for the page to be true: bus, state store, and our reading of the log."""

    async def read() -> None:
        if feed.trouble or not feed.caught_up.is_set():
            raise Unavailable(feed.trouble or STILL_READING)

    return {**readiness.probes(ports[PortName.BUS], ports[PortName.STATE]), "log": read}


async def _told_over_http(ready: bool) -> None:
    """There is no gRPC health to tell; `/readyz` has the reasons."""
