from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fleet_adapters.nats.bus import open_bus
from fleet_adapters.nats.lag import opened_lag, stream_names
from fleet_adapters.nats.settings import NatsSettings
from fleet_bootstraps.stack.nats import nats_server
from fleet_core.domain.events import STARTED, Event
from fleet_core.errors import NotFound
from fleet_core.ports.event_bus import Subscription
from fleet_plugins.api import FactoryContext

pytestmark = pytest.mark.anyio
STREAM = "ORCHESTRATOR_EVENTS"


async def test_lag_is_what_the_server_says(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats") as url:
        settings = NatsSettings(servers=(url,))
        log = logging.getLogger("fleet.nats")
        ctx = FactoryContext(lambda: 1, str, tmp_path, log=log)
        async with opened_lag(settings, ctx) as ask:
            with pytest.raises(NotFound, match="there is no stream ORCHESTRATOR_EVENTS"):
                await ask(STREAM)
            async with open_bus(settings, ctx) as bus:
                terms = Subscription("slow", (STARTED,), max_in_flight=2)
                async with bus.subscribe(terms) as deliveries:
                    await bus.publish([Event(f"e{n}", STARTED, {"n": n}, 1) for n in range(5)])
                    first = await anext(deliveries)
                    await first.ack()
                    await anext(deliveries)
                    figures = await ask(STREAM)
                    async for _ in bus.replay(["orchestration.>"]):
                        break

            assert STREAM in stream_names()
            assert figures.messages == 5
            assert figures.bytes > 0
            ((name, behind, given),) = [
                (c.durable, c.pending, c.unacknowledged) for c in figures.consumers
            ]
            assert name == "slow"
            assert 3 <= behind + given <= 5
            assert [c.durable for c in (await ask(STREAM)).consumers] == ["slow"]
