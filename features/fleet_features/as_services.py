"""A scenario's fleet as services: those of its own, and the session's executor and servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from fleet_adapters.scripted.server import ScriptedServer
from fleet_bootstraps.answering import answering
from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.plans import parse_plan
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.secrets import secrets_from
from fleet_core.ports.clock import Clock
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.executor import Executor
from fleet_core.ports.state_store import StateStore
from fleet_core.usecases.deliberate import Deliberate
from fleet_core.usecases.plans import Plans
from fleet_features.deploying.deployment import Deployment, deployed
from fleet_features.deploying.process import ServiceProcess, served
from fleet_features.deploying.rpc import deliberation_told, pythons
from fleet_features.interpreters import orchestrator_python
from fleet_features.observing import executor_says
from fleet_features.place import Apart, Asked, Commanded, Door, Kept, Place, Told
from fleet_features.profile_file import write_profile
from fleet_features.profiles import ROLES, ProfileSource
from fleet_plugins.api import FactoryContext, PortName

_SEEN = (PortName.BUS, PortName.STATE, PortName.BLOBS, PortName.EXECUTOR, PortName.GRAPH)


class Services:
    """The deployment of a session; nothing is started before a scenario needs it."""

    def __init__(self, source: ProfileSource, folder: Path) -> None:
        self.source = source
        self._folder = folder
        self._closing = ExitStack()
        self._deployment: Deployment | None = None

    def __enter__(self) -> Self:
        """Start the loop that everything is used in."""
        self.portal: BlockingPortal = self._closing.enter_context(start_blocking_portal())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Stop everything."""
        return self._closing.__exit__(kind, error, trace)

    @property
    def deployment(self) -> Deployment:
        """The deployment, started at first use; not to be asked for in the loop."""
        if self._deployment is None:
            opening: AbstractContextManager[Deployment] = self.portal.wrap_async_context_manager(
                deployed(self.source, self._folder)
            )
            self._deployment = self._closing.enter_context(opening)
        return self._deployment

    def place(self) -> AsServices:
        """The place of one scenario."""
        return AsServices(self)


@dataclass(frozen=True, slots=True)
class Remote:
    """A fleet that runs elsewhere, seen through what it shares with this process."""

    clock: Clock
    plans: Plans
    deliberate: Deliberate
    executor: Executor
    bus: EventBus
    state: StateStore
    graph: ContextGraph
    orchestrator: ServiceProcess
    service: ServiceProcess


