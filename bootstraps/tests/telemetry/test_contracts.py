"""What is put around ports keeps their contracts, alone and together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_bootstraps.telemetry.measured_bus import MeasuredBus
from fleet_bootstraps.telemetry.measured_state import MeasuredState
from fleet_bootstraps.telemetry.meters import Meters
from fleet_bootstraps.telemetry.traced_bus import TracedBus
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_core.tracing import Span, recording
from fleet_plugins.contracts.event_bus import EventBusContract, JoinedEventBusContract
from fleet_plugins.contracts.state_store import StateStoreContract


class Everything:
    """Records all there is."""

    def samples(self, trace_id: str) -> bool:
        return True

    def ended(self, span: Span) -> None:
        assert span.end_ns >= span.start_ns


def clock() -> int:
    return time.time_ns() // 1_000_000


class TestWatchedBus(EventBusContract, JoinedEventBusContract):
    @pytest.fixture
    def meters(self) -> Meters:
        return Meters("both", executes=True, deliberates=True)

    @pytest.fixture
    async def bus(self, meters: Meters) -> AsyncIterator[EventBus]:
        with recording(Everything()):
            yield TracedBus(MeasuredBus(InMemoryEventBus(clock), meters))

    @pytest.fixture
    def state(self, meters: Meters, anyio_backend: object) -> StateStore:
        return MeasuredState(InMemoryStateStore(clock), meters)


class TestWatchedState(StateStoreContract):
    @pytest.fixture
    def state(self, anyio_backend: object) -> StateStore:
        meters = Meters("both", executes=True, deliberates=True)
        return MeasuredState(InMemoryStateStore(clock), meters)
