"""What belongs to which event's trace, delivery by delivery."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_bootstraps.telemetry.traced_bus import TracedBus
from fleet_core import tracing
from fleet_core.domain.events import Event
from fleet_core.errors import Unavailable
from fleet_core.ports.event_bus import Delivery, Subscription

pytestmark = pytest.mark.anyio
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MINE = Subscription("mine", ("agent.results.>",))


class Kept:
    def __init__(self) -> None:
        self.spans: list[tracing.Span] = []

    def samples(self, trace_id: str) -> bool:
        return True

    def ended(self, span: tracing.Span) -> None:
        self.spans.append(span)


class Listening(InMemoryEventBus):
    """Notes in which trace it waits, and which it keeps events of."""

    def __init__(self) -> None:
        super().__init__(lambda: time.time_ns() // 1_000_000)
        self.waited_in: list[str] = []
        self.away = False

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[AsyncIterator[Delivery]]:
        async with super().subscribe(subscription) as deliveries:
            yield self._noting(deliveries)

    async def _noting(self, deliveries: AsyncIterator[Delivery]) -> AsyncIterator[Delivery]:
        while True:
            self.waited_in.append(tracing.current())
            yield await anext(deliveries)

    async def publish(self, events: object) -> None:
        if self.away:
            raise Unavailable("away")
        await super().publish(events)  # type: ignore[arg-type]  # as it was given


def event(name: str, traceparent: str = "") -> Event:
    return Event(name, "agent.results.t", {}, 1, traceparent=traceparent)


async def test_an_event_that_has_a_trace_keeps_it_and_others_get_the_current_one() -> None:
    kept, bus = Kept(), TracedBus(Listening())
    with tracing.recording(kept), tracing.span("work") as work:
        await bus.publish([event("a", PARENT), event("b")])
    first, second = [stored.event async for stored in bus.replay(["agent.results.>"])]
    assert first.traceparent == PARENT
    sent = {str(s.attributes["messaging.message.id"]): s for s in kept.spans if s.name != "work"}
    assert second.traceparent == sent["b"].traceparent
    assert sent["b"].parent == work.traceparent


async def test_what_could_not_be_published_is_a_failed_span() -> None:
    kept, inner = Kept(), Listening()
    inner.away = True
    with tracing.recording(kept), pytest.raises(Unavailable):
        await TracedBus(inner).publish([event("a")])
    assert [span.error for span in kept.spans] == ["unavailable"]


async def test_each_delivery_is_a_span_until_it_is_settled_and_to_wait_belongs_to_nobody() -> None:
    kept, inner = Kept(), Listening()
    bus = TracedBus(inner)
    await inner.publish([event(name, PARENT) for name in "abcd"])
    with tracing.recording(kept):
        async with bus.subscribe(MINE) as deliveries:
            seen = []
            for settle in ("ack", "nak", "term", None):
                delivery = await anext(deliveries)
                seen.append(tracing.current())
                if settle is not None:
                    await getattr(delivery, settle)()
    assert inner.waited_in == [""] * 4
    assert [span.parent for span in kept.spans] == [PARENT] * 4
    assert [span.traceparent for span in kept.spans] == seen
    assert [span.error for span in kept.spans] == ["", "given back", "given up", "unsettled"]


async def test_an_event_without_a_trace_begins_one() -> None:
    kept, inner = Kept(), Listening()
    await inner.publish([event("a")])
    with tracing.recording(kept):
        async with TracedBus(inner).subscribe(MINE) as deliveries:
            await (await anext(deliveries)).ack()
    (span,) = kept.spans
    assert span.parent == ""
    assert span.attributes["fleet.durable"] == "mine"


async def test_whoever_has_left_goes_on_in_the_trace_it_came_from() -> None:
    inner = Listening()
    await inner.publish([event("a", PARENT)])
    with tracing.recording(Kept()), tracing.span("work") as work:
        async with TracedBus(inner).subscribe(MINE) as deliveries:
            await anext(deliveries)
            assert tracing.current() != work.traceparent
        assert tracing.current() == work.traceparent
