"""One real server for all tests that leave it as it is; ports are opened through the plugins."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from redis.asyncio import Redis

from fleet_adapters.valkey import plugin
from fleet_bootstraps.stack.valkey import valkey_server
from fleet_core.errors import Unavailable
from fleet_plugins.api import FactoryContext

_DEADLINE_S = 20.0


@dataclass
class Opener:
    """Opens ports on a server; each opener has a namespace of its own."""

    url: str
    home: Path
    stack: AsyncExitStack
    namespace: str = field(default_factory=lambda: uuid.uuid4().hex)
    secrets: dict[str, str] = field(default_factory=dict)

    async def open(self, name: str, **settings: Any) -> Any:
        adapter = getattr(plugin, name).fleet_adapter()
        ctx = FactoryContext(
            lambda: time.time_ns() // 1_000_000, self.secrets.__getitem__, self.home
        )
        given = {"url": self.url, "namespace": self.namespace, **settings}
        return await self.stack.enter_async_context(adapter.factory(adapter.settings(**given), ctx))

    def reopener(self, name: str) -> Callable[[], Awaitable[Any]]:
        async def reopen() -> Any:
            await self.stack.aclose()
            return await self.open(name)

        return reopen


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("valkey")
    with start_blocking_portal() as portal:
        server = portal.wrap_async_context_manager(portal.call(valkey_server, folder))
        with server as url:
            yield url


@pytest.fixture
async def opener(shared_server: str, tmp_path: Path) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:
        yield Opener(shared_server, tmp_path, stack)


@dataclass
class Server:
    """A server of the test's own, to be stopped, killed, and started again where it was."""

    folder: Path
    url: str = ""
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self, **settings: str) -> None:
        port = int(self.url.rsplit(":", 1)[1].split("/")[0]) if self.url else 0
        given = {name.replace("_", "-"): value for name, value in settings.items()}
        self.url = await self.stack.enter_async_context(
            valkey_server(self.folder, port=port, settings=given)
        )

    async def stop(self) -> None:
        await self.stack.aclose()

    def signal(self, number: signal.Signals) -> None:
        os.kill(int((self.folder / "valkey.pid").read_text()), number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.stop()

    @property
    def driver(self) -> Redis:
        return Redis.from_url(self.url.replace("valkey:", "redis:"))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path / "server")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def own(server: Server, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens ports on `server`."""
    async with AsyncExitStack() as stack:
        yield Opener(server.url, tmp_path, stack)


async def _again(act: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            try:
                return await act()
            except Unavailable:
                await asyncio.sleep(0.01)


@pytest.fixture
def again() -> Callable[..., Awaitable[Any]]:
    """Calls until the server answers."""
    return _again


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
