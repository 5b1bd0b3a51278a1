"""The context service over a Neo4j that is away, read-only, short of memory, or full."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import pytest

from fleet_adapters.grpc._calling import opened_peer
from fleet_adapters.grpc.health import opened_health
from fleet_adapters.grpc.hydrator import GrpcHydrator
from fleet_adapters.grpc.settings import GrpcHydratorSettings
from fleet_adapters.scripted.answering import HashedAnswers
from fleet_adapters.scripted.server import serve
from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import Profile, bound
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.services.context import context_service
from fleet_bootstraps.stack.nats import nats_server
from fleet_bootstraps.stack.neo4j import Neo4jServer, neo4j_server
from fleet_core.domain.codec import to_data
from fleet_core.domain.context import PackRequest
from fleet_core.domain.decision import Decision
from fleet_core.domain.events import COMPLETED, CONTEXT_UPDATED, DEAD, Event
from fleet_core.domain.plan import plan_id
from fleet_core.errors import FleetError, StoreError, Unavailable
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.contracts.stories import Story
from fleet_plugins.registry import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
LIMIT_S = 60
SECRET = "GRAPH_PHRASE"
PORTS = (PortName.BUS, PortName.BLOBS, PortName.GRAPH)
SETTINGS: Mapping[str, Any] = {
    "tokens.use": "memory",
    "state.use": "sqlite",
    "blobs.use": "sqlite",
    "runner.use": "local",
    "graph.password": SECRET,
    "services.context.listen": "127.0.0.1:0",
}


@dataclass
class Server:
    """A Neo4j that is stopped, killed, and started again where it was."""

    folder: Path
    libraries: Path
    running: Neo4jServer | None = None
    held: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self, settings: Mapping[str, str]) -> None:
        port = self.running.port if self.running else 0
        serving = neo4j_server(
            self.folder, self.libraries, port=port, settings=settings, short_lived=True
        )
        self.running = await self.held.enter_async_context(serving)

    async def restart(self, settings: Mapping[str, str]) -> None:
        await self.held.aclose()
        await self.start(settings)

    async def kill(self) -> None:
        assert self.running
        os.kill(self.running.pid, signal.SIGKILL)
        await self.held.aclose()


@dataclass
class Fleet:
    """A context service, and what its callers and an onlooker see.

    Attributes:
        codes: of the calls that were made, by gRPC's names.
    """

    hydrator: GrpcHydrator
    ready: Callable[[], Awaitable[bool]]
    bus: EventBus
    graph: ContextGraph
    nats_url: str
    codes: list[str]

    async def refused(self, call: Callable[[], Awaitable[Any]]) -> tuple[FleetError, str]:
        """The error of a call, and the code it came with."""
        with pytest.raises(FleetError) as caught:
            await call()
        return caught.value, self.codes[-1]

    async def until(self, what: str, look: Callable[[], Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                while not await look():  # noqa: ASYNC110 -- nobody tells
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"never: {what}") from None

    async def until_ready(self, *, ready: bool) -> None:
        async def look() -> bool:
            return await self.ready() is ready

        await self.until(f"readiness is {ready}", look)

    async def until_recorded(self, decision: Decision) -> None:
        async def look() -> bool:
            try:
                return await self.graph.decision(decision.decision_id) is not None
            except Unavailable:
                return False

        await self.until("the decision is recorded", look)

    async def subjects(self, *patterns: str) -> list[str]:
        return [stored.event.subject async for stored in self.bus.replay(patterns)]


@pytest.fixture
async def server(
    tmp_path: Path, libraries: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Server]:
    """One with the settings of the test's parameter, if it has one."""
    server = Server(tmp_path / "neo4j", libraries)
    await server.start(getattr(request, "param", {}))
    try:
        yield server
    finally:
        await server.held.aclose()


@pytest.fixture
async def fleet(server: Server, tmp_path: Path) -> AsyncIterator[Fleet]:
    assert server.running
    here = FactoryContext(
        system_clock, secrets_from({SECRET: server.running.password}), tmp_path / "home"
    )
    async with AsyncExitStack() as held:
        url = await held.enter_async_context(nats_server(tmp_path / "nats"))
        model = await held.enter_async_context(serve(HashedAnswers()))
        profile = _profile(
            **SETTINGS,
            **{
                "bus.servers": f'["{url}"]',
                "graph.uri": server.running.uri,
                "model.base_url": model.base_url,
                "model.model": "scripted",
            },
        )
        served = await held.enter_async_context(context_service(profile, here))
        ports = await held.enter_async_context(opened_ports(profile, here, only=PORTS))
        called, codes = GrpcHydratorSettings(), list[str]()
        peer = await held.enter_async_context(
            opened_peer(
                "context service",
                served.address,
                called,
                here.secret,
                lambda call: codes.append(call.code),
            )
        )
        ready = await held.enter_async_context(
            opened_health("context", served.address, called, here.secret)
        )
        hydrator = GrpcHydrator([peer], ports[PortName.BLOBS])
        yield Fleet(hydrator, ready, ports[PortName.BUS], ports[PortName.GRAPH], url, codes)


def _profile(**sets: Any) -> Profile:
    listed = [f"{key}={value}" for key, value in sets.items()]
    return bound("fleet", layered("fleet", {}, listed), Registry.discovered())


