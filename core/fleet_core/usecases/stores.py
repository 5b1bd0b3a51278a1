"""What every use case stands on."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore


@dataclass(frozen=True, slots=True)
class Stores:
    """The bus, the stores and the clock (UTC milliseconds) of a process."""

    bus: EventBus
    state: StateStore
    blobs: BlobStore
    clock: Clock
