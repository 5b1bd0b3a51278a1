"""Servers that are restarted, killed, stopped, too slow, full, or no Neo4j at all."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from neo4j import AsyncDriver

from fleet_core.domain.context import Neighbourhood
from fleet_core.domain.told import as_recorded
from fleet_core.errors import FleetError, StoreError, Unavailable
from fleet_core.ports.context_graph import ContextGraph
from fleet_plugins.contracts.stories import Story

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.connected,
    pytest.mark.usefixtures("collected"),
    # The driver leaves its socket to the collector where it is cancelled while it connects.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
Again = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


async def test_a_restarted_server_is_used_again(server: Any, opener: Any, again: Again) -> None:
    graph: ContextGraph = await again(lambda: opener.open(timeout_ms=3_000))
    story = Story()
    decision = story.decision("p", "T1")
    revision = await again(lambda: graph.record_decision(decision, 10))
    await server.stop()
    for call in (
        lambda: graph.record_plan(story.plan("p")),
        lambda: graph.neighbourhood(story.query("q", "T1")),
        lambda: graph.decision("another"),
        lambda: graph.revision(story.name),
    ):
        with pytest.raises(Unavailable, match="does not answer"):
            await call()
    await server.start()
    assert await again(lambda: graph.revision(story.name)) == revision
    found = await again(lambda: graph.neighbourhood(story.query("q", "T1")))
    assert found.siblings == (as_recorded(decision),)
    assert await again(lambda: graph.record_plan(story.plan("p"))) == revision + 1


async def test_what_was_acknowledged_survives_a_kill(
    server: Any, opener: Any, again: Again
) -> None:
    graph: ContextGraph = await opener.open()
    story = Story()
    acknowledged: dict[int, str] = {}
    enough = asyncio.Event()

    async def write(first: int) -> None:
        for n in range(first, 100_000, 4):
            decision = story.decision("p", f"T{n}")
            try:
                acknowledged[await graph.record_decision(decision, n)] = decision.decision_id
            except Unavailable:
                return
            if len(acknowledged) == 100:
                enough.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for first in range(4):
            tasks.create_task(write(first))
        await enough.wait()
        await server.kill()
    await server.start()
    revision = await again(lambda: graph.revision(story.name))
    assert revision >= max(acknowledged)
    for decision_id in acknowledged.values():
        assert await again(lambda: graph.decision(decision_id)) is not None  # noqa: B023 -- awaited at once
    query = story.query("q", "T1", limit=1_000)
    # Of writes that nobody acknowledged, each is there with its revision, or not at all.
    found = await again(lambda: graph.neighbourhood(query))
    assert (found.revision, len(found.siblings)) == (revision, revision)


async def test_no_call_waits_for_ever(server: Any, opener: Any, again: Again) -> None:
    graph: ContextGraph = await again(lambda: opener.open(timeout_ms=1_500))
    story = Story()
    await again(lambda: graph.record_plan(story.plan("p")))
    server.signal(signal.SIGSTOP)
    try:
        async with asyncio.timeout(30):
            for _ in range(2):  # on the connection that was there, and on a new one
                with pytest.raises(Unavailable):
                    await graph.record_plan(story.plan("q"))
    finally:
        server.signal(signal.SIGCONT)
    assert await again(lambda: graph.record_plan(story.plan("r"))) > 1


async def test_a_writer_that_holds_a_story_delays_that_story_alone(
    opener: Any, driver: AsyncDriver, again: Again
) -> None:
    graph: ContextGraph = await again(lambda: opener.open(timeout_ms=3_000))
    held, free = Story(), Story()
    for story in (held, free):
        await again(lambda: graph.record_plan(story.plan("p")))  # noqa: B023 -- awaited at once
    async with driver.session() as session, await session.begin_transaction() as theirs:
        await theirs.run("MATCH (s:Story {story: $story}) SET s.name = 'held'", story=held.name)
        with pytest.raises(Unavailable, match=r"within 3 s|cannot do this now"):
            await graph.record_decision(held.decision("p", "T1"), 10)
        assert await graph.record_decision(free.decision("p", "T1"), 10) == 2
    assert await graph.revision(held.name) == 1
    assert await graph.record_decision(held.decision("p", "T1"), 10) == 2


async def test_callers_that_go_away_leave_nothing_half_done(opener: Any) -> None:
    graph: ContextGraph = await opener.open(connections=4)
    story = Story()
    for cut in range(30):
        call = asyncio.create_task(graph.record_decision(story.decision("p", f"T{cut}"), cut))
        for _ in range(cut * 3):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    revision = await graph.record_plan(story.plan("p"))
    found = await graph.neighbourhood(story.query("q", "T1", limit=100))
    assert len(found.siblings) == revision - 1


async def test_a_read_only_database_is_read_and_not_written(server: Any, opener: Any) -> None:
    graph: ContextGraph = await opener.open()
    story = Story()
    revision = await graph.record_decision(story.decision("p", "T1"), 10)
    await opener.stack.aclose()
    await server.start(server__databases__default_to_read_only="true")
    graph = await opener.open()
    writes: list[Callable[[], Awaitable[int]]] = [
        lambda: graph.record_plan(story.plan("p")),
        lambda: graph.record_decision(story.decision("p", "T2"), 10),
    ]
    for call in writes:
        with pytest.raises(StoreError, match="is read-only") as caught:
            await call()
        assert "uri" in caught.value.hint
    found = await graph.neighbourhood(story.query("q", "T1"))
    assert (found.revision, len(found.siblings)) == (revision, 1)
    assert await graph.neighbourhood(Story().query("q", "T1")) == Neighbourhood(0)
    assert await graph.revision(story.name) == revision


async def test_an_empty_database_that_is_read_only_is_refused(empty: Any, opener: Any) -> None:
    await empty.start(server__databases__default_to_read_only="true")
    with pytest.raises(StoreError, match="is read-only"):
        await opener.open()


@pytest.mark.parametrize("server", [{"db.memory.transaction.max": "2m"}], indirect=True)
async def test_a_write_that_needs_too_much_memory_is_refused_whole(
    server: Any, opener: Any
) -> None:
    graph: ContextGraph = await opener.open()
    story = Story()
    with pytest.raises(StoreError, match="memory") as caught:
        await graph.record_decision(story.decision("p", "T1", text="x" * 8_000_000), 10)
    assert caught.value.hint
    assert await graph.revision(story.name) == 0
    assert await graph.record_decision(story.decision("p", "T1"), 10) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process that runs")
async def test_a_full_disk_loses_nothing_that_was_acknowledged(
    server: Any, opener: Any, again: Again
) -> None:
    graph: ContextGraph = await opener.open()
    story = Story()
    revision = await graph.record_decision(story.decision("p", "T1"), 10)
    server.limit_files(512 * 1024)
    large = story.decision("p", "T2", text="x" * 3_000_000)
    with pytest.raises(StoreError) as refused:
        await graph.record_decision(large, 20)
    assert refused.value.hint
    with pytest.raises(Unavailable, match="critical error") as caught:  # it gives up until then
        await graph.record_decision(story.decision("p", "T3"), 30)
    assert "restart" in caught.value.hint
    await server.stop()
    await server.start()
    assert await again(lambda: graph.revision(story.name)) == revision
    assert await graph.decision(large.decision_id) is None
    assert await graph.record_decision(large, 20) == revision + 1


@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x00", b"\x00\x00\x09\x09", b""]
)
async def test_what_is_no_neo4j_is_named(opener: Any, says: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(FleetError) as caught:
            await opener.open(uri=f"bolt://127.0.0.1:{port}", timeout_ms=1_000)
    assert isinstance(caught.value, StoreError | Unavailable)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert caught.value.hint


async def test_a_server_that_is_not_there(opener: Any, unused_port: int) -> None:
    with pytest.raises(Unavailable) as caught:
        await opener.open(uri=f"bolt://127.0.0.1:{unused_port}", timeout_ms=1_000)
    assert f"127.0.0.1:{unused_port}" in str(caught.value)
