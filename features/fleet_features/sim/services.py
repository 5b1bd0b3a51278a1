"""The services of a fleet, each in a lane of its own: they live, are killed, and come again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeVar

from fleet_core.domain.context import ContextPack, PackRequest
from fleet_core.domain.decision import Decision
from fleet_core.domain.job import AgentJob
from fleet_core.errors import Unavailable
from fleet_core.ports.executor import ClusterStats, Executor, JobStatus
from fleet_core.ports.hydrator import Hydrator
from fleet_core.testing.process import Silence
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.plans import Plans
from fleet_core.usecases.stores import Stores
from fleet_features.sim.auditor import Auditor
from fleet_features.sim.hub import Hub, WiredBus
from fleet_features.sim.loop import Lane
from fleet_features.sim.ports import WiredBlobs, WiredGraph, WiredState
from fleet_features.sim.protocols import STRATEGIES
from fleet_features.sim.scenario import Scenario
from fleet_features.sim.trace import short
from fleet_features.sim.wire import Wire
from fleet_features.sim.working import DrawnModel, DrawnRunner

T = TypeVar("T")
EPOCH_MS = 1_700_000_000_000


@dataclass(slots=True)
class Fleet:
    """What the services share: the servers, the wire to them, and each other's addresses."""

    wire: Wire
    hub: Hub
    auditor: Auditor
    scenario: Scenario
    services: list[Service] = field(default_factory=list)

    def of(self, kind: str) -> list[Service]:
        """The services of a kind, up or down."""
        return [service for service in self.services if service.kind == kind]


class Service:
    """One service, over all its incarnations.

    Attributes:
        lane: of the present incarnation, or of the last one.
        offset_ms: how wrong its clock is.
        deliberate, plans, execute, hydrate: its use cases while it is up.
    """

    def __init__(self, fleet: Fleet, kind: str, name: str) -> None:
        self.fleet, self.kind, self.name = fleet, kind, name
        self.offset_ms = 0
        self.incarnation = 0
        self.lane = Lane(name)
        self.lane.dead = True
        self.deliberate: Deliberate | None = None
        self.plans: Plans | None = None
        self.execute: Execute | None = None
        self.hydrate: Hydrate | None = None
        self.task: asyncio.Task[None] | None = None

    def clock(self) -> int:
        """UTC milliseconds, as this process sees them."""
        return EPOCH_MS + round(self.fleet.wire.loop.time() * 1000) + self.offset_ms

    @property
    def up(self) -> bool:
        """Whether it lives."""
        return not self.lane.dead and self.task is not None and not self.task.done()

    def start(self) -> None:
        """A new incarnation."""
        self.incarnation += 1
        self.deliberate = self.plans = self.execute = self.hydrate = None
        self.lane = Lane(f"{self.name}.{self.incarnation}")
        self.fleet.wire.trace.note(self.lane.name, "starts")
        loop = self.fleet.wire.loop
        self.task = loop.create_task(self._live(), context=self.lane.context.copy())
        self.task.add_done_callback(self._ended)

    def kill(self) -> None:
        """SIGKILL."""
        self.fleet.wire.trace.note(self.lane.name, f"is killed at its callback {self.lane.ran}")
        self.fleet.wire.loop.kill(self.lane)
        self.fleet.hub.bury(self.lane)

    def stop(self) -> None:
        """SIGTERM."""
        self.fleet.wire.trace.note(self.lane.name, "is stopped in order")
        if self.task is not None:
            self.task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fleet.auditor.report("services live", f"{self.lane.name} ended: {error!r}")
        self.fleet.wire.loop.kill(self.lane)

    async def _live(self) -> None:
        lane, fleet = self.lane, self.fleet
        stores = Stores(
            WiredBus(fleet.hub, lane),
            WiredState(fleet.auditor.stores.state, lane, fleet.wire, fleet.auditor),
            WiredBlobs(fleet.auditor.stores.blobs, lane, fleet.wire),
            self.clock,
        )
        async with AsyncExitStack() as stack:
            if self.kind == "orchestrator":
                await self._orchestrate(stores, stack)
            elif self.kind == "executor":
                await self._execute(stores, stack)
            else:
                await self._hydrate(stores)
            await asyncio.get_running_loop().create_future()

    async def _orchestrate(self, stores: Stores, stack: AsyncExitStack) -> None:
        scenario = self.fleet.scenario
        self.deliberate = Deliberate(
            stores,
            WiredExecutor(self.fleet, self.lane),
            WiredHydrator(self.fleet, self.lane),
            STRATEGIES,
            scenario.driving,
        )
        councils = Councils(stores.state, scenario.councils)
        self.plans = Plans(stores, self.deliberate, councils, scenario.protocol, scenario.terms)
        await stack.enter_async_context(self.deliberate.running())
        await stack.enter_async_context(self.plans.running())

    async def _execute(self, stores: Stores, stack: AsyncExitStack) -> None:
        wire = self.fleet.wire
        model = DrawnModel(wire.adversary, big=self.fleet.scenario.big)
        runner = DrawnRunner(self.lane, model, wire, self.fleet.auditor, self.clock)
        scenario = self.fleet.scenario
        keeps = scenario.keeps_jobs[self.fleet.of("executor").index(self)]
        settings = ExecuteSettings(self.name, scenario.claim_ttl_ms, keeps_jobs=keeps)
        self.execute = Execute(runner, stores, Silence(), settings)
        await stack.enter_async_context(self.execute.running())

    async def _hydrate(self, stores: Stores) -> None:
        wire = self.fleet.wire
        graph = WiredGraph(self.fleet.auditor.graph, self.lane, wire)
        self.hydrate = Hydrate(graph, DrawnModel(wire.adversary, big=False), stores)
        await self.hydrate.follow()


