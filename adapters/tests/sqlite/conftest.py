"""A file of its own for every test, opened through the plugin objects."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.sqlite import plugin
from fleet_plugins.api import FactoryContext


def _no_secret(name: str) -> str:
    raise AssertionError(f"asked for secret {name}")


@dataclass
class Opener:
    """Opens ports of one file; `clock_ms` replaces the wall clock where it is set."""

    home: Path
    durability: str
    stack: AsyncExitStack
    clock_ms: int = 0

    def now(self) -> int:
        return self.clock_ms or time.time_ns() // 1_000_000

    async def open(self, name: str) -> Any:
        adapter = getattr(plugin, name).fleet_adapter()
        ctx = FactoryContext(self.now, _no_secret, self.home)
        settings = adapter.settings(durability=self.durability)
        return await self.stack.enter_async_context(adapter.factory(settings, ctx))

    async def close(self) -> None:
        await self.stack.aclose()

    def reopener(self, name: str) -> Callable[[], Awaitable[Any]]:
        async def reopen() -> Any:
            await self.close()
            return await self.open(name)

        return reopen


@pytest.fixture
def durability() -> str:
    return "process"


@pytest.fixture
async def opener(tmp_path: Path, durability: str) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:
        yield Opener(tmp_path, durability, stack)
