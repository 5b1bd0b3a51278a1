"""What every use case stands on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet_core.domain.events import Event
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import EventBus, Joined
from fleet_core.ports.state_store import StateStore, Write
from fleet_core.usecases import documents


@dataclass(frozen=True, slots=True)
class Stores:
    """The bus, the stores and the clock (UTC milliseconds) of a process.

    Attributes:
        dump: JSON data as the bytes of a document; a faster one than the core's must decode to
            the same.
        joined: the bus's own way to keep documents and events in one transaction, if it has one.
    """

    bus: EventBus
    state: StateStore
    blobs: BlobStore
    clock: Clock
    dump: Callable[[Any], bytes] = documents.dump
    joined: Joined | None = field(init=False)

    def __post_init__(self) -> None:
        """Ask the bus once."""
        object.__setattr__(self, "joined", self.bus.joined(self.state))

    async def keep(self, writes: Sequence[Write], events: Sequence[Event]) -> None:
        """Commit documents, then publish events; both at once where the bus can.

        Raises:
            Conflict: nothing was kept, nothing published.
            Unavailable: unknown; done again, what was kept is a Conflict and what was published
                is passed over.
        """
        if self.joined is not None:
            await self.joined(writes, events)
            return
        await self.state.commit(writes)
        await self.bus.publish(events)
