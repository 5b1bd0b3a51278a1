"""What an executor remembers of ended jobs, and forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.testing.jobs import HeldRunner, a_job
from fleet_core.testing.process import Silence
from fleet_core.usecases import execute as subject
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.stores import Stores

pytestmark = pytest.mark.anyio


async def test_those_under_way_and_the_last_that_ended_are_known(
    clock: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_KEPT", 2)
    stores = Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)
    runner = HeldRunner()
    runner.go.clear()
    jobs = [a_job(deliberation=f"d{n}") for n in range(5)]
    async with Execute(runner, stores, Silence(), ExecuteSettings("one")).running() as execute:
        await execute.submit(jobs)
        for job in jobs:
            (status,) = await execute.status(job.deliberation_id)
            assert status.phase != "done"
        runner.go.set()
        async with asyncio.timeout(30):
            while await execute.active():  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
        known = [[s.phase for s in await execute.status(job.deliberation_id)] for job in jobs]
    assert sorted(known) == [[], [], [], ["done"], ["done"]]
