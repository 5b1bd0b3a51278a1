from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from fleet_bootstraps.fleet import core_strategies
from fleet_bootstraps.monitor.picture import SUBJECTS, Picture
from fleet_core.domain.events import COMPLETED, DEAD, PLAN_APPROVED, Event, to_cloudevent
from fleet_core.usecases.approvals import cancellation

pytestmark = pytest.mark.anyio
Staged = Callable[..., AbstractAsyncContextManager[Any]]
TASKS = (
    {"id": "a", "title": "Do a", "role": "DEV"},
    {"id": "b", "title": "Do b", "role": "QA", "depends_on": ["a"]},
    {"id": "c", "title": "Do c", "role": "DEV", "depends_on": ["b"]},
)
NOTHING_OF_B = {"task": "b", "fail": {"status": 400}}


def folded(events: list[Event], **more: Any) -> Picture:
    picture = Picture(core_strategies(), **more)
    for position, event in enumerate(events, 1):
        picture.take(event, position)
    return picture


@pytest.fixture
async def log(staged: Staged) -> tuple[list[Event], Any]:
    """The events of a plan whose second task fails, and its run as it was saved."""
    async with staged({"text": "def f(): pass"}, NOTHING_OF_B) as stage:
        run = await stage.run(*TASKS)
        events = [s.event async for s in stage.fleet.bus.replay(SUBJECTS)]
        for task in run.tasks:
            if task.deliberation_id:
                saved = await stage.fleet.deliberate.get(task.deliberation_id)
                assert stage.site.picture.deliberations[task.deliberation_id].state == saved
    return events, run


async def test_the_fold_is_what_was_saved(log: tuple[list[Event], Any]) -> None:
    events, run = log

    planned = folded(events).plans[run.plan_id]

    assert [t.state.value for t in run.tasks] == ["decided", "failed", "blocked"]
    assert planned.run.tasks == run.tasks


@pytest.mark.parametrize("seed", range(8))
async def test_order_and_repetition_do_not_matter_to_a_deliberation(
    log: tuple[list[Event], Any], seed: int
) -> None:
    events, _ = log
    shuffled = [*events, *events[::2]]
    random.Random(seed).shuffle(shuffled)

    straight, mixed = folded(events).deliberations, folded(shuffled).deliberations

    assert {k: v.state for k, v in mixed.items()} == {k: v.state for k, v in straight.items()}
    assert all(one.complete for one in mixed.values())


async def test_a_missing_event_is_said_and_not_made_up(log: tuple[list[Event], Any]) -> None:
    events, run = log
    identity = run.tasks[0].deliberation_id
    gone = f"{identity}:1:started"

    tracked = folded([e for e in events if e.event_id != gone]).deliberations[identity]

    assert not tracked.complete
    assert tracked.state is None
    assert tracked.phase == "decided"
    assert tracked.why == "version 1 is not in what is kept of the log"


async def test_an_event_that_says_otherwise_than_it_holds_is_not_believed(
    log: tuple[list[Event], Any],
) -> None:
    events, run = log
    identity = run.tasks[0].deliberation_id
    forged = [
        replace(e, data={**e.data, "phase": "cancelled"})
        if e.event_id.startswith(f"{identity}:2:")
        else e
        for e in events
    ]

    tracked = folded(forged).deliberations[identity]

    assert tracked.state is not None
    assert tracked.state.version == 1
    assert "says version 2, cancelled; reduced here it is version 2, running" in tracked.trouble


async def test_only_so_many_states_and_rows_are_held(log: tuple[list[Event], Any]) -> None:
    events, run = log

    few_states = folded(events, states_held=1)
    few_rows = folded(events, rows_held=1)

    assert sum(one.state is not None for one in few_states.deliberations.values()) == 1
    assert len(few_states.deliberations) == 2
    assert list(few_rows.deliberations) == [run.tasks[1].deliberation_id]
    assert few_rows.let_go
    assert list(folded(events, plans_held=0).plans) == []


async def test_tasks_that_wait_are_cancelled_with_their_plan(staged: Staged) -> None:
    async with staged({"text": "def f(): pass", "delay_ms": 60_000}) as stage:
        identity = await stage.approve(*TASKS)
        await stage.until(lambda: bool(stage.site.picture.deliberations))
        await stage.fleet.plans.cancel(identity, "the story was dropped")
        planned = stage.site.picture.plans[identity]
        await stage.until(lambda: planned.run.settled)
        saved = await stage.fleet.plans.get(identity)
    assert [(t.state.value, t.reason) for t in planned.run.tasks] == [
        ("cancelled", "the story was dropped")
    ] * 3
    assert planned.run.tasks == saved.tasks


async def test_a_cancellation_of_an_earlier_attempt_is_past(log: tuple[list[Event], Any]) -> None:
    events, run = log
    approval = next(e for e in events if e.subject == PLAN_APPROVED)
    past = cancellation(replace(run, attempt=0), "enough", 1)

    planned = folded([approval, past]).plans[run.plan_id]

    assert [t.state.value for t in planned.run.tasks] == ["running", "waiting", "waiting"]


HOSTILE: list[Event] = [
    Event("1", "orchestration.deliberation.started", {}),
    Event("2", "orchestration.deliberation.started", {"deliberation_id": 7}),
    Event("3", "orchestration.deliberation.started", {"deliberation_id": "x" * 1_000_000}),
    Event("4", COMPLETED, {"deliberation_id": "d", "plan_id": [], "phase": {}}, 0, 3),
    Event("5", PLAN_APPROVED, {"plan": {"story": 1}, "plan_id": "p"}),
    Event("6", PLAN_APPROVED, {}),
    Event("7", "context.updated", {"plan_id": None}),
    Event("8", f"{DEAD}.x", {"event": "\u202e<script>", "reason": ["\x00"]}),
    Event("9", "orchestration.deliberation.advanced", {"deliberation_id": "e", "input": {}}, 0, 1),
    Event("a", "orchestration.deliberation.advanced", {"deliberation_id": "f", "input": 1}, 0, 1),
]


async def test_hostile_events_are_counted_and_change_nothing() -> None:
    picture = folded(HOSTILE)

    assert picture.events == len(HOSTILE)
    assert picture.unreadable >= 4
    assert not picture.plans
    assert all(one.state is None for one in picture.deliberations.values())


async def test_an_approval_that_nobody_took_up_says_why(log: tuple[list[Event], Any]) -> None:
    events, run = log
    approval = next(e for e in events if e.subject == PLAN_APPROVED)
    reason = "role DEV has no council"
    letter = Event(
        "l", f"{DEAD}.{PLAN_APPROVED}", {"event": to_cloudevent(approval), "reason": reason}
    )

    picture = folded([approval, letter])

    assert picture.plans[run.plan_id].refused == reason
    assert picture.letters == 1
