"""The planning side, and people who cancel, extend and approve again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from fleet_core.domain.deliberation import FINAL, Deliberation
from fleet_core.domain.events import PLAN_APPROVED, Event
from fleet_core.domain.plan import Plan, plan_id
from fleet_core.errors import FleetError, Unavailable
from fleet_core.usecases.approvals import approval
from fleet_core.usecases.deliberate import Deliberate
from fleet_features.sim.auditor import NONSENSE, PLANNING
from fleet_features.sim.hub import WiredBus
from fleet_features.sim.loop import Lane
from fleet_features.sim.scenario import Deed
from fleet_features.sim.services import EPOCH_MS, Fleet, Service
from fleet_features.sim.trace import short

T = TypeVar("T")
_PAUSE_S = 0.3
_TRIES = 40


@dataclass(slots=True)
class Promised:
    """What users were told.

    Attributes:
        attempts: of each plan whose approval the bus has acknowledged, the highest, by id.
        nonsense: ids of events that nobody can act on.
        extended: tokens by which the lease of a deliberation that goes on was said to be raised.
    """

    attempts: dict[str, int] = field(default_factory=dict)
    nonsense: list[str] = field(default_factory=list)
    extended: dict[str, int] = field(default_factory=dict)


class Users:
    """They try again until somebody answers; they do not die."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lane = Lane(PLANNING)
        self._bus = WiredBus(fleet.hub, self._lane)
        self.promised = Promised()

    @property
    def lane(self) -> Lane:
        """Where they live."""
        return self._lane

    async def approve(self, plan: Plan, attempt: int = 1, *, fresh: bool = False) -> None:
        """Approve a plan; the same event again where nobody knows whether it was kept."""
        now_ms = EPOCH_MS + round(self._fleet.wire.loop.time() * 1000)
        await self._publish(approval(plan, attempt, now_ms, fresh=fresh))
        self.promised.attempts[plan_id(plan)] = attempt

    async def _publish(self, event: Event) -> None:
        while True:
            try:
                await self._bus.publish([event])
            except Unavailable:
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    async def do(self, deed: Deed) -> None:
        """One deed, when its time has come, if there is anything to do it to."""
        await asyncio.sleep(deed.at_s)
        if deed.kind == "nonsense":
            await self._publish(
                Event(f"{NONSENSE}{deed.at_s}", PLAN_APPROVED, {"plan_id": "0" * 32})
            )
            self.promised.nonsense.append(f"{NONSENSE}{deed.at_s}")
            return
        if deed.kind in ("cancel-plan", "again"):
            await self._to_a_plan(deed)
            return
        saved = self._fleet.auditor.saved
        running = sorted(name for name, s in saved.items() if s.state.phase not in FINAL)
        if not running:
            return
        name = running[int(deed.pick * len(running))]
        self._fleet.wire.trace.note(PLANNING, f"wants to {deed.kind} {short(name)}")
        if deed.kind == "cancel":
            if await self._ask(deed, lambda s: _deliberate(s).cancel(name, "enough")) is not None:
                self._fleet.auditor.cancelled(name)
            return
        state = await self._ask(deed, lambda s: _extended(s, name))
        if state is not None and state.phase not in FINAL:
            self.promised.extended[name] = self.promised.extended.get(name, 0) + _MORE_TOKENS

    async def _to_a_plan(self, deed: Deed) -> None:
        runs = self._fleet.auditor.runs
        if not runs:
            return
        name = sorted(runs)[int(deed.pick * len(runs))]
        run = runs[name]
        self._fleet.wire.trace.note(PLANNING, f"wants to {deed.kind} {short(name)}")
        if deed.kind == "again":
            await self.approve(run.plan, run.attempt + 1, fresh=deed.pick > 0.5)
        else:
            await self._ask(deed, lambda s: _plans_cancel(s, name))

    async def _ask(self, deed: Deed, act: Callable[[Service], Awaitable[T]]) -> T | None:
        """Ask one orchestrator after the other; what one said, None where none ever did."""
        luck = self._fleet.wire.adversary.luck
        for _ in range(_TRIES):
            host = luck.choice(self._fleet.of("orchestrator"))

            async def served(host: Service = host) -> T:
                return await act(host)

            try:
                return await self._fleet.wire.call(self._lane, host.lane, deed.kind, served)
            except FleetError:
                await asyncio.sleep(_PAUSE_S)
        return None


_MORE_TOKENS = 2_000


def _deliberate(service: Service) -> Deliberate:
    if service.deliberate is None:
        raise Unavailable("the orchestrator is starting")
    return service.deliberate


async def _extended(service: Service, name: str) -> Deliberation:
    return await _deliberate(service).extend(name, tokens=_MORE_TOKENS)


async def _plans_cancel(service: Service, name: str) -> object:
    if service.plans is None:
        raise Unavailable("the orchestrator is starting")
    return await service.plans.cancel(name, "enough")
