"""One seed: a fleet, its adversary, and what was found."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import process_time
from typing import Any

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.events import Event
from fleet_core.domain.plan_run import TaskState
from fleet_core.usecases import keys
from fleet_core.usecases.payload import opened
from fleet_core.usecases.stores import Stores
from fleet_features.sim import scenario as scenarios
from fleet_features.sim import temper as tempers
from fleet_features.sim.adversary import Adversary
from fleet_features.sim.auditor import Auditor, Broken
from fleet_features.sim.hub import Hub
from fleet_features.sim.loop import Runaway, SimulatedLoop, Stalled
from fleet_features.sim.protocols import STRATEGIES
from fleet_features.sim.scenario import Scenario
from fleet_features.sim.services import EPOCH_MS, Fleet, Service
from fleet_features.sim.trace import Trace
from fleet_features.sim.trouble import ServerClock, Trouble
from fleet_features.sim.users import Users
from fleet_features.sim.verdict import concluded, overdue, unsettled
from fleet_features.sim.wire import Wire, at_once

SERVICES = (
    ("orchestrator", "orchestrator-1"),
    ("orchestrator", "orchestrator-2"),
    ("orchestrator", "orchestrator-3"),
    ("executor", "executor-1"),
    ("executor", "executor-2"),
    ("context", "context-1"),
)
_LOOK_S = 1.0
_ROOM_S = 90.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a seed gave.

    Attributes:
        broken: invariants that did not hold; the run ends at the first.
        digest: of the trace.
        virtual_s, cpu_s: how long it took in its own time, and in ours.
        counts: deliberations, jobs called, kills and so on.
    """

    seed: int
    broken: tuple[Broken, ...]
    digest: str
    virtual_s: float
    cpu_s: float
    counts: dict[str, int]


class Simulation:
    """One run; use it once."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._loop = SimulatedLoop(random.Random(f"{seed}:order"))
        self.trace = Trace(self._loop.time)
        temper = tempers.drawn(random.Random(f"{seed}:temper"))
        self.scenario: Scenario = scenarios.drawn(random.Random(f"{seed}:scenario"))
        adversary = Adversary(temper, random.Random(f"{seed}:adversary"))
        self._stores_clock = ServerClock()
        stores = Stores(
            InMemoryEventBus(self._now_ms),
            InMemoryStateStore(self._now_ms),
            InMemoryBlobStore(),
            self._now_ms,
        )
        graph = InMemoryContextGraph()
        self.auditor = Auditor(stores, graph, STRATEGIES, self._loop.time)
        wire = Wire(self._loop, adversary, self.trace)
        hub = Hub(stores.bus, wire, self.auditor, joined=self.scenario.joined)
        self.fleet = Fleet(wire, hub, self.auditor, self.scenario)
        self.fleet.services += [Service(self.fleet, kind, name) for kind, name in SERVICES]
        self._stop = asyncio.Event()
        self.auditor.on_broken = self._stop.set

    def _now_ms(self) -> int:
        return EPOCH_MS + round(self._loop.time() * 1000) + self._stores_clock.offset_ms

    def run(self) -> Report:
        """From the start to the verdict."""
        began = process_time()
        self._loop.set_exception_handler(self._unhandled)
        listener = _Listener(self)
        logger = logging.getLogger("fleet")
        logger.addHandler(listener)
        logger.propagate = False
        try:
            self._loop.run_until_complete(self._main())
        except (Stalled, Runaway) as error:
            self.auditor.report("goes on", str(error))
        finally:
            logger.removeHandler(listener)
        return Report(
            self.seed,
            tuple(self.auditor.broken),
            self.trace.digest(),
            self._loop.time(),
            process_time() - began,
            self._counts(),
        )

    def _counts(self) -> dict[str, int]:
        states = [held.state for held in self.auditor.saved.values()]
        ended = [job.ended for state in states for job in state.jobs() if job.ended is not None]
        return {
            **Counter(state.phase.value for state in states),
            "amended": sum(state.amended for state in states),
            "leases run out": sum(state.exhausted for state in states),
            "blocked": sum(
                task.state is TaskState.BLOCKED
                for run in self.auditor.runs.values()
                for task in run.tasks
            ),
            "late answers": sum(each.late for each in ended),
            "failed jobs": sum(each.failure is not None for each in ended),
            "jobs": len(self.auditor.calls.made),
            "calls": sum(self.auditor.calls.made.values()),
            "claims crossed": len(self.auditor.calls.crossed),
            "starts": sum(service.incarnation for service in self.fleet.services),
            "callbacks": self._loop.ran,
        }

    async def _main(self) -> None:
        for service in self.fleet.services:
            service.start()
        users = Users(self.fleet)
        context = users.lane.context
        deeds = [
            self._loop.create_task(act, context=context.copy())
            for act in (
                *(users.approve(plan) for plan in self.scenario.plans),
                *(users.do(deed) for deed in self.scenario.deeds),
            )
        ]
        trouble = self._loop.create_task(Trouble(self.fleet, self._stores_clock).make())
        stop = self._loop.create_task(self._stop.wait())
        await asyncio.wait([trouble, stop], return_when=asyncio.FIRST_COMPLETED)
        if not self.auditor.broken:
            await self._settle(users, deeds)
        if not self.auditor.broken:
            calm = self.fleet.wire.adversary.temper.calm
            log = await self._log()
            for invariant, how in concluded(
                self.auditor, log, users.promised, STRATEGIES, calm=calm
            ):
                self.auditor.report(invariant, how)

    async def _settle(self, users: Users, deeds: Sequence[asyncio.Task[None]]) -> None:
        """Give the fleet time; it must come to rest, and then stay there."""
        temper = self.fleet.wire.adversary.temper
        calm_since_ms = self._now_ms()
        tasks = max(len(plan.tasks) for plan in self.scenario.plans)
        terms = self.scenario.terms
        until = self._loop.time() + _ROOM_S + (tasks * terms.ms + 2 * temper.jump_ms) / 1000
        while not self.auditor.broken:
            await asyncio.sleep(_LOOK_S)
            for invariant, how in overdue(self.auditor.saved, self._now_ms(), calm_since_ms):
                self.auditor.report(invariant, how)
            left = list(unsettled(self.auditor, self.scenario, users.promised))
            if all(deed.done() for deed in deeds) and not left and not self._litter():
                break
            if self._loop.time() > until:
                left += [("nothing left over", key) for key in self._litter()]
                for invariant, how in left:
                    self.auditor.report(invariant, how)
        await asyncio.sleep(temper.ack_wait_s + 5)

    def _litter(self) -> list[str]:
        """Markers and claims that end with what they are about."""
        state = self.auditor.stores.state
        return [
            document.key
            for prefix in (keys.DUE, keys.PLAN_OPEN, "claim/", "accepted")
            for document in at_once(partial(state.scan, prefix))
        ]

    async def _log(self) -> list[Event]:
        stores = self.auditor.stores
        return [
            replace(s.event, data=await opened(s.event.data, stores.blobs))
            async for s in stores.bus.replay([">"])
        ]

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "Future exception" not in context["message"]:  # an answer that nobody waited for
            error = context.get("exception")
            self.auditor.report("services live", f"{context['message']}: {error!r}")


class _Listener(logging.Handler):
    """What the fleet logs, in the trace."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(logging.WARNING)
        self._simulation = simulation

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        said = record.getMessage()
        if record.exc_info is not None and record.exc_info[1] is not None:
            said += f": {record.exc_info[1]!r}"
        self._simulation.trace.note("log", said)
