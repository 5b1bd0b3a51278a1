"""A process that only asks changes nothing of the work that another one does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.events import DELIBERATION
from fleet_core.domain.job import AgentJob
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.domain.plan_run import Terms
from fleet_core.errors import Unavailable
from fleet_core.ports.executor import ClusterStats, Executor, JobStatus
from fleet_core.testing.playing import seats
from fleet_core.testing.process import STRATEGIES, HashModel, World, process
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate, DeliberateSettings
from fleet_core.usecases.plans import Plans
from fleet_core.usecases.stores import Stores

pytestmark = pytest.mark.anyio
COUNCILS = {"DEV": seats("DEV", 1)}


def clock() -> int:
    return time.time_ns() // 1_000_000


class TakesNoJobs(Executor):
    """That of a process without a runner."""

    async def submit(self, jobs: Sequence[AgentJob]) -> None:
        raise Unavailable("this process runs nothing")

    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:
        return 0

    async def status(self, deliberation_id: str) -> Sequence[JobStatus]:
        return ()

    async def active(self) -> Sequence[JobStatus]:
        return ()

    async def stats(self) -> ClusterStats:
        return ClusterStats("none", 0, 0, 0)


async def test_a_plan_is_cancelled_without_submitting_its_jobs_again() -> None:
    stores = Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)
    slow = HashModel(delay_ms=60_000)
    world = World(stores, InMemoryContextGraph(), COUNCILS, ProtocolSpec("vote"), model=slow)
    plan = Plan("story", "Slow", (Task("slow", "Take your time", "DEV"),))
    async with process(world, "one") as ours, asyncio.timeout(20):
        await ours.plans.approve(plan)
        while not world.runs:  # noqa: ASYNC110 -- a counter of the runner's
            await asyncio.sleep(0.005)
        asking = Deliberate(stores, TakesNoJobs(), ours.hydrate, STRATEGIES, DeliberateSettings())
        plans = Plans(stores, asking, Councils(stores.state, COUNCILS), world.protocol, Terms())
        async with asking.answering():
            await plans.cancel(plan_id(plan), "the story was dropped")
        completed = stores.bus.replay([f"{DELIBERATION}.completed"], follow=True)
        assert (await anext(completed)).event.data["phase"] == "cancelled"
