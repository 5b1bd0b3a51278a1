"""One real server for all tests that leave it as it is; ports are opened through the plugins."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from fleet_adapters.valkey import plugin
from fleet_bootstraps.stack.valkey import valkey_server
from fleet_plugins.api import FactoryContext


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
        ctx = FactoryContext(lambda: time.time_ns() // 1_000_000, self.secrets.__getitem__, self.home)
        given = {"url": self.url, "namespace": self.namespace, **settings}
        return await self.stack.enter_async_context(
            adapter.factory(adapter.settings(**given), ctx)
        )

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
