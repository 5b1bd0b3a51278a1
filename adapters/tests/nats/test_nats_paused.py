from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest
from nats.errors import TimeoutError as NatsTimeout

from fleet_adapters.nats.bus import open_bus
from fleet_adapters.nats.settings import NatsSettings
from fleet_bootstraps.stack.nats import running_nats
from fleet_core.domain.events import STARTED, Event
from fleet_plugins.api import FactoryContext

pytestmark = pytest.mark.anyio


async def test_a_pong_that_nobody_waits_for_any_more_ends_nothing(tmp_path: Path) -> None:
    """As when the server was paused, and whoever flushed has given up."""
    async with running_nats(tmp_path / "nats") as server:
        log = logging.getLogger("fleet.nats")
        ctx = FactoryContext(lambda: 1, str, tmp_path, log=log)
        async with open_bus(NatsSettings(servers=(server.url,)), ctx) as bus:
            os.kill(server.pid, signal.SIGSTOP)
            try:
                with pytest.raises(NatsTimeout):
                    await bus._link.client.flush(1)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            async with asyncio.timeout(20):
                await bus.publish([Event("e", STARTED, {}, 1)])
                assert [s.event.event_id async for s in bus.replay([STARTED])] == ["e"]
