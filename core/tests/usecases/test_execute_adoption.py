"""Jobs that an executor accepted and did not live to end are taken up without being submitted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.events import RESULTS
from fleet_core.ports.state_store import Delete, Put
from fleet_core.testing.faults import Fault, FaultyBus, FaultyState
from fleet_core.testing.jobs import HeldRunner, a_job
from fleet_core.testing.playing import replied
from fleet_core.testing.process import Silence
from fleet_core.usecases import keys
from fleet_core.usecases.documents import dump_object
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.stores import Stores

pytestmark = pytest.mark.anyio
TTL_MS = 3_000


@pytest.fixture
async def stores(clock: Callable[[], int]) -> Stores:
    return Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)


@asynccontextmanager
async def executing(
    stores: Stores, runner: HeldRunner, owner: str, fault: Fault | None = None
) -> AsyncIterator[Execute]:
    fault = fault or Fault()
    seen = Stores(
        FaultyBus(stores.bus, fault), FaultyState(stores.state, fault), stores.blobs, stores.clock
    )
    settings = ExecuteSettings(owner, TTL_MS, keeps_jobs=True)
    async with Execute(runner, seen, Silence(), settings).running() as execute:
        yield execute


async def published(stores: Stores) -> int:
    return len([1 async for _ in stores.bus.replay([f"{RESULTS}.>"])])


async def kept(stores: Stores) -> int:
    found = [*await stores.state.scan("accepted/"), *await stores.state.scan("accepted-job/")]
    return len(found)


async def test_the_jobs_of_a_dead_executor_are_taken_up(stores: Stores) -> None:
    first, second, fault = HeldRunner(), HeldRunner(), Fault()
    first.go.clear()
    async with executing(stores, first, "one", fault) as one:
        await one.submit([a_job()])
        await asyncio.sleep(1)
        fault.dead.set()
        fault.killed = True
    assert first.begun
    assert await published(stores) == 0
    async with executing(stores, second, "two"):
        await asyncio.sleep(TTL_MS / 1000 * 1.6)
        assert second.begun
        assert await published(stores) == 1
    assert await kept(stores) == 0


async def test_a_stopped_executor_hands_its_jobs_over(stores: Stores) -> None:
    """Its claims are given back, so that nobody waits for them to run out."""
    first, second = HeldRunner(), HeldRunner()
    first.go.clear()
    async with executing(stores, second, "two"):
        async with executing(stores, first, "one") as one:
            await one.submit([a_job()])
            await asyncio.sleep(1)
            assert not second.begun
        await asyncio.sleep(TTL_MS / 2000 + 0.5)
        assert second.begun
        assert await published(stores) == 1
    assert await kept(stores) == 0


async def test_a_job_in_good_hands_is_left_there(stores: Stores) -> None:
    first, second = HeldRunner(), HeldRunner()
    first.go.clear()
    async with executing(stores, first, "one") as one, executing(stores, second, "two"):
        await one.submit([a_job()])
        await asyncio.sleep(30)
        assert not second.begun
        first.go.set()
        await asyncio.sleep(1)
    assert await published(stores) == 1
    assert await kept(stores) == 0


async def test_what_is_journaled_and_not_published_is_published_and_not_run(
    stores: Stores,
) -> None:
    runner = HeldRunner()
    first = HeldRunner()
    first.go.clear()
    fault = Fault()
    async with executing(stores, first, "one", fault) as one:
        await one.submit([a_job()])
        await asyncio.sleep(1)
        fault.dead.set()
        fault.killed = True
    await stores.state.commit(
        [
            Put(keys.journal(a_job().job_id), dump_object(replied(a_job(), "told late")), 0),
            Delete(keys.claim(a_job().job_id)),
        ]
    )
    async with executing(stores, runner, "two"):
        await asyncio.sleep(TTL_MS / 1000)
    assert not runner.begun
    assert await published(stores) == 1
    assert await kept(stores) == 0


async def test_a_job_that_cannot_be_read_does_not_keep_others_waiting(stores: Stores) -> None:
    first, second, fault = HeldRunner(), HeldRunner(), Fault()
    first.go.clear()
    async with executing(stores, first, "one", fault) as one:
        await one.submit([a_job()])
        await asyncio.sleep(1)
        fault.dead.set()
        fault.killed = True
    await stores.state.commit(
        [Put(keys.accepted("0"), b""), Put(keys.accepted_job("0"), b'{"of": "another version"}')]
    )
    async with executing(stores, second, "two"):
        await asyncio.sleep(TTL_MS / 1000 * 1.6)
    assert await published(stores) == 1
    assert await kept(stores) == 2
