"""Steps: the plan, and what is done with it."""

from __future__ import annotations

import textwrap

from pytest_bdd import given, parsers, then, when

from fleet_core.domain.plan import plan_id
from fleet_core.domain.plan_run import PlanRun
from fleet_features.world import World

SMALL = """
story: notes
title: A notebook
tasks:
  - {id: store, title: Choose where notes are kept, role: DEV}
"""

CHECKED = """
story: notes
tasks:
  - id: store
    title: Write the function
    role: DEV
    checks:
"""


@given("the plan")
def a_plan(world: World, docstring: str) -> None:
    """Put a whole plan before the fleet."""
    world.plan_text = docstring


@given("a plan of one task")
def a_small_plan(world: World) -> None:
    """Put the smallest plan before it: one task, `store`, for DEV."""
    world.plan_text = SMALL


@given("a plan of one task with the check")
def a_checked_plan(world: World, docstring: str) -> None:
    """Put one task, `store`, with one check before it."""
    check = textwrap.indent(docstring, " " * 8)
    world.plan_text = f"{CHECKED}      -\n{check}\n"


@when("the plan is run")
def run_plan(world: World) -> None:
    """Approve it and wait for its end."""
    world.approve()
    world.settle()


@when("the plan is run again")
def run_plan_again(world: World) -> None:
    """Approve a plan that has ended; another one after it shows what came of that."""
    world.notes["calls before"] = world.calls()
    world.notes["told"] = world.approve()
    world.run_another()


@when("the plan is run afresh")
def run_plan_afresh(world: World) -> None:
    """Approve it as if it had never been decided, and wait for the end of that attempt."""
    before = world.run()
    world.notes["calls before"] = world.calls()
    world.approve(fresh=True)
    _wait_for_attempt(world, before)


@when("the plan is approved")
def approve_plan(world: World) -> None:
    """Hand it in and go on at once."""
    world.approve()


@when("the plan has ended")
def wait_for_end(world: World) -> None:
    """Wait until nothing more will happen to it."""
    world.settle()


@when(parsers.parse("{count:d} calls are in flight"))
def calls_in_flight(world: World, count: int) -> None:
    """Wait until the server is answering so many calls."""
    world.call(world.server.until, lambda server: server.in_flight == count)


@when(parsers.parse('the plan is cancelled because "{reason}"'))
def cancel_plan(world: World, reason: str) -> None:
    """Cancel it."""
    world.call(world.fleet.plans.cancel, plan_id(world.plan), reason)


@then("every task is decided")
def every_task_decided(world: World) -> None:
    """Hold all tasks to being decided, their decisions recorded."""
    run = world.run()
    assert run.decided, [(t.task_id, t.state.value, t.reason) for t in run.tasks]
    for task in run.tasks:
        recorded = world.call(world.fleet.graph.decision, _decision_id(world, task.deliberation_id))
        assert recorded is not None
        assert recorded.text


@then("the fleet says that it is decided, and makes no call")
def no_further_call(world: World) -> None:
    """Hold the fleet to what it had asked before."""
    told = world.notes["told"]
    assert told is not None
    assert told.decided
    assert world.calls() == world.notes["calls before"]


@then("every place was asked once")
def asked_once(world: World) -> None:
    """No call was made twice."""
    twice = {place: count for place, count in world.calls().items() if count != 1}
    assert not twice
    assert world.calls()


@then("every place was asked once more")
def asked_again(world: World) -> None:
    """The second attempt made all the calls of the first."""
    before = world.notes["calls before"]
    assert before
    assert world.calls() == before + before


@then(parsers.parse("task {task_id} is in attempt {attempt:d}"))
def in_attempt(world: World, task_id: str, attempt: int) -> None:
    """Hold a task to its attempt."""
    assert world.task(task_id).attempt == attempt


@then(parsers.parse("the server saw {count:d} calls broken off and none goes on"))
def calls_broken_off(world: World, count: int) -> None:
    """Wait until the server has nothing to answer, and count what its clients left."""
    world.call(world.server.until, lambda server: server.in_flight == 0)
    assert world.server.cancelled == count


@then(parsers.parse("every prompt of task {later} holds the decision of task {earlier}"))
def prompt_holds_decision(world: World, later: str, earlier: str) -> None:
    """Look for the whole winning text, word for word, in all that the later council was asked."""
    decision = world.deliberation(earlier).decision
    assert decision is not None
    prompts = world.prompts(later)
    assert prompts
    for prompt in prompts:
        assert decision.text in prompt


@then(parsers.parse("no prompt of task {other} holds the decision of task {task_id}"))
def prompt_lacks_decision(world: World, other: str, task_id: str) -> None:
    """Tasks that do not build on each other are told titles only."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    prompts = world.prompts(other)
    assert prompts
    for prompt in prompts:
        assert decision.text not in prompt


def _decision_id(world: World, deliberation_id: str) -> str:
    decision = world.call(world.fleet.deliberate.get, deliberation_id).decision
    assert decision is not None
    return decision.decision_id


@when("the plan is run for another attempt")
def another_attempt(world: World) -> None:
    """Approve a plan that has ended undecided, and wait for the end of the new attempt."""
    before = world.run()
    world.notes["calls before"] = world.calls()
    world.approve()
    _wait_for_attempt(world, before)


@then(parsers.parse("task {task_id} was asked nothing further"))
def asked_nothing_further(world: World, task_id: str) -> None:
    """The other tasks' new attempt did not touch it."""
    marked = f'"task":"{task_id}"'
    before = {at: n for at, n in world.notes["calls before"].items() if marked in at}
    assert before
    assert {at: n for at, n in world.calls().items() if marked in at} == before


@then("nothing was asked")
def nothing_asked(world: World) -> None:
    """No call at all."""
    assert not world.calls()


@then(parsers.parse("task {task_id} ended as cancelled without a call"))
def cancelled_unstarted(world: World, task_id: str) -> None:
    """A task that waited when its plan was cancelled."""
    task = world.task(task_id)
    assert task.state.value == "cancelled"
    assert not task.deliberation_id
    assert not world.prompts_sent(task_id)


@when(parsers.parse("{count:d} calls are under way"))
def calls_under_way(world: World, count: int) -> None:
    """Wait until the executor runs so many jobs."""
    executor = world.fleet.executor

    async def running() -> bool | None:
        jobs = await executor.active()
        return True if sum(j.phase == "running" for j in jobs) == count else None

    world.until(f"{count} calls are under way", running)


@then("no job is active")
def no_job_active(world: World) -> None:
    """Wait until the executor has nothing in hand."""
    executor = world.fleet.executor

    async def idle() -> bool | None:
        return None if await executor.active() else True

    world.until("no job is active", idle)


def _wait_for_attempt(world: World, before: PlanRun) -> None:
    plans = world.fleet.plans

    async def taken_up() -> bool | None:
        run = await plans.get(before.plan_id)
        return True if run.attempt > before.attempt else None

    world.until("the new attempt is taken up", taken_up)
    world.settle()
