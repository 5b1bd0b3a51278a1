"""Watches a plan's run to its end, in this process or another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from fleet_bootstraps.progress.view import RunView, run_view, stuck
from fleet_core.domain.deliberation import FINAL, Deliberation
from fleet_core.domain.events import COMPLETED, CONTEXT_UPDATED, DEAD, PLAN_APPROVED, Event
from fleet_core.domain.plan_run import PlanRun
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_core.usecases import keys, saved
from fleet_core.usecases.documents import load_object

SUBJECTS = ("orchestration.>", "context.>", f"{DEAD}.>")
_IDLE_S = 0.5  # what changes without an event (time, another process's work) is shown so often
_SHORTEST_S = 0.02
_GRACE_MS = 2_000
_PLAN_SUBJECTS = (PLAN_APPROVED, COMPLETED, CONTEXT_UPDATED)


@dataclass(slots=True)
class Snapshot:
    """A run as saved; `run` is None before its approval was reduced."""

    run: PlanRun | None = None
    states: dict[str, Deliberation] = field(default_factory=dict)


async def read(state: StateStore, plan_id: str, known: Snapshot | None = None) -> Snapshot:
    """The saved run; deliberations that had ended in `known` are not read again.

    Args:
        state: the store.
        plan_id: whose run.
        known: an earlier snapshot.
    """
    (document,) = await state.get([keys.plan(plan_id)])
    if document is None:
        return Snapshot()
    run = load_object(PlanRun, document)
    held = known.states if known is not None else {}
    wanted = [t.deliberation_id for t in run.tasks if t.deliberation_id]
    states = {i: held[i] for i in wanted if i in held and held[i].phase in FINAL}
    missing = [i for i in wanted if i not in states]
    found = await state.get([keys.deliberation(i) for i in missing]) if missing else ()
    for identity, document in zip(missing, found, strict=True):
        if document is not None:
            states[identity] = saved.read(document).state
    return Snapshot(run, states)


async def approved_at(bus: EventBus, plan_id: str, attempt: int) -> int:
    """The log's position of the latest approval of that attempt; 0 where it is not kept."""
    position = 0
    async for stored in bus.replay([PLAN_APPROVED]):
        if stored.event.event_id.startswith(f"plan:{plan_id}:{attempt}:"):
            position = stored.position
    return position


class Watch:
    """Follows one attempt of a plan.

    Args:
        bus, state: where it happens.
        plan_id, attempt: what is watched.
        clock: UTC milliseconds.
        show: given every new view.
    """

    def __init__(
        self,
        bus: EventBus,
        state: StateStore,
        plan_id: str,
        attempt: int,
        *,
        clock: Clock,
        show: Callable[[RunView], None],
    ) -> None:
        self._bus = bus
        self._state = state
        self._plan_id = plan_id
        self._attempt = attempt
        self._clock = clock
        self._show = show
        self._changed = asyncio.Event()
        self._letters: list[tuple[int, str]] = []
        self.snapshot = Snapshot()

    async def ended(self) -> str:
        """Wait until the run has settled, and is in `snapshot`.

        Returns:
            Empty; or why it cannot go on: an event it needs is among the dead letters.
        """
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow())
            try:
                return await self._until_ended()
            finally:
                following.cancel()

    async def _until_ended(self) -> str:
        while True:
            self._changed.clear()
            self.snapshot = await read(self._state, self._plan_id, self.snapshot)
            run = self.snapshot.run
            if run is not None and run.attempt >= self._attempt:
                self._show(run_view(run, self.snapshot.states, self._clock()))
                if run.settled:
                    return ""
            reason = self._dead_end(run)
            if reason:
                return reason
            await self._news()

    async def _news(self) -> None:
        """Return soon after something changed, and now and then."""
        try:
            async with asyncio.timeout(_IDLE_S):
                await self._changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_SHORTEST_S)  # one look for a burst of events

    def _dead_end(self, run: PlanRun | None) -> str:
        if not self._letters:
            return ""
        at_ms, reason = self._letters[0]
        arrived = run is not None and run.attempt >= self._attempt
        if arrived and run is not None and not stuck(run, self.snapshot.states):
            return ""
        return reason if self._clock() - at_ms >= _GRACE_MS else ""

    async def _follow(self) -> None:
        after = await approved_at(self._bus, self._plan_id, self._attempt)
        async for stored in self._bus.replay(SUBJECTS, after=after, follow=True):
            event = stored.event
            if event.subject.startswith(f"{DEAD}."):
                self._letter(event)
            elif event.data.get("plan_id", self._plan_id) != self._plan_id:
                continue
            self._changed.set()

    def _letter(self, event: Event) -> None:
        envelope = event.data.get("event", {})
        if envelope.get("type") not in _PLAN_SUBJECTS:
            return
        data = envelope.get("data", {})
        ours = f"plan:{self._plan_id}:{self._attempt}:"
        if data.get("plan_id") != self._plan_id and not str(envelope.get("id")).startswith(ours):
            return
        reason = f"{envelope.get('type')} went to the dead letters: {event.data.get('reason')}"
        self._letters.append((self._clock(), reason))
