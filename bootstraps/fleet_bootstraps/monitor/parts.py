"""Which parts a fleet has and how each is asked, by its profile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from fleet_bootstraps.answering import executes_elsewhere
from fleet_bootstraps.monitor.feed import Feed
from fleet_bootstraps.monitor.overview import Asked
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.services.readiness import Probe, probes
from fleet_bootstraps.services.roles import Role
from fleet_core.errors import FleetError, ProfileError, Unavailable
from fleet_core.ports.executor import Executor
from fleet_core.ports.model import Model
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Binding

_IN_THE_RUN = "it is in the process that runs the plan"


@asynccontextmanager
async def fleet_parts(
    profile: Profile, context: FactoryContext, ports: Mapping[PortName, Any], feed: Feed
) -> AsyncIterator[list[Asked]]:
    """The parts of a fleet, with what it takes to ask them open while held.

    Args:
        profile: says which there are, and where.
        context: secrets and the clock.
        ports: bus, state, and the executor where it can be reached.
        feed: how the log is followed here.
    """
    async with AsyncExitStack() as held:
        found = [Asked("log", "log", partial(_followed, feed))]
        if executes_elsewhere(profile):
            found += await _services(profile, context, held)
        executor = ports.get(PortName.EXECUTOR)
        if executor is not None:
            found.append(Asked("runner", "runner", partial(_stats, executor)))
        else:
            found.append(Asked("runner", "runner", None, reason=_IN_THE_RUN))
        asked = probes(ports[PortName.BUS], ports[PortName.STATE])
        for name, probe in asked.items():
            bound = profile.bindings[PortName(name)]
            where = _where(bound) if isinstance(bound, Binding) else ""
            found.append(Asked("store", name, partial(_probed, probe), where))
        found += await _streams(profile, context, held)
        found += await _models(profile, context, ports, held)
        yield found


async def _followed(feed: Feed) -> Mapping[str, Any]:
    if feed.trouble:
        raise Unavailable(feed.trouble)
    if not feed.caught_up.is_set():
        raise Unavailable(f"it is being read: {feed.picture.events} events so far")
    return {"events": feed.picture.events, "unreadable": feed.picture.unreadable}


async def _stats(executor: Executor) -> Mapping[str, Any]:
    stats = await executor.stats()
    return {
        "runner": stats.runner,
        "slots": stats.slots,
        "running": stats.running,
        "waiting": stats.waiting,
        "nodes": stats.nodes,
    }


async def _probed(probe: Probe) -> Mapping[str, Any]:
    await probe()
    return {}


async def _services(profile: Profile, context: FactoryContext, held: AsyncExitStack) -> list[Asked]:
    """The services beside us, by their gRPC health."""
    # Their driver is an extra, which a FLEET_HOME of one process does without.
    from fleet_adapters.grpc.health import opened_health  # noqa: PLC0415 -- as above
    from fleet_bootstraps.stack.health import NEEDED, calling  # noqa: PLC0415 -- as above

    found = []
    for role, address in _addresses(profile).items():
        settings = calling(profile, role)
        if settings is None:
            reason = "it speaks TLS, and the profile does not say how it is called"
            found.append(Asked("service", role, None, address, reason))
            continue
        try:
            ask = await held.enter_async_context(
                opened_health(role, address, settings, context.secret)
            )
        except ProfileError as error:
            found.append(Asked("service", role, None, address, str(error)))
            continue

        async def asked(ask: Any = ask, needed: str = NEEDED[role]) -> Mapping[str, Any]:
            if not await ask():
                raise Unavailable(f"{needed} is away")
            return {}

        found.append(Asked("service", role, asked, address))
    return found


async def _streams(profile: Profile, context: FactoryContext, held: AsyncExitStack) -> list[Asked]:
    """The streams of a bus that keeps streams, with the lag of their consumers."""
    bound = profile.bindings[PortName.BUS]
    if not isinstance(bound, Binding) or bound.adapter.name != "nats":
        return []
    from fleet_adapters.nats.lag import opened_lag, stream_names  # noqa: PLC0415 -- the driver

    ask = await held.enter_async_context(opened_lag(bound.settings, context))

    async def asked(name: str) -> Mapping[str, Any]:
        figures = await ask(name)
        lags = {
            one.durable: f"{one.pending} behind, {one.unacknowledged} in hand"
            + (f", {one.redelivered} redelivered" if one.redelivered else "")
            for one in figures.consumers
        }
        return {"messages": figures.messages, "bytes": figures.bytes, **lags}

    return [Asked("stream", name, partial(asked, name)) for name in stream_names()]


def _addresses(profile: Profile) -> dict[Role, str]:
    """Where each service beside us is, as far as the profile says."""
    listened = profile.settings.service(Role.ORCHESTRATOR).server(Role.ORCHESTRATOR).listen
    found = {Role.ORCHESTRATOR: listened}
    for role, port in ((Role.EXECUTOR, PortName.EXECUTOR), (Role.CONTEXT, PortName.HYDRATOR)):
        bound = profile.bindings[port]
        settings = bound.settings if isinstance(bound, Binding) else None
        for number, address in enumerate(getattr(settings, "address", ())):
            if number == 0:
                found[role] = str(address)
    return found


async def _models(
    profile: Profile, context: FactoryContext, ports: Mapping[PortName, Any], held: AsyncExitStack
) -> list[Asked]:
    """Model bindings: those that run here, and those that have an address, are asked."""
    here: Mapping[str, Model] = ports.get(PortName.MODEL, {})
    found = []
    for name, binding in profile.models().items():
        where = str(getattr(binding.settings, "base_url", ""))
        if name in here:
            found.append(Asked("model", name, partial(_serves, here[name]), where))
        elif where:
            found.append(await _endpoint(name, binding, where, context, held))
        else:
            reason = f"{binding.adapter.name} is in the process that runs the jobs"
            found.append(Asked("model", name, None, where, reason))
    return found


async def _endpoint(
    name: str, binding: Binding, where: str, context: FactoryContext, held: AsyncExitStack
) -> Asked:
    """A model server, asked as those who run jobs ask it."""
    try:
        opening = binding.adapter.factory(binding.settings, context)
        model = await held.enter_async_context(opening)
    except FleetError as error:  # e.g. its key is not in our environment
        return Asked("model", name, None, where, f"it cannot be asked from here: {error}")
    return Asked("model", name, partial(_serves, model), where)


async def _serves(model: Model) -> Mapping[str, Any]:
    health = await model.health()
    if not health.ready:
        raise Unavailable(health.detail or "it does not say why")
    return {"says": health.detail} if health.detail else {}


def _where(binding: Binding) -> str:
    """The address of an adapter, if it has one; addresses hold no secrets."""
    for name in ("servers", "url", "path"):
        given = getattr(binding.settings, name, None)
        if given:
            return ", ".join(given) if isinstance(given, tuple | list) else str(given)
    return binding.adapter.name
