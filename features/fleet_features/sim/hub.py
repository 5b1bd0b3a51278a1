"""The bus as one process sees it: the memory adapter, at the end of a wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from fleet_core.domain.events import Event
from fleet_core.errors import FleetError, Unavailable
from fleet_core.ports.event_bus import Delivery, EventBus, Joined, Stored, Subscription
from fleet_core.ports.state_store import StateStore, Write
from fleet_features.sim.auditor import Auditor
from fleet_features.sim.loop import Lane
from fleet_features.sim.ports import WiredState, written
from fleet_features.sim.trace import short
from fleet_features.sim.wire import Wire

_NOTICED_S = 4.0
"""A subscriber that is dead is noticed within so long; what it held goes to others then."""


class Hub:
    """The bus's side of all subscriptions.

    Attributes:
        joined: whether bus and state store are one server with transactions over both.
    """

    def __init__(self, inner: EventBus, wire: Wire, auditor: Auditor, *, joined: bool) -> None:
        self.inner = inner
        self.joined = joined
        self.wire = wire
        self.auditor = auditor
        self._feeds: list[Feed] = []

    def feed(self, subscription: Subscription, lane: Lane) -> Feed:
        """Begin to send a process its deliveries."""
        ack_wait_ms = round(self.wire.adversary.temper.ack_wait_s * 1000)
        feed = Feed(self, replace(subscription, ack_wait_ms=ack_wait_ms), lane)
        self._feeds.append(feed)
        return feed

    def stop(self, feed: Feed) -> None:
        """The subscriber said that it leaves, or was found dead."""
        if feed in self._feeds:
            self._feeds.remove(feed)
            feed.pump.cancel()

    def bury(self, lane: Lane) -> None:
        """A subscriber died; that is noticed in a while."""
        for feed in [feed for feed in self._feeds if feed.lane is lane]:
            after_s = self.wire.adversary.luck.random() * _NOTICED_S
            context = self.wire.servers.context
            self.wire.loop.call_later(after_s, self.stop, feed, context=context)

    def cut(self) -> None:
        """The bus goes away: every subscription breaks."""
        for feed in list(self._feeds):
            self.stop(feed)
            feed.inbox.put_nowait(Unavailable("the bus closed the connection"))


class Feed:
    """One subscription, as the bus serves it."""

    def __init__(self, hub: Hub, subscription: Subscription, lane: Lane) -> None:
        self.lane = lane
        self.inbox: asyncio.Queue[Delivery | FleetError] = asyncio.Queue()
        self._hub = hub
        self._subscription = subscription
        loop = hub.wire.loop
        self.pump = loop.create_task(self._run(), context=hub.wire.servers.context.copy())

    async def _run(self) -> None:
        wire = self._hub.wire
        async with self._hub.inner.subscribe(self._subscription) as deliveries:
            async for delivery in deliveries:
                wired = WiredDelivery(delivery, self._hub, self.lane, self._subscription.durable)
                arrivals = wire.adversary.deliveries()
                if not arrivals:
                    wire.trace.note("bus", f"{wired.what} to {self.lane.name} lost")
                for after_s in arrivals:
                    context = wire.servers.context
                    wire.loop.call_later(after_s, self._arrive, wired, context=context)

    def _arrive(self, delivery: WiredDelivery) -> None:
        if not self.lane.dead:
            what = f"gets {delivery.what} (delivery {delivery.attempt})"
            self._hub.wire.trace.note(self.lane.name, what)
            self.inbox.put_nowait(delivery)

    def __aiter__(self) -> Feed:
        """Deliveries, as the process gets them."""
        return self

    async def __anext__(self) -> Delivery:
        """The next one; raises Unavailable once the bus has gone away."""
        found = await self.inbox.get()
        if isinstance(found, FleetError):
            raise found
        return found


class WiredDelivery(Delivery):
    """One event in a process's hands."""

    def __init__(self, inner: Delivery, hub: Hub, lane: Lane, durable: str) -> None:
        self._inner, self._hub, self._lane, self._durable = inner, hub, lane, durable
        self.event, self.position = inner.event, inner.position
        self.attempt, self.last = inner.attempt, inner.last
        self.what = f"{durable} < {short(self.event.event_id)}"

    async def ack(self) -> None:
        """See the port; it may be lost in silence, as NATS's may."""
        self._hub.auditor.acking(self._lane, self._durable, self.event)
        if self._hub.wire.adversary.hits(self._hub.wire.adversary.temper.lose):
            self._hub.wire.trace.note(self._lane.name, f"ack {self.what}: lost in silence")
            return
        await self._tell("ack", self._inner.ack)

    async def nak(self, delay_ms: int = 0) -> None:
        """See the port."""
        await self._tell(f"nak {delay_ms} ms", lambda: self._inner.nak(delay_ms))

    async def term(self) -> None:
        """See the port."""
        await self._tell("term", self._inner.term)

    async def in_progress(self) -> None:
        """See the port."""
        await self._tell("in progress", self._inner.in_progress)

    async def _tell(self, verb: str, act: Callable[[], Awaitable[None]]) -> None:
        await self._hub.wire.ask(self._lane, "bus", f"{verb} {self.what}", act, writes=True)


class WiredBus(EventBus):
    """The bus as one process sees it."""

    def __init__(self, hub: Hub, lane: Lane) -> None:
        self._hub, self._lane = hub, lane

    async def publish(self, events: Sequence[Event]) -> None:
        """See the port."""
        self._hub.auditor.publishing(self._lane, events)
        what = f"publish {_named(events)}"
        hub = self._hub

        async def publish() -> None:
            await hub.inner.publish(events)
            hub.auditor.logged(events)

        await self._hub.wire.ask(self._lane, "bus", what, publish, writes=True)
        self._hub.auditor.published(events)

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[AsyncIterator[Delivery]]:
        """See the port."""
        wire = self._hub.wire
        await wire.ask(self._lane, "bus", f"subscribe {subscription.durable}", _nothing)
        feed = self._hub.feed(subscription, self._lane)
        try:
            yield feed
        finally:
            context = wire.servers.context
            wire.loop.call_later(wire.adversary.latency(), self._hub.stop, feed, context=context)

    def joined(self, state: StateStore) -> Joined | None:
        """See the port."""
        hub, lane = self._hub, self._lane
        inner = hub.auditor.stores.state
        kept = hub.inner.joined(inner)
        if not hub.joined or kept is None or not isinstance(state, WiredState):
            return None

        async def keep(writes: Sequence[Write], events: Sequence[Event]) -> None:
            async def act() -> Sequence[int]:
                await kept(writes, events)
                hub.auditor.committed(lane, writes, events)
                hub.auditor.publishing(lane, events)
                hub.auditor.logged(events)
                now = await inner.get([write.key for write in writes])
                return [document.version if document is not None else 0 for document in now]

            what = f"keep {written(writes)} and publish {_named(events)}"
            try:
                versions = await hub.wire.ask(lane, "state", what, act, writes=True)
            except Unavailable:
                hub.auditor.calls.disturbed(lane)
                raise
            hub.auditor.kept(writes, versions)
            hub.auditor.published(events)

        return keep

    def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """See the port; no use case of the fleet replays."""
        raise NotImplementedError

    async def forget(self, durable: str) -> None:
        """See the port; no use case of the fleet forgets."""
        raise NotImplementedError


def _named(events: Sequence[Event]) -> str:
    return ", ".join(short(event.event_id) for event in events)


async def _nothing() -> None:
    """There is nothing to do."""
