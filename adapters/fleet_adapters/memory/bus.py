"""The log of events in memory."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from operator import attrgetter

from fleet_adapters.delivery import Durable, Ledger, Subscriber, Wants, wants
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.events import Event, encode, stream_of
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import Delivery, EventBus, Joined, Stored, Subscription
from fleet_core.ports.state_store import StateStore, Write

_READ_AT_ONCE = 256
_PRUNE_EVERY_MS = 60_000


@dataclass(frozen=True, slots=True)
class _Kept:
    position: int
    event: Event
    until_ms: int


class InMemoryEventBus(EventBus):
    """Keeps what each stream's age allows, as long as the object lives."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log: list[_Kept] = []
        self._ids: set[str] = set()
        self._head = 0
        self._durables: dict[str, Durable] = {}
        self._followers: set[asyncio.Event] = set()
        self._prune_at = clock() + _PRUNE_EVERY_MS

    async def publish(self, events: Sequence[Event]) -> None:
        """Keep the events; see the port."""
        self._publish(events, _ages(events))

    def joined(self, state: StateStore) -> Joined | None:
        """A store in memory too is written in the same step of the event loop."""
        if not isinstance(state, InMemoryStateStore):
            return None

        async def keep(writes: Sequence[Write], events: Sequence[Event]) -> None:
            ages = _ages(events)
            await state.commit(writes)  # does not suspend
            self._publish(events, ages)

        return keep

    def _publish(self, events: Sequence[Event], ages: Sequence[int]) -> None:
        now = self._clock()
        if now >= self._prune_at:
            self._prune(now)
        before = self._head
        for event, age in zip(events, ages, strict=True):
            if event.event_id not in self._ids:
                self._ids.add(event.event_id)
                self._head += 1
                self._log.append(_Kept(self._head, event, now + age * 1000))
        if self._head != before:
            for durable in self._durables.values():
                durable.notify()
            for follower in self._followers:
                follower.set()

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Deliveries until the context is left; see the port."""
        durable = self._durables.get(subscription.durable)
        if durable is None:
            cursor = 0 if subscription.from_start else self._head
            durable = Durable(subscription, self._read, _nothing, Ledger(cursor))
            self._durables[subscription.durable] = durable
        durable.renew(subscription)
        subscriber = Subscriber(durable)
        try:
            yield subscriber
        finally:
            durable.release(subscriber)

    async def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """Events in log order; see the port."""
        wanted = wants(subjects)
        more = asyncio.Event()
        self._followers.add(more)
        try:
            while True:
                more.clear()
                found, reached = self._read(after, wanted)
                for position, event in found:
                    yield Stored(position, event)
                if reached != after:
                    after = reached
                elif follow:
                    await more.wait()
                else:
                    return
        finally:
            self._followers.discard(more)

    async def forget(self, durable: str) -> None:
        """Drop a durable; whoever is subscribed to it sees its deliveries end."""
        known = self._durables.pop(durable, None)
        if known is not None:
            known.gone = True
            known.stop()

    def _read(self, after: int, wanted: Wants) -> tuple[Sequence[tuple[int, Event]], int]:
        start = bisect_right(self._log, after, key=attrgetter("position"))
        part = self._log[start : start + _READ_AT_ONCE]
        found = [(kept.position, kept.event) for kept in part if wanted(kept.event.subject)]
        return found, part[-1].position if part else after

    def _prune(self, now: int) -> None:
        self._prune_at = now + _PRUNE_EVERY_MS
        kept = [entry for entry in self._log if entry.until_ms > now]
        if len(kept) != len(self._log):
            self._log = kept
            self._ids = {entry.event.event_id for entry in kept}


def _ages(events: Sequence[Event]) -> list[int]:
    """How long each event is kept, in seconds; raises where one could not be."""
    for event in events:
        encode(event)  # what a durable bus could not keep must not pass here either
    return [stream_of(event.subject).max_age_s for event in events]


def _nothing(_: Durable) -> None:
    """A durable's place is kept nowhere but in itself."""
