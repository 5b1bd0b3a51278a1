"""Real servers, and what opens adapters on them."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from fleet_adapters.nats import plugin
from fleet_adapters.nats.settings import NatsSettings
from fleet_bootstraps.stack.nats import nats_server
from fleet_plugins.api import FactoryContext


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.connected)


@pytest.fixture(scope="session")
def shared_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that the tests of a session share."""
    folder = tmp_path_factory.mktemp("nats")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(nats_server(folder)) as url,
    ):
        yield url


@dataclass
class Opener:
    """Opens ports of one server through the plugin objects."""

    url: str
    home: Path
    stack: AsyncExitStack
    secrets: Mapping[str, str] = field(default_factory=dict)

    async def open(self, name: str, ports: Mapping[Any, Any] | None = None, **settings: Any) -> Any:
        adapter = getattr(plugin, name).fleet_adapter()
        ctx = FactoryContext(
            lambda: time.time_ns() // 1_000_000,
            self.secrets.__getitem__,
            self.home,
            ports=ports or {},
            log=logging.getLogger("fleet.nats"),
        )
        given = adapter.settings(**{"servers": (self.url,), **settings})
        return await self.stack.enter_async_context(adapter.factory(given, ctx))

    async def close(self) -> None:
        await self.stack.aclose()

    def reopener(self, name: str) -> Callable[[], Awaitable[Any]]:
        async def reopen() -> Any:
            await self.close()
            return await self.open(name)

        return reopen


@pytest.fixture
async def opener(shared_url: str, tmp_path: Path) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:
        yield Opener(shared_url, tmp_path, stack)


@pytest.fixture
def settings(shared_url: str) -> NatsSettings:
    return NatsSettings((shared_url,))