def a_request(story: Story) -> PackRequest:
    plan = story.plan("p").plan
    return PackRequest(plan_id(plan), plan, "T2", "QA", 4_102_444_800_000, 4_000)


def completed(decision: Decision) -> Event:
    data = {"plan_id": decision.plan_id, "task_id": decision.task_id, "decision": to_data(decision)}
    return Event(f"{decision.decision_id}:completed", COMPLETED, data, system_clock())


@asynccontextmanager
async def handed_out(url: str) -> AsyncIterator[Callable[[], Awaitable[tuple[int, int, int]]]]:
    """Asks NATS of the service's consumer: deliveries, those not acknowledged, and acknowledged."""
    client = await nats.connect(url)
    stream = client.jetstream()

    async def ask() -> tuple[int, int, int]:
        found = await stream.consumer_info("ORCHESTRATOR_EVENTS", "hydrate")
        delivered, floor = found.delivered, found.ack_floor
        assert delivered is not None
        assert floor is not None
        return delivered.consumer_seq, found.num_ack_pending or 0, floor.stream_seq

    try:
        yield ask
    finally:
        await client.close()


async def test_a_graph_that_is_away_is_told_and_is_used_again_once_it_is_back(
    server: Server, fleet: Fleet
) -> None:
    story = Story()
    first, missed = story.decision("p", "T1"), story.decision("q", "T1")
    assert await fleet.hydrator.record(first) == 1
    await fleet.until_ready(ready=True)

    await server.kill()
    for call in (
        lambda: fleet.hydrator.pack(a_request(story)),
        lambda: fleet.hydrator.record(story.decision("r", "T1")),
    ):
        error, code = await fleet.refused(call)
        assert (type(error), code) == (Unavailable, "UNAVAILABLE")
        assert "the Neo4j at 127.0.0.1" in error.message
        assert "does not answer" in error.message
    await fleet.until_ready(ready=False)
    async with handed_out(fleet.nats_url) as asked:
        await fleet.bus.publish([completed(missed)])

        async def again_and_again() -> bool:
            return (await asked())[0] >= 2

        await fleet.until("the event is handed out again", again_and_again)
        _, pending, acknowledged = await asked()
        assert (pending, acknowledged) == (1, 0)

        await server.start({})
        await fleet.until_ready(ready=True)
        await fleet.until_recorded(missed)

        async def settled() -> bool:
            return (await asked())[1:] == (0, 1)

        await fleet.until("the event is acknowledged", settled)
    assert await fleet.subjects(f"{DEAD}.>") == []
    assert len(await fleet.subjects(CONTEXT_UPDATED)) == 2
    pack = await fleet.hydrator.pack(a_request(story))
    assert (pack.revision, await fleet.hydrator.record(story.decision("r", "T1"))) == (2, 3)


async def test_a_graph_that_takes_no_writes_is_read_and_the_writer_is_told(
    server: Server, fleet: Fleet
) -> None:
    story = Story()
    assert await fleet.hydrator.record(story.decision("p", "T1")) == 1
    await server.restart({"server.databases.default_to_read_only": "true"})
    await fleet.until_ready(ready=True)
    error, code = await fleet.refused(lambda: fleet.hydrator.record(story.decision("q", "T1")))
    assert (type(error), code) == (StoreError, "FAILED_PRECONDITION")
    assert "is read-only" in error.message
    assert "let it take writes" in error.hint
    assert (await fleet.hydrator.pack(a_request(story))).revision == 1
    assert await fleet.subjects(CONTEXT_UPDATED) == [CONTEXT_UPDATED]


@pytest.mark.parametrize("server", [{"db.memory.transaction.max": "2m"}], indirect=True)
async def test_a_decision_that_takes_too_much_memory_is_refused_and_others_are_not(
    server: Server, fleet: Fleet
) -> None:
    story = Story()
    large = story.decision("p", "T1", text="x" * 8_000_000)
    error, code = await fleet.refused(lambda: fleet.hydrator.record(large))
    assert (type(error), code) == (StoreError, "FAILED_PRECONDITION")
    assert "has too little memory" in error.message
    assert "db.memory.transaction.max" in error.message
    assert "raise the setting that it names" in error.hint
    assert await fleet.hydrator.record(story.decision("p", "T1")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process that runs")
async def test_a_full_disk_is_told_and_nothing_that_was_acknowledged_is_lost(
    server: Server, fleet: Fleet
) -> None:
    story = Story()
    assert await fleet.hydrator.record(story.decision("p", "T1")) == 1
    assert server.running
    # As a disk that takes no more: its log of transactions may not grow beyond this.
    limits = (512 * 1024, resource.RLIM_INFINITY)
    resource.prlimit(server.running.pid, resource.RLIMIT_FSIZE, limits)
    large = story.decision("q", "T1", text="x" * 3_000_000)
    error, code = await fleet.refused(lambda: fleet.hydrator.record(large))
    assert (type(error), code) == (StoreError, "FAILED_PRECONDITION")
    assert error.hint
    error, code = await fleet.refused(lambda: fleet.hydrator.record(story.decision("r", "T1")))
    assert (type(error), code) == (Unavailable, "UNAVAILABLE")
    assert "critical error" in error.message
    assert "restart" in error.hint
    await fleet.until_ready(ready=False)

    await server.restart({})
    await fleet.until_ready(ready=True)
    assert (await fleet.hydrator.pack(a_request(story))).revision == 1
    assert await fleet.hydrator.record(large) == 2
