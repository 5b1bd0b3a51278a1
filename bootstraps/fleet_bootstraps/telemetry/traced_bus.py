"""Puts events into the trace of whoever publishes them, and their handling into the events' own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from fleet_bootstraps.telemetry.subjects import family
from fleet_core import tracing
from fleet_core.domain.events import Event
from fleet_core.domain.evolve import evolve
from fleet_core.ports.event_bus import Delivery, EventBus, Joined, Stored, Subscription
from fleet_core.ports.state_store import StateStore, Write


class TracedBus(EventBus):
    """A bus whose events carry a `traceparent`.

    Each event that is published is a span within the current one, and each delivery a span within
    the one that published it, from when it is handed out to when it is settled. Whatever the
    subscriber's task does between two deliveries, and every task that it begins meanwhile, belongs
    to the first of them; once it has left, it goes on with what it was at before.
    """

    def __init__(self, inner: EventBus) -> None:
        self._inner = inner

    async def publish(self, events: Sequence[Event]) -> None:
        """See the port."""
        with _publishing(events) as stamped:
            await self._inner.publish(stamped)

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[AsyncIterator[Delivery]]:
        """See the port."""
        before = tracing.current()
        async with self._inner.subscribe(subscription) as deliveries:
            handed = _Handed(deliveries, subscription.durable)
            try:
                yield handed
            finally:
                handed.leave()
                tracing.turn_to(before)

    def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """See the port."""
        return self._inner.replay(subjects, after=after, follow=follow)

    async def forget(self, durable: str) -> None:
        """See the port."""
        await self._inner.forget(durable)

    def joined(self, state: StateStore) -> Joined | None:
        """See the port."""
        joined = self._inner.joined(state)
        if joined is None:
            return None

        async def keep(writes: Sequence[Write], events: Sequence[Event]) -> None:
            with _publishing(events) as stamped:
                await joined(writes, stamped)

        return keep


@contextmanager
def _publishing(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    spans = [
        tracing.begin(f"publish {family(event.subject)}", tracing.Kind.PRODUCER) for event in events
    ]
    for span, event in zip(spans, events, strict=True):
        if span.recorded:
            span.note(_about(event))
    error = "interrupted"
    try:
        yield [_stamped(e, s.traceparent) for e, s in zip(events, spans, strict=True)]
        error = ""
    except Exception as failure:
        error = tracing.error_of(failure)
        raise
    finally:
        for span in spans:
            span.end(error)


def _stamped(event: Event, traceparent: str) -> Event:
    if event.traceparent or not traceparent:
        return event
    return evolve(event, traceparent=traceparent)


def _about(event: Event) -> dict[str, tracing.Value]:
    about: dict[str, tracing.Value] = {
        "messaging.message.id": event.event_id,
        "messaging.destination.name": event.subject,
    }
    for name in ("plan_id", "deliberation_id", "task_id", "job_id"):
        value = event.data.get(name)
        if isinstance(value, str):
            about[f"fleet.{name}"] = value
    return about


class _Handed(AsyncIterator[Delivery]):
    """Deliveries, and the spans of those that are not settled."""

    def __init__(self, inner: AsyncIterator[Delivery], durable: str) -> None:
        self._inner = inner
        self._durable = durable
        self.open: set[tracing.Begun] = set()

    async def __anext__(self) -> Delivery:
        tracing.turn_to("")  # to wait belongs to nobody
        delivery = await anext(self._inner)
        event = delivery.event
        name = f"consume {family(event.subject)}"
        span = tracing.begin(name, tracing.Kind.CONSUMER, event.traceparent)
        if span.recorded:
            span.note({**_about(event), "fleet.durable": self._durable})
            span.note({"fleet.attempt": delivery.attempt})
            self.open.add(span)
        tracing.turn_to(span.traceparent)
        return _TracedDelivery(delivery, span, self)

    def leave(self) -> None:
        """What is not settled comes again."""
        for span in self.open:
            span.end("unsettled")
        self.open.clear()

    def settled(self, span: tracing.Begun, error: str) -> None:
        """A delivery has ended."""
        self.open.discard(span)
        span.end(error)


class _TracedDelivery(Delivery):
    __slots__ = ("_inner", "_owner", "_span", "attempt", "event", "last", "position")

    def __init__(self, inner: Delivery, span: tracing.Begun, owner: _Handed) -> None:
        self._inner, self._span, self._owner = inner, span, owner
        self.event, self.position = inner.event, inner.position
        self.attempt, self.last = inner.attempt, inner.last

    async def ack(self) -> None:
        await self._inner.ack()
        self._owner.settled(self._span, "")

    async def nak(self, delay_ms: int = 0) -> None:
        await self._inner.nak(delay_ms)
        self._owner.settled(self._span, "given back")

    async def term(self) -> None:
        await self._inner.term()
        self._owner.settled(self._span, "given up")

    async def in_progress(self) -> None:
        await self._inner.in_progress()
