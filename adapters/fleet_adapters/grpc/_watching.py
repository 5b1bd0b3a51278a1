"""The events of one deliberation, those that are kept and those to come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

from fleet_adapters.grpc._draining import stopping_error
from fleet_core.domain.deliberation import FINAL, Deliberation
from fleet_core.domain.events import COMPLETED, DELIBERATION, PLAN_APPROVED, stream_of
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import EventBus, Stored

_SUBJECTS = (f"{DELIBERATION}.>",)


async def watched(
    state: Deliberation, after: int, bus: EventBus, clock: Clock, stopping: asyncio.Event
) -> AsyncGenerator[Stored, None]:
    """The events beyond position `after`, in log order, until the deliberation has completed.

    Args:
        state: as saved before the first event is asked for.
        after: a position of the log.
        bus: holds the log.
        clock: UTC milliseconds.
        stopping: set once the service stops.

    Raises:
        Unavailable: the service stops, or the bus is away.
    """
    position = await _begin(bus, state)
    async for stored in bus.replay(_SUBJECTS, after=position):
        position = stored.position
        if _of(stored, state):
            if stored.position > after:
                yield stored
            if stored.event.subject == COMPLETED:
                return
    if state.phase in FINAL and clock() - state.ended_ms > stream_of(COMPLETED).max_age_s * 1000:
        return  # its last events are not kept any more
    following = bus.replay(_SUBJECTS, after=position, follow=True)
    async with aclosing(_until(following, stopping)) as coming:
        async for stored in coming:
            if _of(stored, state):
                yield stored
                if stored.event.subject == COMPLETED:
                    return


async def _begin(bus: EventBus, state: Deliberation) -> int:
    """A position before the deliberation's first event: that of its plan's latest approval.

    A later attempt's approval may come after the events of an earlier one, so only approvals given
    before the deliberation started count; without any, the whole log is read.
    """
    prefix, position = f"plan:{state.plan_id}:", 0
    async for stored in bus.replay([PLAN_APPROVED]):
        if stored.event.event_id.startswith(prefix) and stored.event.time_ms <= state.started_ms:
            position = stored.position
    return position


def _of(stored: Stored, state: Deliberation) -> bool:
    return stored.event.data.get("deliberation_id") == state.deliberation_id


async def _until(
    events: AsyncIterator[Stored], stopping: asyncio.Event
) -> AsyncGenerator[Stored, None]:
    """Events until the service stops; then Unavailable."""
    stopped = asyncio.ensure_future(stopping.wait())
    coming: asyncio.Future[Stored] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(cast("Any", anext(events)))
            await asyncio.wait((stopped, coming), return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                raise stopping_error()
            try:
                yield coming.result()
            except StopAsyncIteration:
                return
    finally:
        stopped.cancel()
        if coming is not None and not coming.done():
            coming.cancel()
            await asyncio.wait([coming])
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
