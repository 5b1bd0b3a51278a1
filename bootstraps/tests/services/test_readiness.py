"""A service says that it is ready only while its bus and its stores answer."""

from __future__ import annotations

import asyncio
import time

import pytest

from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_bootstraps.services.readiness import probes, unanswered, watch
from fleet_core.errors import Unavailable
from fleet_core.testing.faults import Fault, FaultyState

pytestmark = pytest.mark.anyio


def clock() -> int:
    return time.time_ns() // 1_000_000


async def test_stores_that_answer_are_ready() -> None:
    asked = probes(InMemoryEventBus(clock), InMemoryStateStore(clock))
    assert await unanswered(asked, 5) == {}


async def test_a_store_that_fails_is_named_with_the_reason() -> None:
    async def away() -> None:
        raise Unavailable("the server is away")

    async def well() -> None:
        return

    assert await unanswered({"state": away, "bus": well}, 5) == {"state": "the server is away"}


async def test_a_graph_is_asked_where_there_is_one() -> None:
    class Away(InMemoryContextGraph):
        async def revision(self, story: str) -> int:
            raise Unavailable("the graph is away")

    bus, state = InMemoryEventBus(clock), InMemoryStateStore(clock)
    assert set(probes(bus, state)) == {"bus", "state"}
    assert await unanswered(probes(bus, state, InMemoryContextGraph()), 5) == {}
    assert await unanswered(probes(bus, state, Away()), 5) == {"graph": "the graph is away"}


async def test_a_store_that_hangs_is_not_waited_for() -> None:
    fault = Fault()
    fault.dead.set()  # it never answers again
    asked = probes(InMemoryEventBus(clock), FaultyState(InMemoryStateStore(clock), fault))
    found = await unanswered(asked, 0.05)
    assert found == {"state": "no answer within 0.05 s"}


async def test_what_changes_is_told_once() -> None:
    told: asyncio.Queue[bool] = asyncio.Queue()
    answers = True

    async def one() -> None:
        if not answers:
            raise Unavailable("away")

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch({"one": one}, told.put, every_s=0.001))
        answers = False
        assert await asyncio.wait_for(told.get(), 5) is False
        answers = True
        assert await asyncio.wait_for(told.get(), 5) is True
        watching.cancel()
    assert told.empty()
