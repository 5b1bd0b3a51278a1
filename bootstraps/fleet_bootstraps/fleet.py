"""Opens a profile: its adapters in the order of their needs, then the use cases over them."""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fleet_bootstraps.container import FleetContainer, OrchestratorContainer
from fleet_bootstraps.councils import configured, model_bindings, protocol_spec
from fleet_bootstraps.injection import providers
from fleet_bootstraps.profile import Profile
from fleet_core.domain.protocols.peer_review import PeerReview
from fleet_core.domain.protocols.vote import Vote
from fleet_core.domain.ranking import rank
from fleet_core.domain.reducer import Strategy
from fleet_core.errors import ProfileError, StoreError
from fleet_core.ports.check import Check
from fleet_core.ports.clock import Clock
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.model import Model
from fleet_core.ports.protocol import DeliberationProtocol
from fleet_core.ports.state_store import StateStore
from fleet_core.ports.token_stream import TokenStream
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate, DeliberateSettings
from fleet_core.usecases.plans import Plans
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.lifetimes import Around, Observe, open_ports
from fleet_plugins.registry import Binding

_CORE: dict[str, DeliberationProtocol] = {"peer-review": PeerReview(), "vote": Vote()}
_YOUNG = 50_000  # objects made and not freed, before the youngest are looked through


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """Plans and deliberations that run in this process."""

    profile: Profile
    clock: Clock
    plans: Plans
    deliberate: Deliberate
    councils: Councils
    executor: Executor
    hydrator: Hydrator
    bus: EventBus
    tokens: TokenStream
    state: StateStore


@dataclass(frozen=True, slots=True)
class Fleet(Orchestrator):
    """A fleet that runs in this process."""

    graph: ContextGraph
    models: Mapping[str, Model]
    checks: Mapping[str, Check]


