"""The parts of a fleet that are killed, each started again on the same folder and port."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Protocol

from fleet_adapters.ray.sessions import end_session, session_of
from fleet_bootstraps.stack.nats import running_nats
from fleet_bootstraps.stack.neo4j import Neo4jServer, neo4j_server
from fleet_bootstraps.stack.neo4j_libraries import cached_servers, ensure_neo4j
from fleet_bootstraps.stack.ray import RayHead, ray_head
from fleet_bootstraps.stack.valkey import valkey_server
from fleet_features.deploying.process import ServiceProcess

_GONE_S, _LOOK_S = 60.0, 0.01
_WORKER = "ray::Worker"


class Part(Protocol):
    """Something that can be killed.

    Attributes:
        name: as it is asked for.
        calls: whether model calls end with it.
        keeps_journal: whether nobody can look at the journal once it is killed.
    """

    name: str
    calls: bool = False
    keeps_journal: bool = False

    async def aim(self, draw: Random) -> None:
        """Choose the process, and make ready to kill it without a moment's delay."""
        ...

    def strike(self) -> int:
        """SIGKILL, at once; the process id."""
        ...

    async def buried(self) -> None:
        """Return once the process, and whatever ends with it, is gone."""

    async def start(self) -> None:
        """Start it again; returns once it serves."""


class Nats(Part):
    """The bus."""

    name = "nats"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = AsyncExitStack()
        self._port = self._pid = 0
        self.url = ""

    async def start(self) -> None:
        """See Part."""
        server = await self._held.enter_async_context(
            running_nats(self._folder / self.name, port=self._port)
        )
        self.url, self._port, self._pid = server.url, server.port, server.pid

    async def aim(self, draw: Random) -> None:
        """See Part; there is one."""

    def strike(self) -> int:
        """See Part."""
        return _kill(self._pid)

    async def buried(self) -> None:
        """See Part."""
        await _reaped(self._pid)
        await self.stop()

    async def stop(self) -> None:
        """Stop it, if it runs."""
        await self._held.aclose()


class Valkey(Part):
    """State, journal and blobs."""

    name = "valkey"
    keeps_journal = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder / self.name
        self._held = AsyncExitStack()
        self._pid = 0
        self.url = ""

    async def start(self) -> None:
        """See Part."""
        port = int(self.url.rpartition(":")[2].partition("/")[0]) if self.url else 0
        self.url = await self._held.enter_async_context(valkey_server(self._folder, port=port))
        self._pid = int((self._folder / "valkey.pid").read_text())

    async def aim(self, draw: Random) -> None:
        """See Part; there is one."""

    def strike(self) -> int:
        """See Part."""
        return _kill(self._pid)

    async def buried(self) -> None:
        """See Part."""
        await _reaped(self._pid)
        await self.stop()

    async def stop(self) -> None:
        """Stop it, if it runs."""
        await self._held.aclose()


class Neo4j(Part):
    """The context graph."""

    name = "neo4j"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / self.name
        self._held = AsyncExitStack()
        self._serving: Neo4jServer | None = None

    @property
    def serving(self) -> Neo4jServer:
        """The one that was started last."""
        assert self._serving is not None, "no Neo4j was started"
        return self._serving

    async def start(self) -> None:
        """See Part."""
        port = self._serving.port if self._serving is not None else 0
        libraries = await ensure_neo4j(cached_servers())
        self._serving = await self._held.enter_async_context(
            neo4j_server(self._folder, libraries, port=port, short_lived=True)
        )

    async def aim(self, draw: Random) -> None:
        """See Part; there is one."""

    def strike(self) -> int:
        """See Part."""
        return _kill(self.serving.pid)

    async def buried(self) -> None:
        """See Part."""
        await _reaped(self.serving.pid)
        await self.stop()

    async def stop(self) -> None:
        """Stop it, if it runs."""
        await self._held.aclose()


class Head(Part):
    """The Ray head: its GCS is killed, and at once all that belongs to it, as with its host."""

    name = "head"
    calls = True

    def __init__(self, folder: Path, token: str) -> None:
        self._folder = folder
        self._token = token
        self._held = AsyncExitStack()
        self._serving: RayHead | None = None

    @property
    def serving(self) -> RayHead:
        """The one that was started last."""
        assert self._serving is not None, "no head was started"
        return self._serving

    def workers(self) -> list[int]:
        """Process ids of the actors that can be given jobs."""
        if self._serving is None:
            return []
        return sorted(pid for pid, said in session_of(self._serving.pid) if _WORKER in said)

    async def start(self) -> None:
        """See Part."""
        port = int(self._serving.address.rpartition(":")[2]) if self._serving is not None else 0
        self._serving = await self._held.enter_async_context(
            ray_head(self._folder / self.name, self._token, port=port)
        )

    async def aim(self, draw: Random) -> None:
        """See Part; there is one."""

    def strike(self) -> int:
        """See Part."""
        _kill(self.serving.gcs_pid)
        end_session(self.serving.pid)
        return self.serving.gcs_pid

    async def buried(self) -> None:
        """See Part."""
        await _reaped(self.serving.pid)
        await self.stop()

    async def stop(self) -> None:
        """Stop it, if it runs."""
        await self._held.aclose()


class Worker(Part):
    """One of the Ray actors; nobody starts another one but the executor's own driver."""

    name = "worker"
    calls = True

    def __init__(self, head: Head) -> None:
        self._head = head
        self._chosen = 0

    async def aim(self, draw: Random) -> None:
        """See Part; where all have been killed, the next one is waited for."""
        await _until(lambda: bool(self._head.workers()))
        self._chosen = draw.choice(self._head.workers())

    def strike(self) -> int:
        """See Part."""
        return _kill(self._chosen)

    async def buried(self) -> None:
        """See Part."""
        await _until(lambda: self._chosen not in self._head.workers())

    async def start(self) -> None:
        """Nothing is to be done: the run goes on with the others, and all are not waited for."""


class Service(Part):
    """A service of the fleet; an executor's workers end with it."""

    def __init__(
        self, name: str, start: Callable[[], Awaitable[ServiceProcess]], head: Head | None
    ) -> None:
        self.name = name
        self.calls = name == "executor"
        self._start = start
        self._head = head
        self._workers: list[int] = []
        self.process: ServiceProcess | None = None

    async def start(self) -> None:
        """See Part."""
        self.process = await self._start()

    async def aim(self, draw: Random) -> None:  # noqa: ARG002 -- there is one
        """See Part."""
        if self.calls and self._head is not None:
            self._workers = self._head.workers()

    def strike(self) -> int:
        """See Part."""
        assert self.process is not None
        return _kill(self.process.process.pid)

    async def buried(self) -> None:
        """See Part."""
        assert self.process is not None
        await self.process.process.wait()
        head = self._head
        if self.calls and head is not None:
            await _until(lambda: not {*self._workers} & {*head.workers()})

    async def stop(self) -> None:
        """In order; AssertionError where it does not end, or not with 0."""
        if self.process is not None and self.process.runs:
            await self.process.stop()


def _kill(pid: int) -> int:
    assert pid > 1, "there is no such process"
    os.kill(pid, signal.SIGKILL)
    return pid


async def _reaped(pid: int) -> None:
    """Wait until a killed child is gone, and the loop has heard of it."""
    await _until(lambda: not Path(f"/proc/{pid}").exists())
    await asyncio.sleep(_LOOK_S)


async def _until(gone: Callable[[], bool]) -> None:
    async with asyncio.timeout(_GONE_S):
        while not gone():  # noqa: ASYNC110 -- other processes' ends
            await asyncio.sleep(_LOOK_S)
