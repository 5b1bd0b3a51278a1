"""Lets a server's RPCs end before it stops, and lets no new ones begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleet_adapters.grpc._errors import to_status
from fleet_adapters.grpc._surrounding import Context
from fleet_core.errors import Unavailable

_UNCOUNTED = ("/grpc.health.v1.Health/", "/grpc.reflection.")


class Gate:
    """Counts RPCs under way.

    Attributes:
        stopping: set once the service stops; RPCs without an end of their own wait for it too.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Count it, or refuse it with UNAVAILABLE."""
        if method.startswith(_UNCOUNTED):
            yield
            return
        if self.stopping.is_set():
            await to_status(stopping_error()).abort(context)
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def drain(self, limit_ms: int) -> int:
        """Refuse new RPCs and wait for those under way; how many are left at the limit."""
        self.stopping.set()
        try:
            async with asyncio.timeout(limit_ms / 1000):
                await self._idle.wait()
        except TimeoutError:
            return self._under_way
        return 0


def stopping_error() -> Unavailable:
    """Told to callers of a service that stops."""
    return Unavailable("the service is stopping", "call another, or again in a while")