def system_clock() -> int:
    """Now, in UTC milliseconds."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open_fleet(
    profile: Profile,
    context: FactoryContext,
    observe: Observe = lambda _event, _detail: None,
) -> AsyncIterator[Fleet]:
    """Open everything a profile binds and run the use cases; unfinished work goes on at once.

    Args:
        profile: from `profile.bound`.
        context: clock, secrets and FLEET_HOME; its folder is made if it is missing.
        observe: lifecycle observer, as `Registry.observe`.

    Raises:
        FleetError: an adapter could not be opened; names it.
    """
    async with (
        opened_ports(profile, context, observe) as ports,
        running_fleet(profile, context.clock, ports) as fleet,
    ):
        with seldom_collected():
            yield fleet


@asynccontextmanager
async def running_fleet(
    profile: Profile, clock: Clock, ports: Mapping[PortName, Any]
) -> AsyncIterator[Fleet]:
    """The use cases over ports that are open; unfinished work goes on at once."""
    container = built(profile, clock, ports, FleetContainer)
    async with _running(container):
        one = _orchestrator(profile, container)
        yield Fleet(
            one.profile,
            one.clock,
            one.plans,
            one.deliberate,
            one.councils,
            one.executor,
            one.hydrator,
            one.bus,
            one.tokens,
            one.state,
            container.graph(),
            container.model(),
            container.check(),
        )


@asynccontextmanager
async def running_orchestrator(
    profile: Profile, clock: Clock, ports: Mapping[PortName, Any]
) -> AsyncIterator[Orchestrator]:
    """The orchestrating use cases alone, over the ports that they need."""
    container = built(profile, clock, ports, OrchestratorContainer)
    async with _running(container):
        yield _orchestrator(profile, container)


@asynccontextmanager
async def _running(container: OrchestratorContainer) -> AsyncIterator[None]:
    async with container.deliberate().running(), container.plans().running():
        yield


def _orchestrator(profile: Profile, container: OrchestratorContainer) -> Orchestrator:
    return Orchestrator(
        profile,
        container.clock(),
        container.plans(),
        container.deliberate(),
        container.councils(),
        container.executor(),
        container.hydrator(),
        container.bus(),
        container.tokens(),
        container.state(),
    )


@asynccontextmanager
async def opened_ports(
    profile: Profile,
    context: FactoryContext,
    observe: Observe = lambda _event, _detail: None,
    *,
    only: tuple[PortName, ...] = (),
    around: Around = lambda _port, value: value,
) -> AsyncIterator[Mapping[PortName, Any]]:
    """The ports of a profile, all or `only` some (what those need must be among them).

    `around` is put around each of them, see `fleet_plugins.lifetimes.open_ports`.
    """
    try:
        context.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{context.home} cannot be made: {error.strerror}", "name another folder by FLEET_HOME"
        ) from None
    async with open_ports(
        profile.bindings, context, observe, only=only or None, around=around
    ) as ports:
        yield ports


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for cycles less often, and never in what stands since the start, while this is held.

    States, jobs and events are trees that reference counting frees; at Python's own thresholds
    looking through them for cycles takes 5 to 8 percent of a deliberation.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


C = TypeVar("C", bound=OrchestratorContainer)


def built(profile: Profile, clock: Clock, ports: Mapping[PortName, Any], kind: type[C]) -> C:
    """A container of that kind over opened ports; ports that it does not know are left out."""
    own = profile.settings.deliberation
    given = {str(port): _object(v) for port, v in ports.items() if str(port) in kind.providers}
    container = kind(
        clock=_object(clock),
        strategies=_object(strategies(profile, ports)),
        configured=_object(configured(profile)),
        bindings=_object(model_bindings(profile)),
        protocol=_object(protocol_spec(profile)),
        terms=_object(profile.settings.terms()),
        driving=_object(DeliberateSettings(own.sweep_ms, own.again_ms)),
        **given,
    )
    container.check_dependencies()
    return container


def strategies(profile: Profile, ports: Mapping[PortName, Any]) -> dict[str, Strategy]:
    """Protocols by name, the core's and the profile's plugin, each with the profile's ranker.

    Raises:
        ProfileError: `deliberation.protocol` is none of them.
    """
    ranker = ports.get(PortName.RANKER)
    order = rank if ranker is None else ranker.rank
    found: dict[str, Callable[..., Any]] = {name: p.next_step for name, p in _CORE.items()}
    if PortName.PROTOCOL in ports:
        bound = profile.bindings[PortName.PROTOCOL]
        assert isinstance(bound, Binding)
        found[bound.adapter.name] = ports[PortName.PROTOCOL].next_step
    require_protocol(profile)
    return {name: Strategy(next_step, order) for name, next_step in found.items()}


def core_strategies() -> dict[str, Strategy]:
    """The core's own protocols with the core's ranking."""
    return {name: Strategy(p.next_step, rank) for name, p in _CORE.items()}


def known_protocols(profile: Profile) -> tuple[str, ...]:
    """The names of the protocols that a profile's deliberations can follow."""
    own = profile.bindings.get(PortName.PROTOCOL)
    return tuple(sorted({*_CORE, own.adapter.name} if isinstance(own, Binding) else _CORE))


def require_protocol(profile: Profile) -> None:
    """Refuse a profile whose protocol does not exist; opens nothing.

    Raises:
        ProfileError: names where it was given.
    """
    wanted, known = profile.settings.deliberation.protocol, known_protocols(profile)
    if wanted not in known:
        given = profile.tables.get("deliberation", {}).get("protocol")
        raise ProfileError(
            f"there is no protocol {wanted!r}",
            f"known: {', '.join(known)}; a plugin's is bound by [protocol] use = ...",
            source=given.source if given is not None else profile.name,
            field="deliberation.protocol",
        )


def _object(value: Any) -> providers.Object[Any]:
    """A ready object; a plain function given to a container would be called instead."""
    return providers.Object(value)
