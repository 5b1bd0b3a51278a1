"""A plan's run from its events, by the plan's own reducer.

The log says what was approved and how each deliberation went, but not which councils were seated:
those of a deliberation stand in its own first event. So the run is reduced over councils that stand
for any, and the ids of deliberations are those that the log names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fleet_core.domain.codec import from_data
from fleet_core.domain.council import Agent, Council, agent_id
from fleet_core.domain.decision import Decision
from fleet_core.domain.deliberation import Phase, ProtocolSpec
from fleet_core.domain.events import Event
from fleet_core.domain.job import Failure
from fleet_core.domain.plan import require_relations
from fleet_core.domain.plan_run import (
    Approved,
    CancelPlan,
    DecisionRecorded,
    PlanInput,
    PlanRun,
    TaskEnded,
    TaskState,
    Terms,
    reduce_plan,
)
from fleet_core.errors import FleetError, InputError
from fleet_core.usecases.approvals import approved_plan

_STATES = {
    Phase.DECIDED: TaskState.DECIDED,
    Phase.FAILED: TaskState.FAILED,
    Phase.CANCELLED: TaskState.CANCELLED,
}
_REASON = 2_000
_Outcome: Any = Decision | None
_Reason: Any = Failure | None


@dataclass(slots=True)
class Planned:
    """One plan: its run as the log tells it; `refused` says why nobody took it up."""

    run: PlanRun
    position: int
    approval_id: str
    refused: str = ""


def approved(known: PlanRun | None, data: Mapping[str, Any], event: Event) -> PlanRun:
    """The run after an approval.

    Raises:
        FleetError: the approval holds no plan that could be run.
    """
    source = f"event {event.event_id[:120]}"
    identity, plan = approved_plan(data, source)
    require_relations(plan, source=source)
    if not plan.tasks:
        raise InputError("the plan is empty", source=source, field="tasks")
    councils = {
        t.role: Council(t.role, (Agent(agent_id(t.role, 1), 1, t.role),)) for t in plan.tasks
    }
    given = Approved(
        event.time_ms,
        identity,
        plan,
        from_data(int, data.get("attempt", 1), source=source, at="attempt"),
        councils,
        ProtocolSpec(),
        Terms(),
        from_data(bool, data.get("fresh", False), source=source, at="fresh"),
        event.time_ms,
    )
    return _named_by_the_log(known, reduce_plan(known, given).run)


def begun(run: PlanRun, task_id: str, deliberation_id: str, attempt: int) -> PlanRun:
    """The run with a task under way in that deliberation."""
    tasks = tuple(
        replace(t, state=TaskState.RUNNING, deliberation_id=deliberation_id, attempt=attempt)
        if t.task_id == task_id and t.deliberation_id != deliberation_id and attempt >= t.attempt
        else t
        for t in run.tasks
    )
    return replace(run, tasks=tasks)


def ended(run: PlanRun, data: Mapping[str, Any], event: Event) -> PlanRun:
    """The run after `orchestration.deliberation.completed`; DecodeError where it is none."""
    source = f"event {event.event_id[:120]}"
    phase = from_data(Phase, data.get("phase"), source=source, at="phase")
    decision = from_data(_Outcome, data.get("decision"), source=source, at="decision")
    failure = from_data(_Reason, data.get("failure"), source=source, at="failure")
    if phase not in _STATES:
        raise InputError(f"completed, and is {phase}", source=source, field="phase")
    return _reduced(
        run,
        TaskEnded(
            event.time_ms,
            str(data.get("task_id")),
            str(data.get("deliberation_id")),
            _STATES[phase],
            decision.winner if decision is not None else "",
            decision.standing if decision is not None else None,
            failure.reason if failure is not None else "",
        ),
    )


def recorded(run: PlanRun, data: Mapping[str, Any], event: Event) -> PlanRun:
    """The run after `context.updated`."""
    task, deliberation = str(data.get("task_id")), str(data.get("deliberation_id"))
    return _reduced(run, DecisionRecorded(event.time_ms, task, deliberation))


def cancelled(run: PlanRun, data: Mapping[str, Any], event: Event) -> PlanRun:
    """The run after `planning.plan.cancelled`; the same where that was of an earlier attempt."""
    if data.get("attempt") != run.attempt:
        return run
    return _reduced(run, CancelPlan(event.time_ms, str(data.get("reason"))[:_REASON]))


def _reduced(run: PlanRun, given: PlanInput) -> PlanRun:
    try:
        return _named_by_the_log(run, reduce_plan(run, given).run)
    except FleetError:
        raise
    except (KeyError, ValueError) as error:
        raise InputError(f"plan {run.plan_id}: {error}") from error


def _named_by_the_log(before: PlanRun | None, after: PlanRun) -> PlanRun:
    """Without the ids that the reducer gave to what it would start now: the log will name them."""
    known = {t.task_id: t.deliberation_id for t in before.tasks} if before is not None else {}
    tasks = tuple(
        replace(t, deliberation_id="") if t.deliberation_id != known.get(t.task_id, "") else t
        for t in after.tasks
    )
    return replace(after, tasks=tasks)
