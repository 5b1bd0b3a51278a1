"""A run over stores in which nobody works, or only as told."""

from __future__ import annotations

import time

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_adapters.scripted.server import ScriptedServer
from fleet_core.domain.events import COMPLETED, PLAN_APPROVED, Event
from fleet_core.usecases.stores import Stores
from fleet_features.kill import run as running
from fleet_features.kill.ground import Ground
from fleet_features.kill.run import Hung, Run
from fleet_features.kill.watch import Watch

pytestmark = pytest.mark.anyio


def clock() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def idle() -> Ground:
    stores = Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)
    return Ground(ScriptedServer(), stores, InMemoryContextGraph(), {})


async def test_a_fleet_in_which_nothing_happens_hangs_and_is_not_waited_for(
    idle: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_STALLED_S", 0.3)

    with pytest.raises(ExceptionGroup) as told:
        await Run(idle, "a-story").undisturbed()

    assert told.group_contains(Hung, match="0 of 11 tasks completed, 0 calls asked")
    submitted = [stored async for stored in idle.stores.bus.replay([PLAN_APPROVED])]
    assert len(submitted) == 3, "no more than three plans are under way at once"


async def test_what_was_in_the_log_before_is_not_of_this_run_and_nothing_is_read_twice(
    idle: Ground,
) -> None:
    watch = Watch(idle.stores, idle.server, [])
    await idle.stores.bus.publish([Event("old", COMPLETED, {"task_id": "a"})])
    await watch.begin()
    await idle.stores.bus.publish([Event("new", COMPLETED, {"task_id": "b"})])

    await watch.read_log()
    await watch.read_log()

    assert watch.completed == {"b": 1}


async def test_a_deliberation_that_waits_longest_is_the_recovery(idle: Ground) -> None:
    watch = Watch(idle.stores, idle.server, [])
    for at, (task, kind) in enumerate(
        [
            ("a", "started"),
            ("b", "started"),
            ("c", "started"),
            ("c", "completed"),
            ("a", "advanced"),
            ("d", "started"),
            ("b", "advanced"),
        ]
    ):
        subject = f"orchestration.deliberation.{kind}"
        watch.events.append(Event(f"{at}", subject, {"task_id": task}))
        watch.at.append(float(at))

    assert watch.idle_s(since=3.5) == 2.5
    assert watch.idle_s(since=6.0) == 0.0
