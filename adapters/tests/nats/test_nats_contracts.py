"""The contract suites over the nats adapters, on a real server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.token_stream import TokenStream
from fleet_plugins.contracts.event_bus import DurableEventBusContract, EventBusContract
from fleet_plugins.contracts.token_stream import TokenStreamContract

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


class TestNatsTokenStream(TokenStreamContract):
    @pytest.fixture
    async def tokens(self, opener: Any) -> TokenStream:
        tokens: TokenStream = await opener.open("tokens")
        return tokens
