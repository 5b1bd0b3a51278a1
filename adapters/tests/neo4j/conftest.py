"""One real server for all tests that leave it as it is; the graph is opened through the plugin."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from neo4j import AsyncDriver, AsyncGraphDatabase

from fleet_adapters.neo4j import plugin
from fleet_bootstraps.stack.neo4j import Neo4jServer, neo4j_server
from fleet_bootstraps.stack.neo4j_libraries import cached_servers, ensure_neo4j
from fleet_core.errors import PluginError, Unavailable
from fleet_core.ports.context_graph import ContextGraph
from fleet_plugins.api import FactoryContext

_DEADLINE_S = 60.0
PASSWORD = "FLEET_TEST_NEO4J"


@dataclass
class Opener:
    """Opens graphs on a server."""

    uri: str
    home: Path
    stack: AsyncExitStack
    secrets: dict[str, str]

    async def open(self, **settings: Any) -> ContextGraph:
        adapter = plugin.graph.fleet_adapter()
        ctx = FactoryContext(
            lambda: time.time_ns() // 1_000_000, self.secrets.__getitem__, self.home
        )
        given = {"uri": self.uri, "password": PASSWORD, **settings}
        made = adapter.factory(adapter.settings(**given), ctx)
        graph: ContextGraph = await self.stack.enter_async_context(made)
        return graph

    async def reopen(self) -> ContextGraph:
        await self.stack.aclose()
        return await self.open()


@pytest.fixture(scope="session")
def libraries() -> Path:
    """Neo4j's, fetched once for all runs."""
    try:
        return asyncio.run(ensure_neo4j(cached_servers()))
    except (PluginError, Unavailable) as error:
        pytest.skip(f"the Neo4j suite did not run: {error}; then run: make test ARGS='-k neo4j'")


@pytest.fixture(scope="session")
def shared_server(
    libraries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Neo4jServer]:
    folder = tmp_path_factory.mktemp("neo4j")
    with start_blocking_portal() as portal:
        server = portal.wrap_async_context_manager(portal.call(neo4j_server, folder, libraries))
        with server as running:
            yield running


@pytest.fixture
async def opener(shared_server: Neo4jServer, tmp_path: Path) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:
        yield Opener(shared_server.uri, tmp_path, stack, {PASSWORD: shared_server.password})


@pytest.fixture
async def driver(shared_server: Neo4jServer) -> AsyncIterator[AsyncDriver]:
    """The bare driver on the shared server."""
    auth = ("neo4j", shared_server.password)
    async with AsyncGraphDatabase.driver(shared_server.uri, auth=auth) as driver:
        yield driver


@dataclass
class Server:
    """A server of the test's own, to be stopped, killed, and started again where it was."""

    folder: Path
    libraries: Path
    running: Neo4jServer | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self, **settings: str) -> Neo4jServer:
        given = {name.replace("__", "."): value for name, value in settings.items()}
        self.running = await self.stack.enter_async_context(
            neo4j_server(
                self.folder,
                self.libraries,
                port=self.running.port if self.running else 0,
                settings=given,
            )
        )
        return self.running

    async def stop(self) -> None:
        await self.stack.aclose()

    def signal(self, number: signal.Signals) -> None:
        assert self.running
        os.kill(self.running.pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.stop()


@pytest.fixture
async def server(tmp_path: Path, libraries: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path / "server", libraries)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def own(server: Server, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens graphs on `server`."""
    assert server.running
    async with AsyncExitStack() as stack:
        secrets = {PASSWORD: server.running.password}
        yield Opener(server.running.uri, tmp_path, stack, secrets)


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
