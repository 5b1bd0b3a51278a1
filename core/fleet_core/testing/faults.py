"""Stores and buses that crash, hang or fail at the operation they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from fleet_core.domain.events import Event
from fleet_core.errors import Unavailable
from fleet_core.ports.event_bus import Delivery, EventBus, Joined, Stored, Subscription
from fleet_core.ports.state_store import Document, StateStore, Write

T = TypeVar("T")


@dataclass(slots=True)
class Fault:
    """What goes wrong for one process, and when.

    Attributes:
        at: the number of the operation that is hit, from 1; 0 for none. Further ones of `also`.
        crash: whether the process dies there; otherwise the operation raises `Unavailable`.
        after: whether the operation has its effect first.
        seen: the operations so far, by name.
        dead: set when the process has died: nothing it does has any effect from then on.
        killed: set by whoever tears the process down, so that its own tidying up does not hang.
    """

    at: int = 0
    crash: bool = False
    after: bool = False
    also: frozenset[int] = frozenset()
    seen: list[str] = field(default_factory=list)
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    killed: bool = False

    async def through(self, name: str, act: Callable[[], Awaitable[T]]) -> T:
        """Do it, unless this is where it goes wrong."""
        await self.alive()
        self.seen.append(name)
        hit = len(self.seen) == self.at or len(self.seen) in self.also
        if hit and not self.after:
            await self._go_wrong(name)
        await asyncio.sleep(0)
        await self.alive()
        result = await act()
        if hit and self.after:
            await self._go_wrong(name)
        return result

    async def alive(self) -> None:
        """Returns while the process lives; a dead one never hears anything again."""
        if self.killed:
            raise Unavailable("this process was killed")
        if self.dead.is_set():
            await asyncio.Event().wait()

    async def _go_wrong(self, name: str) -> None:
        if self.crash:
            self.dead.set()
            await self.alive()
        raise Unavailable(f"{name} was made to fail")


class FaultyState(StateStore):
    """A state store as one process sees it."""

    def __init__(self, inner: StateStore, fault: Fault) -> None:
        self.inner = inner
        self._fault = fault

    async def get(self, keys: Sequence[str]) -> Sequence[Document | None]:
        """See the port."""
        return await self._fault.through("state.get", lambda: self.inner.get(keys))

    async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
        """See the port."""
        return await self._fault.through("state.commit", lambda: self.inner.commit(writes))

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Document]:
        """See the port; not counted, since sweeps scan all the time."""
        await self._fault.alive()
        return await self.inner.scan(prefix, after=after, limit=limit)


class _FaultyDelivery(Delivery):
    def __init__(self, inner: Delivery, fault: Fault) -> None:
        self._inner, self._fault = inner, fault
        self.event, self.position = inner.event, inner.position
        self.attempt, self.last = inner.attempt, inner.last

    async def ack(self) -> None:
        await self._fault.through("delivery.ack", self._inner.ack)

    async def nak(self, delay_ms: int = 0) -> None:
        await self._fault.through("delivery.nak", lambda: self._inner.nak(delay_ms))

    async def term(self) -> None:
        await self._fault.through("delivery.term", self._inner.term)

    async def in_progress(self) -> None:
        await self._fault.through("delivery.in_progress", self._inner.in_progress)


class FaultyBus(EventBus):
    """A bus as one process sees it.

    Args:
        inner: the bus itself.
        fault: what goes wrong.
        joins: whether the process may use the inner bus's way to keep documents and events in one
            transaction.
    """

    def __init__(self, inner: EventBus, fault: Fault, *, joins: bool = False) -> None:
        self._inner = inner
        self._fault = fault
        self._joins = joins

    async def publish(self, events: Sequence[Event]) -> None:
        """See the port."""
        await self._fault.through("bus.publish", lambda: self._inner.publish(events))

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[AsyncIterator[Delivery]]:
        """See the port; a delivery that the process did not live to see is not lost."""
        await self._fault.alive()
        async with self._inner.subscribe(subscription) as deliveries:
            yield self._handed(deliveries)

    async def _handed(self, deliveries: AsyncIterator[Delivery]) -> AsyncIterator[Delivery]:
        async for delivery in deliveries:
            await self._fault.through("bus.deliver", _nothing)
            yield _FaultyDelivery(delivery, self._fault)

    def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """See the port."""
        return self._inner.replay(subjects, after=after, follow=follow)

    async def forget(self, durable: str) -> None:
        """See the port."""
        await self._inner.forget(durable)

    def joined(self, state: StateStore) -> Joined | None:
        """See the port; one operation, which happens whole or not at all."""
        if not self._joins or not isinstance(state, FaultyState):
            return None
        inner = self._inner.joined(state.inner)
        if inner is None:
            return None

        async def keep(writes: Sequence[Write], events: Sequence[Event]) -> None:
            await self._fault.through("bus.joined", lambda: inner(writes, events))

        return keep


async def _nothing() -> None:
    """There is nothing to do."""
