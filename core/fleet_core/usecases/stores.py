"""What every use case stands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_core.usecases import documents


@dataclass(frozen=True, slots=True)
class Stores:
    """The bus, the stores and the clock (UTC milliseconds) of a process.

    Attributes:
        dump: JSON data as the bytes of a document; a faster one than the core's must decode to
            the same.
    """

    bus: EventBus
    state: StateStore
    blobs: BlobStore
    clock: Clock
    dump: Callable[[Any], bytes] = documents.dump