@dataclass
class AsServices(Place):
    """See `Place`; one for each scenario."""

    session: Services
    _begun: bool = field(default=False, init=False)

    @property
    def portal(self) -> BlockingPortal:
        """See `Place`."""
        return self.session.portal

    @property
    def executes_elsewhere(self) -> bool:
        """See `Place`."""
        return True

    def model(self, told: Told) -> AbstractAsyncContextManager[ScriptedServer]:
        """See `Place`; the session's server, with this scenario's script and counts."""
        return self._model(self.session.deployment, told)

    @asynccontextmanager
    async def _model(self, deployment: Deployment, told: Told) -> AsyncIterator[ScriptedServer]:
        await self._begin(deployment)
        deployment.model.begin_script(told.book.script())
        yield deployment.model.server

    def fleet(self, told: Told) -> AbstractAsyncContextManager[Door]:
        """See `Place`; executor and context service stay, see `end`."""
        return self._fleet(self.session.deployment, told)

    @asynccontextmanager
    async def _fleet(self, deployment: Deployment, told: Told) -> AsyncIterator[Remote]:
        await self._begin(deployment)
        if told.live:
            await deployment.serve_own_model()
        executor = await deployment.executor(live=told.live)
        await deployment.context(told.home, told.terms, live=told.live)
        profile = self._profile(deployment, told)
        async with opened_ports(profile, _context(told, deployment), only=_SEEN) as ports:
            file = write_profile(profile, told.folder / "profile.toml")
            orchestrator = await deployment.orchestrator(file, told.home)
            try:
                async with answering(profile, system_clock, ports) as own:
                    yield Remote(
                        system_clock,
                        own.plans,
                        own.deliberate,
                        ports[PortName.EXECUTOR],
                        ports[PortName.BUS],
                        ports[PortName.STATE],
                        ports[PortName.GRAPH],
                        orchestrator,
                        executor,
                    )
            finally:
                if orchestrator.runs:
                    await orchestrator.stop()

    async def end(self) -> None:
        """See `Place`."""
        await self.session.deployment.stop_executor()
        await self.session.deployment.stop_context()

    def apart(self, told: Told) -> Apart:
        """See `Place`."""
        return _Apart(self, told)

    def looking(self, told: Told) -> AbstractAsyncContextManager[Kept]:
        """See `Place`."""
        return self._looking(self.session.deployment, told)

    @asynccontextmanager
    async def _looking(self, deployment: Deployment, told: Told) -> AsyncIterator[Kept]:
        await self._begin(deployment)
        profile, context = self._profile(deployment, told), _context(told, deployment)
        only = (PortName.BUS, PortName.STATE, PortName.BLOBS)
        async with opened_ports(profile, context, only=only) as ports:
            yield Kept(*(ports[port] for port in only))

    async def asked(self, door: Door, deliberation_id: str) -> Asked:
        """See `Place`; over the orchestrator's RPCs, and the executor's port from outside."""
        assert isinstance(door, Remote)
        said = await deliberation_told(door.orchestrator.address, deliberation_id)
        return Asked(
            said.phase,
            said.winner,
            said.step,
            *await executor_says(door.executor, deliberation_id),
        )

    async def pythons(self, door: Door) -> tuple[str, str]:
        """See `Place`."""
        assert isinstance(door, Remote)
        return await pythons(door.orchestrator.address, door.service.address)

    @asynccontextmanager
    async def monitor(self, told: Told, door: Door) -> AsyncIterator[str]:
        """See `Place`; a service of its own."""
        assert isinstance(door, Remote)
        deployment = self.session.deployment
        profile = deployment.profile(
            told.terms, live=told.live, orchestrator=door.orchestrator.address
        )
        running = await served(
            "monitor",
            write_profile(profile, told.folder / "monitor.toml"),
            python=orchestrator_python(),
            home=told.home,
            environ=deployment.environ,
            log=told.folder / "monitor.log",
        )
        try:
            yield f"http://{running.address}"
        finally:
            await running.stop()

    def commanded(self, told: Told) -> Commanded:
        """See `Place`; the command is the orchestrator, and the only one."""
        deployment = self.session.deployment
        self.portal.call(self._begin, deployment)
        self.portal.call(deployment.executor)
        self.portal.call(deployment.context, told.home, told.terms)
        profile = self._profile(deployment, told)
        environ = {**deployment.environ, "FLEET_HOME": str(told.home)}
        return Commanded(write_profile(profile, told.folder / "profile.toml"), environ)

    async def _begin(self, deployment: Deployment) -> None:
        if not self._begun:
            await deployment.begin()
            self._begun = True

    def _profile(self, deployment: Deployment, told: Told) -> Profile:
        return deployment.profile(told.terms, live=told.live)


class _Apart(Apart):
    """The services themselves, with the plan handed to them."""

    def __init__(self, place: AsServices, told: Told) -> None:
        self._deployment = place.session.deployment
        self._portal = place.portal
        self._closing = ExitStack()
        fleet: AbstractContextManager[Remote] = self._portal.wrap_async_context_manager(
            place._fleet(self._deployment, told)  # noqa: SLF001 -- of this module
        )
        self._remote = self._closing.enter_context(fleet)
        plan = parse_plan(told.plan_text.encode(), "the scenario's plan", ROLES)
        self._portal.call(self._remote.plans.approve, plan)

    def kill(self) -> list[int]:
        """All services, at once."""
        codes = self._portal.call(self._kill)
        self.close()
        return codes

    async def _kill(self) -> list[int]:
        orchestrator, others = await asyncio.gather(
            self._remote.orchestrator.kill(), self._deployment.kill_services()
        )
        return [orchestrator, *others]

    def close(self) -> None:
        """Leave what this process sees of them."""
        self._closing.close()


def _context(told: Told, deployment: Deployment) -> FactoryContext:
    secret = secrets_from({**told.environ, **deployment.environ})
    return FactoryContext(system_clock, secret, told.home, process="features")
