"""EventBus: the durable log of what happened."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from fleet_core.domain.events import Event
from fleet_core.ports.state_store import StateStore, Write


@dataclass(frozen=True, slots=True)
class Subscription:
    """A durable subscription.

    Attributes:
        durable: its name; subscribers of one name share the events, each going to one of them.
        subjects: NATS patterns; an event that matches any of them is delivered once.
        from_start: whether a durable that is new begins with the oldest event kept.
        ack_wait_ms: an event neither acked, naked nor in progress for so long is delivered again.
        max_deliver: deliveries of one event before it is given up; the last attempt's
            `Delivery.last` is true.
        max_in_flight: delivered and unacknowledged events at most.
    """

    durable: str
    subjects: tuple[str, ...]
    from_start: bool = True
    ack_wait_ms: int = 30_000
    max_deliver: int = 5
    max_in_flight: int = 256


class Delivery(Protocol):
    """One event in a subscriber's hands. Exactly one of ack, nak, term ends it."""

    event: Event
    position: int
    attempt: int
    last: bool

    @abstractmethod
    async def ack(self) -> None:
        """Done. May be flushed lazily: after a crash the event can come again."""

    @abstractmethod
    async def nak(self, delay_ms: int = 0) -> None:
        """Not now; deliver it again after `delay_ms`."""

    @abstractmethod
    async def term(self) -> None:
        """Never again; the caller has put it among the dead letters."""

    @abstractmethod
    async def in_progress(self) -> None:
        """Still at it: `ack_wait_ms` starts again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An event with its position in the log; positions rise, with gaps, and never repeat."""

    position: int
    event: Event


Joined = Callable[[Sequence[Write], Sequence[Event]], Awaitable[None]]
"""Commits documents and publishes events in one transaction; raises what either of them would."""


class EventBus(Protocol):
    """Publish, durable subscribe, replay. Delivery is at least once; no order is promised."""

    @abstractmethod
    async def publish(self, events: Sequence[Event]) -> None:
        """Keep the events, all or none; returns once they survive a kill of this process.

        An event whose id the log already holds is passed over in silence.

        Raises:
            KeyError: a subject that no stream holds.
            Unavailable, StoreError: nothing was kept.
        """

    @abstractmethod
    def subscribe(
        self, subscription: Subscription
    ) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Deliveries until the context is left; what was not acked then goes to others."""

    @abstractmethod
    def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """Events in log order from beyond position `after`; with `follow`, for ever.

        A replay leaves no trace: it acknowledges nothing and moves no durable.
        """

    @abstractmethod
    async def forget(self, durable: str) -> None:
        """Drop a durable and its place in the log; unknown names are fine."""

    def joined(self, state: StateStore) -> Joined | None:  # noqa: ARG002 -- most buses keep no store
        """Keeps documents of that store and events together, all or none.

        None where the bus cannot: then documents are committed first, and the events published
        after, however often a crash in between makes that necessary.
        """
        return None
