"""Counts what goes through a bus."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fleet_bootstraps.telemetry.measured_state import MeasuredState
from fleet_bootstraps.telemetry.meters import Meters
from fleet_bootstraps.telemetry.subjects import family
from fleet_bootstraps.telemetry.timing import storing, timed
from fleet_core.domain.events import COMPLETED, STARTED, Event
from fleet_core.ports.event_bus import Delivery, EventBus, Joined, Stored, Subscription
from fleet_core.ports.state_store import StateStore, Write

_REMEMBERED = 10_000


class MeasuredBus(EventBus):
    """A bus, and its metrics."""

    def __init__(self, inner: EventBus, meters: Meters) -> None:
        self._inner = inner
        self._meters = meters
        self._deliberations = _Deliberations(meters) if meters.deliberates else None

    async def publish(self, events: Sequence[Event]) -> None:
        """See the port."""
        with timed(self._meters.publishing):
            await self._inner.publish(events)
        self._kept(events)

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[AsyncIterator[Delivery]]:
        """See the port."""
        async with self._inner.subscribe(subscription) as deliveries:
            yield _Counted(deliveries, subscription.durable, self._meters)

    def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """See the port."""
        return self._inner.replay(subjects, after=after, follow=follow)

    async def forget(self, durable: str) -> None:
        """See the port."""
        await self._inner.forget(durable)

    def joined(self, state: StateStore) -> Joined | None:
        """See the port; asks with the store itself, not with what measures it."""
        inner = state.wrapped if isinstance(state, MeasuredState) else state
        joined = self._inner.joined(inner)
        if joined is None:
            return None
        meters = self._meters

        async def keep(writes: Sequence[Write], events: Sequence[Event]) -> None:
            with storing(meters, "joined"):
                await joined(writes, events)
            self._kept(events)

        return keep

    def _kept(self, events: Sequence[Event]) -> None:
        for event in events:
            self._meters.published.labels(family(event.subject)).inc()
            if self._deliberations is not None:
                self._deliberations.see(event)


class _Deliberations:
    """How deliberations end, and after how long; an event that is published again counts once."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._started: OrderedDict[str, int] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def see(self, event: Event) -> None:
        if event.subject == STARTED:
            self._started.setdefault(str(event.data.get("deliberation_id")), event.time_ms)
            _bounded(self._started)
        elif event.subject == COMPLETED and event.event_id not in self._ended:
            self._ended[event.event_id] = None
            _bounded(self._ended)
            outcome = str(event.data.get("phase", ""))
            decision = event.data.get("decision")
            # A decision that is too large for the event lies elsewhere, and its standing with it.
            standing = decision.get("standing", "elsewhere") if decision else "none"
            self._meters.completed.labels(outcome, standing).inc()
            began = self._started.pop(str(event.data.get("deliberation_id")), None)
            if began is not None:
                self._meters.deliberating.labels(outcome).observe((event.time_ms - began) / 1000)


def _bounded(kept: OrderedDict[str, int] | OrderedDict[str, None]) -> None:
    if len(kept) > _REMEMBERED:
        kept.popitem(last=False)


class _Counted(AsyncIterator[Delivery]):
    def __init__(self, inner: AsyncIterator[Delivery], durable: str, meters: Meters) -> None:
        self._inner, self._durable, self._meters = inner, durable, meters

    async def __anext__(self) -> Delivery:
        delivery = await anext(self._inner)
        if delivery.attempt > 1:
            self._meters.redelivered.labels(self._durable).inc()
        return _MeasuredDelivery(delivery, self._durable, self._meters)


class _MeasuredDelivery(Delivery):
    __slots__ = (
        "_began",
        "_durable",
        "_inner",
        "_meters",
        "attempt",
        "event",
        "last",
        "position",
    )

    def __init__(self, inner: Delivery, durable: str, meters: Meters) -> None:
        self._inner, self._durable, self._meters = inner, durable, meters
        self._began = time.perf_counter()
        self.event, self.position = inner.event, inner.position
        self.attempt, self.last = inner.attempt, inner.last

    async def ack(self) -> None:
        await self._inner.ack()
        self._settled("ack")

    async def nak(self, delay_ms: int = 0) -> None:
        await self._inner.nak(delay_ms)
        self._settled("nak")

    async def term(self) -> None:
        await self._inner.term()
        self._settled("term")

    async def in_progress(self) -> None:
        await self._inner.in_progress()

    def _settled(self, how: str) -> None:
        self._meters.consumed.labels(self._durable, how).inc()
        took = time.perf_counter() - self._began
        self._meters.handling.labels(self._durable).observe(took)
