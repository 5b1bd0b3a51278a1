"""The contract suites over the nats adapters, on a real server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleet_core.ports.event_bus import EventBus
from fleet_plugins.contracts.event_bus import DurableEventBusContract, EventBusContract

Reopen = Callable[[], Awaitable[Any]]


class TestNatsEventBus(EventBusContract, DurableEventBusContract):
    @pytest.fixture
    async def bus(self, opener: Any) -> EventBus:
        bus: EventBus = await opener.open("bus")
        return bus

    @pytest.fixture
    def reopen(self, opener: Any) -> Reopen:
        reopener: Reopen = opener.reopener("bus")
        return reopener
