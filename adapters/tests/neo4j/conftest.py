"""One real server for all tests; the graph is opened through the plugin."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from neo4j import AsyncDriver, AsyncGraphDatabase, Query

from fleet_adapters.neo4j import plugin
from fleet_bootstraps.stack.neo4j import USER, Neo4jServer, neo4j_server
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


@dataclass
class Server:
    """A server that may be stopped, killed, and started again where it was.

    All tests use one, since a start costs more than they do; it lives in the portal's loop, which
    outlasts theirs.

    Attributes:
        settings: that it runs with; None while it does not, or where they are not to be relied on.
    """

    folder: Path
    libraries: Path
    portal: BlockingPortal
    running: Neo4jServer | None = None
    settings: Mapping[str, str] | None = None
    held: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def ready(self, settings: Mapping[str, str]) -> None:
        """See that it runs with those settings, whatever the test before has done to it."""
        if self.settings != settings:
            await self.stop()
            await self._in_portal(self._start, settings)

    async def start(self, **settings: str) -> None:
        await self.ready({name.replace("__", "."): value for name, value in settings.items()})

    async def stop(self) -> None:
        await self._in_portal(self._stop)

    def signal(self, number: signal.Signals) -> None:
        assert self.running
        os.kill(self.running.pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.stop()

    def limit_files(self, size: int) -> None:
        """As a disk that takes no more: its log of transactions may not grow beyond this."""
        assert self.running
        limits = (size, resource.RLIM_INFINITY)
        resource.prlimit(self.running.pid, resource.RLIMIT_FSIZE, limits)
        self.settings = None

    async def emptied(self) -> None:
        """As new: without data, constraints and indexes."""
        assert self.running
        auth = (USER, self.running.password)
        async with (
            AsyncGraphDatabase.driver(self.running.uri, auth=auth) as driver,
            driver.session() as session,
        ):
            delete = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 50 ROWS"
            await (await session.run(delete)).consume()
            for what, rows in (
                ("CONSTRAINT", "SHOW CONSTRAINTS YIELD name"),
                ("INDEX", "SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP'"),
            ):
                for name in [row["name"] async for row in await session.run(rows)]:
                    await (await session.run(Query(f"DROP {what} {name}"))).consume()

    async def _in_portal(self, call: Callable[..., Awaitable[None]], *args: Any) -> None:
        await asyncio.wrap_future(self.portal.start_task_soon(call, *args))

    async def _start(self, settings: Mapping[str, str]) -> None:
        port = self.running.port if self.running else 0
        serving = neo4j_server(
            self.folder, self.libraries, port=port, settings=settings, short_lived=True
        )
        self.running = await self.held.enter_async_context(serving)
        self.settings = settings

    async def _stop(self) -> None:
        self.settings = None
        await self.held.aclose()


@pytest.fixture(scope="session")
def one_server(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_blocking_portal() as portal:
        server = Server(tmp_path_factory.mktemp("neo4j"), libraries, portal)
        yield server
        portal.call(server._stop)


@pytest.fixture
async def server(one_server: Server, request: pytest.FixtureRequest) -> Server:
    """It, with the settings of the test's parameter; as it is without any, where there is none."""
    await one_server.ready(getattr(request, "param", {}))
    return one_server


@pytest.fixture
async def empty(server: Server) -> Server:
    await server.emptied()
    return server


@pytest.fixture
async def opener(server: Server, tmp_path: Path) -> AsyncIterator[Opener]:
    assert server.running
    async with AsyncExitStack() as stack:
        yield Opener(server.running.uri, tmp_path, stack, {PASSWORD: server.running.password})


@pytest.fixture
async def driver(server: Server) -> AsyncIterator[AsyncDriver]:
    """The bare driver on the server."""
    assert server.running
    auth = (USER, server.running.password)
    async with AsyncGraphDatabase.driver(server.running.uri, auth=auth) as driver:
        yield driver


@pytest.fixture
def collected() -> Iterator[None]:
    """What the driver leaves is collected here, and not within another test."""
    yield
    gc.collect()


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
