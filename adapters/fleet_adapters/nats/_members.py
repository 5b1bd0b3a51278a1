"""Which executors there are, as they say themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nats.aio.msg import Msg
from nats.errors import Error as DriverError

from fleet_adapters.nats._errors import translate
from fleet_adapters.nats._jobs import HERE, HOLDS_S, WHO
from fleet_adapters.nats._link import Link

_MOST = 1_000
_GONE = b"-"
_LONGEST = 100


class Members:
    """Names of executors; one that is silent for `HOLDS_S`, or that leaves, is forgotten."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._until: dict[str, float] = {}

    @property
    def names(self) -> frozenset[str]:
        """Those that are there now."""
        now = asyncio.get_running_loop().time()
        return frozenset(name for name, until in self._until.items() if until > now)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Listen to what executors say while this is held."""
        with translate("a subscription"):
            heard = await self._link.client.subscribe(HERE, cb=self._heard)
        await self._link.tell(WHO)
        try:
            yield
        finally:
            with suppress(DriverError):
                await heard.unsubscribe()

    async def _heard(self, msg: Msg) -> None:
        now = asyncio.get_running_loop().time()
        self._until = {name: until for name, until in self._until.items() if until > now}
        name = msg.data.removeprefix(_GONE)[:_LONGEST].decode(errors="replace")
        if msg.data.startswith(_GONE):
            self._until.pop(name, None)
        elif len(self._until) < _MOST:
            self._until[name] = now + HOLDS_S


@asynccontextmanager
async def announced(link: Link, name: str, every_s: float) -> AsyncIterator[None]:
    """Say that an executor is there while this is held, at once, again and again, when asked."""
    asked = asyncio.Event()

    async def hear(_: Msg) -> None:
        asked.set()

    async def say() -> None:
        while True:
            asked.clear()
            await link.tell(HERE, name.encode())
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await asked.wait()

    with translate("a subscription"):
        questions = await link.client.subscribe(WHO, cb=hear)
    saying = asyncio.create_task(say())
    try:
        yield
    finally:
        saying.cancel()
        await asyncio.wait([saying])
        with suppress(DriverError):
            await questions.unsubscribe()
        await link.tell(HERE, _GONE + name.encode())
