"""Opens what the monitor answers from: a fleet, a FLEET_HOME, or a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fleet_bootstraps.answering import answering, executes_elsewhere
from fleet_bootstraps.councils import configured, model_bindings
from fleet_bootstraps.dead_letters import DeadLetters
from fleet_bootstraps.fleet import core_strategies, known_protocols, strategies
from fleet_bootstraps.monitor.access import Access
from fleet_bootstraps.monitor.acting import Acting
from fleet_bootstraps.monitor.drawing import drawing
from fleet_bootstraps.monitor.feed import Feed
from fleet_bootstraps.monitor.history import Histories
from fleet_bootstraps.monitor.log import BusLog, FileLog
from fleet_bootstraps.monitor.overview import Overview
from fleet_bootstraps.monitor.parts import fleet_parts
from fleet_bootstraps.monitor.picture import Picture
from fleet_bootstraps.monitor.site import Site
from fleet_bootstraps.monitor.speaking import Speaking
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.settings import ServiceSettings
from fleet_core.ports.clock import Clock
from fleet_core.ports.executor import Executor
from fleet_core.usecases.councils import Councils
from fleet_plugins.api import FactoryContext, PortName

_FILE = "this is a replay of a file: nothing can be done to what is past"
_ALONE = "it begins once a process works in this FLEET_HOME: fleet run"


def access_of(settings: ServiceSettings, context: FactoryContext) -> Access:
    """Who may look and act, by the settings of the service."""
    return Access(
        context.secret(settings.token) if settings.token else "",
        context.secret(settings.admin_token) if settings.admin_token else "",
        secure=bool(settings.tls_cert and settings.tls_key),
        anywhere=settings.insecure,
    )


@asynccontextmanager
async def fleet_site(
    profile: Profile,
    context: FactoryContext,
    ports: Mapping[PortName, Any],
    access: Access,
    *,
    executor: Executor | None = None,
) -> AsyncIterator[Site]:
    """The site of a fleet, over opened ports; its log is followed while held.

    Args:
        profile: the fleet's own.
        context: the clock, secrets, FLEET_HOME.
        ports: bus, state, blobs; tokens and executor where others share them.
        access: who may look and act.
        executor: where jobs run in this process, what runs them.
    """
    bus, state = ports[PortName.BUS], ports[PortName.STATE]
    log = BusLog(bus, ports[PortName.BLOBS])
    councils = Councils(state, configured(profile), model_bindings(profile))
    elsewhere = executes_elsewhere(profile)
    runs = executor or (ports.get(PortName.EXECUTOR) if elsewhere else None)
    known = strategies(profile, ports)
    letters = DeadLetters(bus, state, context.clock)

    async def open_letters() -> int:
        return sum(not letter.settled for letter in await letters.all())

    feed = Feed(log, Picture(known), open_letters)
    async with (
        answering(profile, context.clock, ports) as own,
        fleet_parts(profile, context, ports, feed) as parts,
        drawing(profile, context, ports) as draw,
    ):
        acting = Acting(
            own,
            letters,
            councils.all,
            known_protocols(profile),
            runs,
            "" if runs is not None else _ALONE,
        )
        async with _followed(feed):
            yield Site(
                source="fleet" if elsewhere else "home",
                name=profile.name if elsewhere else "/".join(context.home.parts[-2:]),
                log=log,
                feed=feed,
                histories=Histories(log, known),
                speaking=Speaking(ports.get(PortName.TOKENS), _tokens_of(feed)),
                overview=Overview(parts, context.clock),
                councils=councils.all,
                saved=own.deliberate.get,
                draw=draw,
                acting=acting,
                why_not="",
                ranked=PortName.RANKER not in profile.bindings,
                access=access,
                clock=context.clock,
            )


@asynccontextmanager
async def file_site(path: Path, log: FileLog, access: Access, clock: Clock) -> AsyncIterator[Site]:
    """The site of an exported log."""
    known = core_strategies()
    feed = Feed(log, Picture(known))
    async with _followed(feed):
        yield Site(
            source="file",
            name=path.name,
            log=log,
            feed=feed,
            histories=Histories(log, known),
            speaking=Speaking(None, _tokens_of(feed)),
            overview=Overview((), clock),
            councils=None,
            saved=None,
            draw=None,
            acting=None,
            why_not=_FILE,
            ranked=True,
            access=access,
            clock=clock,
        )


@asynccontextmanager
async def _followed(feed: Feed) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(feed.run())
        try:
            yield
        finally:
            following.cancel()


def _tokens_of(feed: Feed) -> Callable[[str], str]:
    """The task token of a deliberation, as its words are addressed."""

    def token_of(deliberation_id: str) -> str:
        tracked = feed.picture.deliberations.get(deliberation_id)
        return tracked.state.token if tracked is not None and tracked.state is not None else ""

    return token_of
