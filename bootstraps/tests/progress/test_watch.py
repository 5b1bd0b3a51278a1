from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_bootstraps.progress.view import RunView
from fleet_bootstraps.progress.watch import Watch, approved_at, read
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.decision import DecisionStanding
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.events import COMPLETED, DEAD, PLAN_APPROVED, Event, to_cloudevent
from fleet_core.domain.plan import Plan, Task
from fleet_core.domain.plan_run import PlanRun, TaskRun, TaskState, Terms
from fleet_core.ports.state_store import Put
from fleet_core.usecases import keys
from fleet_core.usecases.documents import dump_object

pytestmark = pytest.mark.anyio
ID, OTHER = "a" * 32, "b" * 32
RUN = PlanRun(
    ID,
    Plan("s", "t", (Task("a", "A", "DEV"),)),
    1,
    1,
    {"DEV": Council("DEV", (Agent("dev-1", 1, "DEV"),))},
    ProtocolSpec(),
    Terms(),
    (TaskRun("a", TaskState.WAITING),),
)


class Clock:
    """Runs a second with every look."""

    now = 0

    def __call__(self) -> int:
        self.now += 1_000
        return self.now


def decided(run: PlanRun) -> PlanRun:
    task = TaskRun("a", TaskState.DECIDED, 1, "", "dev-1", DecisionStanding.VERIFIED, recorded=True)
    return replace(run, tasks=(task,))


def letter(subject: str, identity: str, plan_id: str, reason: str) -> Event:
    about = Event(identity, subject, {"plan_id": plan_id})
    data = {"event": to_cloudevent(about), "reason": reason, "attempts": 5}
    return Event(f"dead:{identity}", f"{DEAD}.{subject}", data)


class Stage:
    """A bus, a state store and a watch over them."""

    def __init__(self, attempt: int = 1) -> None:
        clock = Clock()
        self.bus = InMemoryEventBus(clock)
        self.state = InMemoryStateStore(clock)
        self.shown: list[RunView] = []
        self.watch = Watch(self.bus, self.state, ID, attempt, clock=clock, show=self.shown.append)

    async def save(self, run: PlanRun) -> None:
        await self.state.commit([Put(keys.plan(ID), dump_object(run))])

    async def ended(self) -> str:
        async with asyncio.timeout(20):
            return await self.watch.ended()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- looks at what has no event of its own
            await asyncio.sleep(0.01)


async def test_a_settled_run_ends_the_watch() -> None:
    stage = Stage()
    await stage.save(decided(RUN))

    assert await stage.ended() == ""
    assert stage.watch.snapshot.run == decided(RUN)
    assert [t.state for t in stage.shown[-1].tasks] == ["decided"]


async def test_an_earlier_attempt_does_not() -> None:
    stage = Stage(attempt=2)
    await stage.save(decided(RUN))

    async with asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(stage.ended())
        await until(lambda: stage.watch.snapshot.run is not None or ended.done())
        assert not ended.done()
        assert stage.shown == []
        await stage.save(replace(decided(RUN), attempt=2))
        await stage.bus.publish([Event("x", COMPLETED, {"plan_id": ID})])

    assert stage.shown[-1].attempt == 2


@pytest.mark.parametrize("kept", [False, True])
async def test_an_undeliverable_event_of_the_plan_ends_it_with_the_reason(kept: bool) -> None:
    stage = Stage()
    if kept:
        await stage.save(RUN)
    subject, identity = (COMPLETED, "d:9:completed") if kept else (PLAN_APPROVED, f"plan:{ID}:1:7")
    await stage.bus.publish([letter(subject, identity, ID if kept else "", "the graph is full")])

    reason = await stage.ended()

    assert f"{subject} went to the dead letters: the graph is full" in reason


async def test_another_plans_dead_letters_do_not_matter() -> None:
    stage = Stage()
    await stage.save(RUN)
    await stage.bus.publish(
        [
            letter(COMPLETED, "d:9:completed", OTHER, "x"),
            letter(PLAN_APPROVED, f"plan:{OTHER}:1:7", OTHER, "x"),
            letter("agent.results.x", "r", ID, "x"),
        ]
    )
    async with asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(stage.ended())
        await until(lambda: len(stage.shown) > 2 or ended.done())
        assert not ended.done()
        await stage.save(decided(RUN))

    assert ended.result() == ""


async def test_letters_from_before_the_latest_approval_are_past() -> None:
    stage = Stage()
    await stage.bus.publish([letter(PLAN_APPROVED, f"plan:{ID}:1:7", ID, "then")])
    await stage.bus.publish([Event(f"plan:{ID}:1:8", PLAN_APPROVED, {})])
    await stage.save(RUN)

    position = await approved_at(stage.bus, ID, 1)
    after = [s.event.event_id async for s in stage.bus.replay([f"{DEAD}.>"], after=position)]

    assert position > 0
    assert after == []


async def test_what_was_never_run_is_no_run() -> None:
    stage = Stage()

    assert (await read(stage.state, ID)).run is None
