"""`fleet cancel`: ends a plan or a deliberation, in this process or another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fleet_bootstraps.cli.kept import find_deliberation, find_plan, is_plan, require_home
from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.councils import configured, protocol_spec
from fleet_bootstraps.fleet import core_strategies
from fleet_core.domain.context import ContextPack, PackRequest
from fleet_core.domain.decision import Decision
from fleet_core.domain.job import AgentJob
from fleet_core.domain.plan_run import PlanRun, TaskState
from fleet_core.errors import NotFound, Unavailable
from fleet_core.ports.executor import ClusterStats, Executor, JobStatus
from fleet_core.ports.hydrator import Hydrator
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate, DeliberateSettings
from fleet_core.usecases.plans import Plans
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import PortName

_PATIENCE_S = 10.0
_LOOK_S = 0.05
_HERE = "this process only cancels"


class _NoExecutor(Executor):
    """Runs nothing: whoever runs the jobs hears of the cancellation from the saved state."""

    async def submit(self, jobs: Sequence[AgentJob]) -> None:  # noqa: ARG002 -- the port's
        raise Unavailable(_HERE)

    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:  # noqa: ARG002 -- the port's
        return 0

    async def status(self, deliberation_id: str) -> Sequence[JobStatus]:  # noqa: ARG002 -- the port's
        return ()

    async def active(self) -> Sequence[JobStatus]:
        return ()

    async def stats(self) -> ClusterStats:
        return ClusterStats("none", 0, 0, 0, 0)


class _NoHydrator(Hydrator):
    """Gives no packs: a task that this process starts to cancel it needs none."""

    async def pack(self, request: PackRequest) -> ContextPack:  # noqa: ARG002 -- the port's
        raise Unavailable(_HERE)

    async def record(self, decision: Decision) -> int:  # noqa: ARG002 -- the port's
        raise Unavailable(_HERE)


async def cancel(opened: Session, name: str, reason: str, *, as_json: bool) -> Exit:
    """Cancel a plan (file, built-in name or id) or a deliberation (id)."""
    require_home(opened)
    async with opened.ports(PortName.BUS, PortName.STATE, PortName.BLOBS) as ports:
        stores = Stores(
            ports[PortName.BUS],
            ports[PortName.STATE],
            ports[PortName.BLOBS],
            opened.context.clock,
        )
        deliberate = Deliberate(
            stores, _NoExecutor(), _NoHydrator(), core_strategies(), DeliberateSettings()
        )
        profile = opened.profile
        plans = Plans(
            stores,
            deliberate,
            Councils(stores.state, configured(profile)),
            protocol_spec(profile),
            profile.settings.terms(),
        )
        async with deliberate.answering(), plans.running():
            run = await _plan(opened, stores, name)
            if run is not None:
                return await _cancel_plan(plans, run, reason, as_json=as_json)
            found = await find_deliberation(stores.state, name)
            ended = await deliberate.cancel(found.deliberation_id, reason)
            await _until_told(plans, ended.plan_id, ended.task.task_id)
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
