from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fleet_adapters.memory.tokens import InMemoryTokenStream
from fleet_bootstraps.monitor.speaking import Speaking
from fleet_core.errors import Unavailable
from fleet_core.ports.token_stream import Words

pytestmark = pytest.mark.anyio


class Away(InMemoryTokenStream):
    """Cannot be listened to the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.failed = asyncio.Event()

    @asynccontextmanager
    async def listen(self, task: str = "*") -> AsyncIterator[AsyncIterator[Words]]:
        self.asked += 1
        if self.asked == 1:
            self.failed.set()
            raise Unavailable("nobody is there")
        async with super().listen(task) as heard:
            yield heard


async def test_who_looks_later_is_heard_although_listening_failed_before() -> None:
    tokens = Away()
    speaking = Speaking(tokens, lambda _: "token")
    words = Words("d", "token", "dev-1", "j", 0, "hello")
    first, wake = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(10), speaking.heard("d", first):
        await tokens.failed.wait()
        await asyncio.sleep(0)  # the listening task ends
        async with speaking.heard("d", wake) as hearing:
            while not tokens.heard("token"):  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0)
            tokens.say(words)
            await wake.wait()
            assert hearing.take()[0]["text"] == "hello"
