"""The durable log of events in an SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fleet_adapters.delivery import wants
from fleet_adapters.sqlite._file import File
from fleet_adapters.sqlite.state import SqliteStateStore, written
from fleet_core.domain.events import Event
from fleet_core.ports.event_bus import Delivery, EventBus, Joined, Stored, Subscription
from fleet_core.ports.state_store import StateStore, Write


class SqliteEventBus(EventBus):
    """Several processes of one host may publish, follow and subscribe.

    Of the processes that share a durable one delivers, and another takes over when it ends.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._log = file.log
        self._durables = file.durables

    async def publish(self, events: Sequence[Event]) -> None:
        """Keep the events; see the port."""
        if events:
            await self._log.append(events)

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Deliveries until the context is left; see the port."""
        subscriber = await self._durables.join(subscription)
        try:
            yield subscriber
        finally:
            await self._durables.leave(subscription, subscriber)

    async def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """Events in log order; see the port."""
        wanted = wants(subjects)
        more = asyncio.Event()
        listening = self._log.listen(more.set, lambda _: None)
        try:
            while True:
                more.clear()
                found, reached = self._log.read(after, wanted)
                for position, event in found:
                    yield Stored(position, event)
                if reached != after:
                    after = reached
                    await asyncio.sleep(0)  # a long log must not keep others from their turn
                elif follow:
                    await more.wait()
                else:
                    return
        finally:
            self._log.leave(listening)

    async def forget(self, durable: str) -> None:
        """Drop a durable; whoever is subscribed to it sees its deliveries end."""
        await self._durables.forget(durable)

    def joined(self, state: StateStore) -> Joined | None:
        """One transaction for both, where the documents are in this file too."""
        if not isinstance(state, SqliteStateStore) or state.file is not self._file:
            return None
        clock = state.clock

        async def keep(writes: Sequence[Write], events: Sequence[Event]) -> None:
            now = clock()
            await self._log.append(events, lambda cursor: written(cursor, writes, now))

        return keep
