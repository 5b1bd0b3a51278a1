"""A scenario's fleet in this process, as `fleet run` has it."""

from __future__ import annotations

import json
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import BlockingPortal

from fleet_adapters.scripted.server import ScriptedServer, serve_script
from fleet_bootstraps.answering import needed_ports
from fleet_bootstraps.fleet import open_fleet, opened_ports, system_clock
from fleet_bootstraps.layers import home as kept_home
from fleet_bootstraps.monitor.access import Access
from fleet_bootstraps.monitor.opening import fleet_site
from fleet_bootstraps.monitor.serving import served_monitor
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.settings import ServiceSettings
from fleet_bootstraps.telemetry.readiness import Readiness
from fleet_features.observing import executor_says
from fleet_features.place import Apart, Asked, Commanded, Door, Kept, Place, Told
from fleet_features.profile_file import environ_without_settings, write_profile
from fleet_features.profiles import ProfileSource
from fleet_features.victim import Errand, Victim
from fleet_plugins.api import FactoryContext, PortName


@dataclass
class InProcess(Place):
    """See `Place`."""

    source: ProfileSource
    loop: BlockingPortal
    _base_url: str = ""

    @property
    def portal(self) -> BlockingPortal:
        """See `Place`."""
        return self.loop

    @property
    def executes_elsewhere(self) -> bool:
        """See `Place`."""
        return False

    @asynccontextmanager
    async def model(self, told: Told) -> AsyncIterator[ScriptedServer]:
        """See `Place`."""
        async with serve_script(told.book.script()) as server:
            self._base_url = server.base_url
            yield server

    @asynccontextmanager
    async def fleet(self, told: Told) -> AsyncIterator[Door]:
        """See `Place`."""
        async with open_fleet(self._profile(told), _context(told)) as fleet:
            yield fleet

    async def end(self) -> None:
        """See `Place`; nothing of it does."""

    def apart(self, told: Told) -> Apart:
        """See `Place`."""
        errand = Errand(
            self.source.name,
            self.source.sets,
            told.terms,
            self._base_url,
            str(told.home),
            told.plan_text,
        )
        return _OneProcess(Victim(errand.command(told.folder), told.folder / "victim.log"))

    @asynccontextmanager
    async def looking(self, told: Told) -> AsyncIterator[Kept]:
        """See `Place`."""
        only = (PortName.BUS, PortName.STATE, PortName.BLOBS)
        async with opened_ports(self._profile(told), _context(told), only=only) as ports:
            yield Kept(*(ports[port] for port in only))

    async def asked(self, door: Door, deliberation_id: str) -> Asked:
        """See `Place`; its services are objects of this process."""
        state = await door.deliberate.get(deliberation_id)
        return Asked(
            state.phase.value,
            state.decision.winner if state.decision is not None else "",
            state.open_step.name if state.open_step is not None else "",
            *await executor_says(door.executor, deliberation_id),
        )

    async def pythons(self, door: Door) -> tuple[str, str]:  # noqa: ARG002 -- the place's
        """See `Place`."""
        return platform.python_version(), platform.python_version()

    @asynccontextmanager
    async def monitor(self, told: Told, door: Door) -> AsyncIterator[str]:
        """See `Place`; over the log of the same FLEET_HOME."""
        profile, context = self._profile(told), _context(told)
        async with (
            opened_ports(profile, context, only=needed_ports(profile)) as ports,
            fleet_site(profile, context, ports, Access(), executor=door.executor) as site,
            served_monitor(site, ServiceSettings(), Readiness(), listen="127.0.0.1:0") as address,
        ):
            yield f"http://{address}"

    def commanded(self, told: Told) -> Commanded:
        """See `Place`."""
        return Commanded(
            write_profile(self._profile(told), told.folder / "profile.toml"),
            {**environ_without_settings(), "FLEET_HOME": str(told.home)},
        )

    def _profile(self, told: Told) -> Profile:
        if told.live:
            kept = self.source.kept_models(kept_home(told.environ))
            return self.source.with_terms(told.terms | kept)
        if self.source.scripted:
            return self.source.with_terms(told.terms, script=_written_script(told))
        return self.source.with_terms(told.terms, base_url=self._base_url)


@dataclass(frozen=True, slots=True)
class _OneProcess(Apart):
    victim: Victim

    def kill(self) -> list[int]:
        return [self.victim.kill()]

    def close(self) -> None:
        self.victim.close()


def _context(told: Told) -> FactoryContext:
    return FactoryContext(system_clock, secrets_from(told.environ), told.home)


def _written_script(told: Told) -> Path:
    path = told.folder / "script.json"
    path.write_text(json.dumps(told.book.data()), encoding="utf-8")
    return path
