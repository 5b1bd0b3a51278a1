"""A plan comes to the same end wherever a process dies, and whatever fails for a moment."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.deliberation import Deliberation, ProtocolSpec
from fleet_core.domain.events import (
    COMPLETED,
    CONTEXT_UPDATED,
    DELIBERATION,
    PLAN_CANCELLED,
    Event,
)
from fleet_core.domain.plan import CheckSpec, Plan, Task, plan_id
from fleet_core.domain.plan_run import PlanRun, TaskState
from fleet_core.errors import FleetError
from fleet_core.testing.faults import Fault
from fleet_core.testing.playing import folded, judge, seats
from fleet_core.testing.process import STRATEGIES, HashModel, World, process
from fleet_core.usecases import deliberate, keys
from fleet_core.usecases.approvals import approval
from fleet_core.usecases.deliberate import DeliberateSettings
from fleet_core.usecases.documents import load_object
from fleet_core.usecases.saved import read
from fleet_core.usecases.stores import Stores

pytestmark = pytest.mark.anyio

PLAN = Plan(
    "story",
    "A story",
    (
        Task("a", "First", "DEV", checks=(CheckSpec("python"),)),
        Task("b", "Second", "QA", depends_on=("a",)),
    ),
)
ID = plan_id(PLAN)
PATIENCE_S = 50
"""Virtual seconds a plan may take. Jobs are submitted again after 60: nothing may count on that."""


def world(clock: Callable[[], int], *, joins: bool = False) -> World:
    stores = Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)
    councils = {role: seats(role, 2) for role in ("DEV", "QA")}
    protocol = ProtocolSpec(rounds=1, judge=judge())
    model = HashModel(delay_ms=50)
    return World(stores, InMemoryContextGraph(), councils, protocol, model=model, joins=joins)


async def run_of(there: World) -> PlanRun | None:
    (document,) = await there.stores.state.get([keys.plan(ID)])
    return load_object(PlanRun, document) if document is not None else None


async def settled(there: World, patience_s: float = PATIENCE_S) -> PlanRun:
    """The run once it has settled and nothing is left to do."""
    async with asyncio.timeout(patience_s):
        while True:
            run = await run_of(there)
            open_ = [*await there.stores.state.scan(keys.DUE)]
            open_ += await there.stores.state.scan(keys.PLAN_OPEN)
            if run is not None and run.settled and not open_:
                return run
            await asyncio.sleep(0.05)


async def approve(plans: object) -> None:
    while True:
        try:
            await plans.approve(PLAN)  # type: ignore[attr-defined]  # Plans, whose process may fail
        except FleetError:
            await asyncio.sleep(0.1)
        else:
            return


async def undisturbed(
    clock: Callable[[], int], *, joins: bool = False
) -> tuple[World, PlanRun, Fault]:
    there, fault = world(clock, joins=joins), Fault()
    async with process(there, "only", fault) as only:
        await only.plans.approve(PLAN)
        run = await settled(there)
    return there, run, fault


async def check(there: World, run: PlanRun, like: tuple[World, PlanRun, Fault]) -> None:
    """The same decisions, a log that folds to each state, `completed` once, every slice back."""
    expected = like[1]
    assert [(t.state, t.winner, t.standing) for t in run.tasks] == [
        (t.state, t.winner, t.standing) for t in expected.tasks
    ]
    for task in run.tasks:
        state = await state_of(there, task.deliberation_id)
        same = await state_of(like[0], task.deliberation_id)
        assert state.decision is not None
        assert same.decision is not None
        assert state.decision.text == same.decision.text
        log = await log_of(there, task.deliberation_id)
        assert folded(log, STRATEGIES["peer-review"]) == state
        assert [e.subject for e in log].count(COMPLETED) == 1
        assert state.lease.reserved_tokens == 0
        assert state.lease.spent_tokens <= state.lease.tokens
        assert await there.graph.decision(state.decision.decision_id) is not None
    updated = [s.event async for s in there.stores.bus.replay([CONTEXT_UPDATED])]
    assert len(updated) == len(run.tasks)
    assert not [s async for s in there.stores.bus.replay(["dead.>"])]
    await asyncio.sleep(there.claim_ttl_ms / 1000)  # one whose making failed to be told runs out
    assert not await there.stores.state.scan("claim/")


async def state_of(there: World, identity: str) -> Deliberation:
    (document,) = await there.stores.state.get([keys.deliberation(identity)])
    assert document is not None
    return read(document).state


async def log_of(there: World, identity: str) -> list[Event]:
    every = [s.event async for s in there.stores.bus.replay([f"{DELIBERATION}.>"])]
    return [e for e in every if e.data["deliberation_id"] == identity]


async def crashed(there: World, fault: Fault) -> Counter[str]:
    """Run a process until it dies of its fault; the runs of jobs that were journaled by then."""

    async def live() -> None:
        async with process(there, "first", fault) as first:
            await approve(first.plans)
            await fault.dead.wait()

    task = asyncio.create_task(live())
    async with asyncio.timeout(PATIENCE_S):
        dead = asyncio.create_task(fault.dead.wait())
        await asyncio.wait([task, dead], return_when=asyncio.FIRST_COMPLETED)
        assert fault.dead.is_set(), "the process ended before it died"
        journaled = {
            d.key.removeprefix("journal/") for d in await there.stores.state.scan("journal/")
        }
        runs = Counter({job: there.runs[job] for job in journaled})
        fault.killed = True
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
    return runs


async def test_it_runs_undisturbed(clock: Callable[[], int]) -> None:
    like = await undisturbed(clock)
    there, run, _ = like
    await check(there, run, like)
    assert set(there.runs.values()) == {1}
    second = await state_of(there, run.tasks[1].deliberation_id)
    first = await state_of(there, run.tasks[0].deliberation_id)
    assert second.pack is not None
    assert first.decision is not None
    assert first.decision.text in second.pack.text


@pytest.mark.parametrize("joins", [False, True], ids=["apart", "joined"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("part", range(4))
async def test_a_crash_at_any_operation(
    clock: Callable[[], int], after: bool, part: int, joins: bool
) -> None:
    like = await undisturbed(clock, joins=joins)
    for at in range(1 + part, len(like[2].seen) + 1, 4):
        there, fault = world(clock, joins=joins), Fault(at, crash=True, after=after)
        runs = await crashed(there, fault)
        async with process(there, "second") as second:
            await second.plans.approve(PLAN)
            run = await settled(there)
        where = f"operation {at}, {fault.seen[at - 1]}"
        await check(there, run, like)
        assert {job: there.runs[job] for job in runs} == dict(runs), f"{where}: paid for twice"
        assert sum(there.runs.values()) <= sum(like[0].runs.values()) + 4, where


@pytest.mark.parametrize("joins", [False, True], ids=["apart", "joined"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("part", range(2))
async def test_a_moment_of_unavailability_at_any_operation(
    clock: Callable[[], int], after: bool, part: int, joins: bool
) -> None:
    like = await undisturbed(clock, joins=joins)
    for at in range(1 + part, len(like[2].seen) + 1, 2):
        there, fault = world(clock, joins=joins), Fault(at, after=after)
        async with process(there, "only", fault) as only:
            await approve(only.plans)
            run = await settled(there)
        await check(there, run, like)
        runs = there.runs.copy()
        if fault.seen[at - 1] == "runner.run":
            runs.subtract({job: 1 for job, count in runs.items() if count == 2})
        assert set(runs.values()) == {1}, f"operation {at}, {fault.seen[at - 1]}"


@pytest.mark.parametrize("joins", [False, True], ids=["apart", "joined"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("share", [0.03, 0.1, 0.3])
async def test_a_flaky_world(
    clock: Callable[[], int], share: float, after: bool, joins: bool
) -> None:
    """That share of all operations fails, before or after it had its effect."""
    like = await undisturbed(clock, joins=joins)
    there, luck = world(clock, joins=joins), random.Random(7)
    fault = Fault(after=after, also=frozenset(n for n in range(20_000) if luck.random() < share))
    async with process(there, "only", fault) as only:
        await approve(only.plans)
        run = await settled(there, 800)
    await check(there, run, like)


async def test_two_processes_share_the_work(clock: Callable[[], int]) -> None:
    like = await undisturbed(clock)
    there = world(clock)
    async with process(there, "one") as one, process(there, "two") as two:
        await asyncio.gather(one.plans.approve(PLAN), two.plans.approve(PLAN))
        run = await settled(there)
    await check(there, run, like)
    assert set(there.runs.values()) == {1}


@pytest.mark.parametrize("at", range(4, 44, 4))
async def test_one_of_two_processes_dies(clock: Callable[[], int], at: int) -> None:
    like = await undisturbed(clock)
    there, fault = world(clock), Fault(at, crash=True, after=at % 2 == 0)
    there.deliberate = DeliberateSettings(again_ms=10_000)
    async with process(there, "second"):
        runs = await crashed(there, fault)
        run = await settled(there)
    await check(there, run, like)
    assert {job: there.runs[job] for job in runs} == dict(runs)


async def test_a_plan_that_waited_for_an_orchestrator_is_not_late(
    clock: Callable[[], int],
) -> None:
    """Leases run from when somebody acts, not from the time of the event."""
    there = world(clock)
    hour = 3_600_000
    await there.stores.bus.publish([approval(PLAN, 1, clock() - 2 * hour)])
    fault = Fault(60, crash=True)
    with suppress(TimeoutError):
        await crashed(there, fault)
    await asyncio.sleep(hour / 1000)
    async with process(there, "later"):
        run = await settled(there)
    second = await state_of(there, run.tasks[1].deliberation_id)
    assert second.decision is not None, second.failure
    assert run.approved_ms < second.started_ms - 2 * hour


async def test_an_approval_under_another_plans_id_is_buried(clock: Callable[[], int]) -> None:
    there = world(clock)
    event = approval(PLAN, 1, clock())
    forged = replace(event, event_id="forged", data={**event.data, "plan_id": "0" * 32})
    ids_alone = replace(event, event_id="ids", data={"plan_id": ID})
    async with process(there, "only"):
        await there.stores.bus.publish([forged, ids_alone])
        await asyncio.sleep(5)
    letters = [s.event.data["reason"] async for s in there.stores.bus.replay(["dead.>"])]
    assert any("plan_id: is not the plan's id" in reason for reason in letters)
    assert any("does not hold it" in reason for reason in letters)
    assert not await there.stores.state.scan("plan/")


async def test_a_cancelled_plan_ends_wherever_it_was(clock: Callable[[], int]) -> None:
    there = world(clock)
    async with process(there, "only") as only:
        await only.plans.approve(PLAN)
        await asyncio.sleep(0.08)
        for _ in range(2):
            await only.plans.cancel(ID, "enough")
        run = await settled(there)
        assert not await only.execute.active()
    assert [t.state for t in run.tasks] == [TaskState.CANCELLED] * 2
    state = await state_of(there, run.tasks[0].deliberation_id)
    assert state.failure is not None
    assert state.failure.reason == "enough"
    told = [stored.event.data async for stored in there.stores.bus.replay([PLAN_CANCELLED])]
    assert told == [{"plan_id": ID, "attempt": 1, "reason": "enough"}]


async def test_what_a_dead_process_was_handed_is_read_from_the_journal(
    clock: Callable[[], int],
) -> None:
    """Its events come again only once the bus gives it up; whoever goes on does not wait for it."""
    there = world(clock)
    async with there.stores.bus.subscribe(deliberate.SUBSCRIPTION) as dead:
        held = asyncio.ensure_future(anext(dead))
        async with process(there, "first") as first:
            await approve(first.plans)
            await held
        async with process(there, "second"):
            run = await settled(there, deliberate.SUBSCRIPTION.ack_wait_ms / 1000 - 2)
    assert run.decided
    assert set(there.runs.values()) == {1}
