"""Consuming a durable subscription: settle every delivery, bury what cannot be handled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fleet_core.domain.events import DEAD, Event, to_cloudevent
from fleet_core.errors import FleetError
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import Delivery, EventBus, Subscription
from fleet_core.usecases.patience import delay_ms, until_available

_log = logging.getLogger("fleet.consume")
PATIENT = 100
"""Deliveries of an event that only outages fail: with `delay_ms` about a quarter of an hour."""
PROMPT_MS = 10_000
"""What is handed to a process that dies comes to another, or to it again, after so long."""


async def consume(
    bus: EventBus,
    subscription: Subscription,
    handle: Callable[[Event], Awaitable[None]],
    clock: Clock,
    *,
    side_by_side: int = 32,
) -> None:
    """Hand every event to `handle` until cancelled, up to `side_by_side` at once.

    An event is acknowledged once `handle` returns. A retryable error brings it again with
    back-off; any other, and the last attempt's, puts it among the dead letters with the reason.
    A subscription that breaks because the bus is away is taken up again.
    """
    seats = asyncio.Semaphore(side_by_side)

    async def one(delivery: Delivery) -> None:
        try:
            await handle(delivery.event)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the delivery must be settled
            await give_back(bus, delivery, error, clock, subscription.durable)
        else:
            await done(delivery)
        finally:
            seats.release()

    async with asyncio.TaskGroup() as tasks:

        async def listen() -> None:
            async with bus.subscribe(subscription) as deliveries:
                async for delivery in deliveries:
                    await seats.acquire()
                    tasks.create_task(one(delivery))

        await until_available(listen, f"subscription {subscription.durable!r}")


async def done(delivery: Delivery) -> None:
    """Acknowledge; where that does not get through, the event comes again and changes nothing."""
    try:
        await delivery.ack()
    except FleetError as error:
        _log.warning("event %s not acknowledged: %s", delivery.event.event_id, error)


async def give_back(
    bus: EventBus, delivery: Delivery, error: Exception, clock: Clock, durable: str
) -> None:
    """Settle a delivery of `durable` whose handling failed: again later, or to the dead letters."""
    retryable = isinstance(error, FleetError) and error.retryable
    if not isinstance(error, FleetError):
        _log.error("event %s failed", delivery.event.event_id, exc_info=error)
    try:
        if retryable and not delivery.last:
            await delivery.nak(delay_ms(delivery.attempt))
        else:
            await bury(bus, delivery, error, clock, durable)
    except FleetError as lost:
        _log.warning("event %s not settled, comes again: %s", delivery.event.event_id, lost)


async def bury(
    bus: EventBus, delivery: Delivery, error: Exception, clock: Clock, durable: str
) -> None:
    """Publish a dead letter with the reason, then give the delivery up.

    Each durable that buries an event writes a letter of its own.
    """
    event = delivery.event
    reason = str(error) if isinstance(error, FleetError) else f"{type(error).__name__}: {error}"
    letter = Event(
        f"dead:{durable}:{event.event_id}",
        f"{DEAD}.{event.subject}",
        {
            "event": to_cloudevent(event),
            "durable": durable,
            "reason": reason,
            "attempts": delivery.attempt,
        },
        clock(),
    )
    _log.warning("event %s to the dead letters: %s", event.event_id, reason)
    await bus.publish([letter])
    await delivery.term()
