"""Starts one task as a plan of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fleet_core.domain.plan import Plan, Task, plan_id, validated
from fleet_core.domain.plan_run import TaskState
from fleet_core.errors import InputError, NotFound, PlanError, Unavailable
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate
from fleet_core.usecases.plans import Plans

_LIMIT_S = 30.0
_SHORTEST_S, _LONGEST_S = 0.002, 0.1


@dataclass(frozen=True, slots=True)
class Started:
    """A task that has been put to its council."""

    plan_id: str
    deliberation_id: str
    attempt: int
    state: TaskState


async def started(
    plan: Plan, *, fresh: bool, plans: Plans, deliberate: Deliberate, councils: Councils
) -> Started:
    """Approve a plan of one task; returns once its deliberation is saved, by whomever.

    Raises:
        InputError: the plan is refused; fields are those of a request that holds its one task.
        Unavailable: it was approved, and no orchestrator has taken it up yet.
    """
    plan = await _checked(plan, deliberate, councils)
    before = await plans.approve(plan, fresh=fresh)
    attempt = 1
    if before is not None:
        again = before.settled and (fresh or not before.decided)
        attempt = before.attempt + 1 if again else before.attempt
    try:
        async with asyncio.timeout(_LIMIT_S):
            return await _taken_up(plan, attempt, plans, deliberate)
    except TimeoutError:
        raise Unavailable(
            f"plan {plan_id(plan)} is approved, and no orchestrator has taken it up yet",
            "ask again: the same request finds the same plan",
        ) from None


async def _checked(plan: Plan, deliberate: Deliberate, councils: Councils) -> Plan:
    """What consumers of the approval would refuse is refused here, where somebody can be told."""
    task = plan.tasks[0]
    if task.depends_on:
        raise PlanError(
            "should be empty", "a task of its own depends on nothing", field="task.depends_on"
        )
    if task.protocol and task.protocol not in deliberate.protocols:
        known = ", ".join(sorted(deliberate.protocols))
        raise PlanError(
            f"there is no protocol {task.protocol!r}",
            f"known protocols: {known}",
            field="task.protocol",
        )
    try:
        return validated(plan, roles=await councils.all(), source="")
    except PlanError as error:
        field = error.field.replace("tasks[0].id", "task.task_id").replace("tasks[0]", "task")
        raise PlanError(error.message, error.hint, field=field) from None


async def _taken_up(plan: Plan, attempt: int, plans: Plans, deliberate: Deliberate) -> Started:
    """Nobody tells when another process has saved it, so the store is asked, ever more seldom."""
    identity, wait_s = plan_id(plan), _SHORTEST_S
    while True:
        try:
            run = await plans.get(identity)
            task = run.tasks[0]
            if run.attempt >= attempt and task.deliberation_id:
                await deliberate.get(task.deliberation_id)
                return Started(identity, task.deliberation_id, task.attempt, task.state)
        except NotFound:
            pass  # the approval, or the start it calls for, is still on its way
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_S)


def one_task(story: str, task: Task, description: str) -> Plan:
    """The plan of one task."""
    if not task.title.strip():
        raise InputError("is empty", "say what is to be done", field="task.title")
    return Plan(story, task.title, (task,), description)