class WiredExecutor(Executor):
    """The executors as an orchestrator sees them: one address behind which any of them answers."""

    def __init__(self, fleet: Fleet, lane: Lane) -> None:
        self._fleet, self._lane = fleet, lane

    async def submit(self, jobs: Sequence[AgentJob]) -> None:
        """See the port."""
        self._fleet.auditor.submitting(self._lane, jobs)
        luck = self._fleet.wire.adversary.luck
        host = luck.choice(self._fleet.of("executor"))
        what = f"submit {', '.join(short(job.job_id) for job in jobs)}"
        await self._call(host, what, lambda execute: execute.submit(jobs))

    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:
        """See the port; every executor is told."""
        self._fleet.auditor.cancelling(self._lane, deliberation_id)
        hit = 0
        for host in self._fleet.of("executor"):
            what = f"cancel jobs of {short(deliberation_id)}"
            hit += await self._call(host, what, lambda e: e.cancel(deliberation_id, job_ids))
        return hit

    async def status(self, deliberation_id: str) -> Sequence[JobStatus]:
        """See the port; no use case of the fleet asks."""
        raise NotImplementedError

    async def active(self) -> Sequence[JobStatus]:
        """See the port; no use case of the fleet asks."""
        raise NotImplementedError

    async def stats(self) -> ClusterStats:
        """See the port; no use case of the fleet asks."""
        raise NotImplementedError

    async def _call(self, host: Service, what: str, act: Callable[[Execute], Awaitable[T]]) -> T:
        async def served() -> T:
            if host.execute is None:
                raise Unavailable("the executor is starting")
            return await act(host.execute)

        return await self._fleet.wire.call(self._lane, host.lane, what, served, repeats=True)


class WiredHydrator(Hydrator):
    """The context service as an orchestrator sees it."""

    def __init__(self, fleet: Fleet, lane: Lane) -> None:
        self._fleet, self._lane = fleet, lane

    async def pack(self, request: PackRequest) -> ContextPack:
        """See the port."""
        self._fleet.auditor.packing(self._lane, request.plan_id, request.task_id)
        (host,) = self._fleet.of("context")

        async def act() -> ContextPack:
            if host.hydrate is None:
                raise Unavailable("the context service is starting")
            return await host.hydrate.pack(request)

        what = f"pack for {request.task_id}"
        return await self._fleet.wire.call(self._lane, host.lane, what, act, repeats=True)

    async def record(self, decision: Decision) -> int:
        """See the port; decisions are recorded from the log."""
        raise NotImplementedError
