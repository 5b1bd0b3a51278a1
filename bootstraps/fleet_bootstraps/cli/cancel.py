"""`fleet cancel`: ends a plan or a deliberation, in this process or another."""

from __future__ import annotations

import asyncio

from fleet_bootstraps.answering import answering, needed_ports
from fleet_bootstraps.cli.kept import find_deliberation, find_plan, is_plan, require_home
from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line
from fleet_bootstraps.cli.session import Session
from fleet_core.domain.plan_run import PlanRun, TaskState
from fleet_core.errors import NotFound, Unavailable
from fleet_core.usecases.plans import Plans
from fleet_core.usecases.stores import Stores

_PATIENCE_S = 10.0
_LOOK_S = 0.05


async def cancel(opened: Session, name: str, reason: str, *, as_json: bool) -> Exit:
    """Cancel a plan (file, built-in name or id) or a deliberation (id)."""
    require_home(opened)
    profile, clock = opened.profile, opened.context.clock
    async with (
        opened.ports(*needed_ports(profile)) as ports,
        answering(profile, clock, ports) as own,
        own.plans.running(),
    ):
        run = await _plan(opened, own.stores, name)
        if run is not None:
            return await _cancel_plan(own.plans, run, reason, as_json=as_json)
        found = await find_deliberation(own.stores.state, name)
        ended = await own.deliberate.cancel(found.deliberation_id, reason)
        await _until_told(own.plans, ended.plan_id, ended.task.task_id)
        said = {"deliberation": ended.deliberation_id, "state": ended.phase.value}
        if as_json:
            emit(said)
        else:
            line(f"deliberation {ended.deliberation_id[:12]} is {ended.phase.value}")
        return Exit.DONE


async def _plan(opened: Session, stores: Stores, name: str) -> PlanRun | None:
    try:
        return await find_plan(opened, stores.state, name)
    except NotFound:
        if is_plan(name):
            raise
        return None


async def _cancel_plan(plans: Plans, run: PlanRun, reason: str, *, as_json: bool) -> Exit:
    if not run.settled:
        await plans.cancel(run.plan_id, reason)
        for task in run.tasks:
            await _until_told(plans, run.plan_id, task.task_id)
        run = await plans.get(run.plan_id)
    states = {t.task_id: t.state.value for t in run.tasks}
    if as_json:
        emit({"plan_id": run.plan_id, "attempt": run.attempt, "tasks": states})
    else:
        line(f"plan {run.plan_id[:12]}, attempt {run.attempt}")
        for task_id, state in states.items():
            line(f"{task_id}: {state}")
    return Exit.DONE


async def _until_told(plans: Plans, plan_id: str, task_id: str) -> None:
    """Wait until the plan has heard of a deliberation's end, whoever hears it first."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            # Another process may be the one that saves it, so there is no event to wait for here.
            while (await plans.get(plan_id)).task(task_id).state is TaskState.RUNNING:  # noqa: ASYNC110 -- as above
                await asyncio.sleep(_LOOK_S)
    except NotFound:
        return  # it was deliberated outside any plan
    except TimeoutError:
        raise Unavailable(
            f"{task_id} is cancelled, and its plan has not heard of it yet",
            "the process that works on the plan may hang; the next `fleet run` settles it",
        ) from None
