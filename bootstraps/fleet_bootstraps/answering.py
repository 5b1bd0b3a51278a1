"""The use cases for a process that asks and cancels, and leaves the work to others."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fleet_bootstraps.councils import configured, model_bindings, protocol_spec
from fleet_bootstraps.fleet import core_strategies
from fleet_bootstraps.profile import Profile
from fleet_core.domain.context import ContextPack, PackRequest
from fleet_core.domain.decision import Decision
from fleet_core.domain.job import AgentJob
from fleet_core.errors import Unavailable
from fleet_core.ports.clock import Clock
from fleet_core.ports.executor import ClusterStats, Executor, JobStatus
from fleet_core.ports.hydrator import Hydrator
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate, DeliberateSettings
from fleet_core.usecases.plans import Plans
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import Capability, PortName
from fleet_plugins.rebind import named_bindings

_log = logging.getLogger("fleet.answering")
_HERE = "this process starts no work"
_ELSEWHERE = frozenset({Capability.SHARED_HOST, Capability.SHARED_NETWORK})
_STORES = (PortName.BUS, PortName.STATE, PortName.BLOBS)


@dataclass(frozen=True, slots=True)
class Answering:
    """The use cases; `plans` consumes nothing unless it is run besides."""

    stores: Stores
    plans: Plans
    deliberate: Deliberate


def executes_elsewhere(profile: Profile) -> bool:
    """Whether the profile's executor is a service, which any process can reach."""
    bound = named_bindings(profile.bindings[PortName.EXECUTOR]).values()
    return all(one.adapter.capabilities & _ELSEWHERE for one in bound)


def needed_ports(profile: Profile) -> tuple[PortName, ...]:
    """What `answering` wants opened."""
    return (*_STORES, PortName.EXECUTOR) if executes_elsewhere(profile) else _STORES


@asynccontextmanager
async def answering(
    profile: Profile, clock: Clock, ports: Mapping[PortName, Any]
) -> AsyncIterator[Answering]:
    """Do only what is asked for directly: no result, no deadline and no event is consumed.

    An executor that can be reached is told which jobs to stop; any other hears of it from the
    saved state.

    Args:
        profile: whose councils and terms hold.
        clock: UTC milliseconds.
        ports: those of `needed_ports`, opened.
    """
    bus, state, blobs = (ports[port] for port in _STORES)
    stores = Stores(bus, state, blobs, clock)
    executor = ports.get(PortName.EXECUTOR)
    told: Executor = _Told(executor) if executor is not None else _NoExecutor()
    deliberate = Deliberate(stores, told, _NoHydrator(), core_strategies(), DeliberateSettings())
    plans = Plans(
        stores,
        deliberate,
        Councils(stores.state, configured(profile), model_bindings(profile)),
        protocol_spec(profile),
        profile.settings.terms(),
    )
    async with deliberate.answering():
        yield Answering(stores, plans, deliberate)


class _NoExecutor(Executor):
    """Runs nothing: whoever runs the jobs hears of a cancellation from the saved state."""

    async def submit(self, jobs: Sequence[AgentJob]) -> None:  # noqa: ARG002 -- the port's
        raise Unavailable(_HERE)

    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:  # noqa: ARG002 -- the port's
        return 0

    async def status(self, deliberation_id: str) -> Sequence[JobStatus]:  # noqa: ARG002 -- the port's
        return ()

    async def active(self) -> Sequence[JobStatus]:
        return ()

    async def stats(self) -> ClusterStats:
        return ClusterStats("none", 0, 0, 0, 0)


class _Told(_NoExecutor):
    """Passes cancellations on; where nobody is there to hear one, nobody runs the jobs either."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:
        try:
            return await self._executor.cancel(deliberation_id, job_ids)
        except Unavailable as error:
            _log.warning("the executor was not told to stop: %s", error)
            return 0


class _NoHydrator(Hydrator):
    """Gives no packs: a task that this process starts to cancel it needs none."""

    async def pack(self, request: PackRequest) -> ContextPack:  # noqa: ARG002 -- the port's
        raise Unavailable(_HERE)

    async def record(self, decision: Decision) -> int:  # noqa: ARG002 -- the port's
        raise Unavailable(_HERE)
