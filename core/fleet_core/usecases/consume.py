"""Consuming a durable subscription: settle every delivery, bury what cannot be handled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fleet_core.domain.events import DEAD, Event, to_cloudevent
from fleet_core.errors import FleetError
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import Delivery, EventBus, Subscription

_log = logging.getLogger("fleet.consume")
FIRST_DELAY_MS, LONGEST_DELAY_MS = 100, 10_000


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
    """
    seats = asyncio.Semaphore(side_by_side)

    async def one(delivery: Delivery) -> None:
        try:
            await handle(delivery.event)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the delivery must be settled
            await give_back(bus, delivery, error, clock)
        else:
            await delivery.ack()
        finally:
            seats.release()

    async with bus.subscribe(subscription) as deliveries, asyncio.TaskGroup() as tasks:
        async for delivery in deliveries:
            await seats.acquire()
            tasks.create_task(one(delivery))


async def give_back(bus: EventBus, delivery: Delivery, error: Exception, clock: Clock) -> None:
    """Settle a delivery whose handling failed: again later, or to the dead letters."""
    retryable = isinstance(error, FleetError) and error.retryable
    if not isinstance(error, FleetError):
        _log.error("event %s failed", delivery.event.event_id, exc_info=error)
    if retryable and not delivery.last:
        delay = min(FIRST_DELAY_MS * 2 ** (delivery.attempt - 1), LONGEST_DELAY_MS)
        await delivery.nak(delay)
        return
    await bury(bus, delivery, error, clock)


async def bury(bus: EventBus, delivery: Delivery, error: Exception, clock: Clock) -> None:
    """Publish a dead letter with the reason, then give the delivery up."""
    event = delivery.event
    reason = str(error) if isinstance(error, FleetError) else f"{type(error).__name__}: {error}"
    letter = Event(
        f"dead:{event.event_id}",
        f"{DEAD}.{event.subject}",
        {"event": to_cloudevent(event), "reason": reason, "attempts": delivery.attempt},
        clock(),
    )
    _log.warning("event %s to the dead letters: %s", event.event_id, reason)
    await bus.publish([letter])
    await delivery.term()
