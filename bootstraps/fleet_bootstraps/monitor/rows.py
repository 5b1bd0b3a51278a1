"""What is shown of each plan and each deliberation in a list: one row, small whatever it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet_bootstraps.monitor.gist import clip
from fleet_bootstraps.monitor.planning import Planned
from fleet_bootstraps.monitor.tracked import Tracked
from fleet_core.domain.plan_run import TaskState


def deliberation_row(tracked: Tracked) -> dict[str, Any]:
    """A deliberation in a list; what is not known is null, and `trouble` says why."""
    return {
        "deliberation_id": tracked.deliberation_id,
        "plan_id": tracked.plan_id,
        "task": tracked.task_id,
        "attempt": tracked.attempt,
        "state": tracked.phase,
        "version": tracked.sequence,
        "started_ms": tracked.started_ms,
        "changed_ms": tracked.changed_ms,
        "complete": not tracked.why,
        "trouble": clip(tracked.why),
        **tracked.gist.shown,
    }


def plan_row(planned: Planned, deliberations: Mapping[str, Tracked]) -> dict[str, Any]:
    """A plan with its tasks; a running task has the state of its deliberation."""
    run = planned.run
    return {
        "plan_id": run.plan_id,
        "attempt": run.attempt,
        "story": clip(run.plan.story),
        "title": clip(run.plan.title or run.plan.story),
        "approved_ms": run.approved_ms,
        "state": _plan_state(planned),
        "reason": clip(planned.refused),
        "tasks": [
            {
                "task": task.task_id,
                "title": clip(run.plan.task(task.task_id).title),
                "role": clip(run.plan.task(task.task_id).role),
                "depends_on": list(run.plan.task(task.task_id).depends_on),
                "state": _task_state(task.state, deliberations.get(task.deliberation_id)),
                "attempt": task.attempt,
                "deliberation_id": task.deliberation_id or None,
                "winner": clip(task.winner),
                "standing": task.standing.value if task.standing is not None else "",
                "recorded": task.recorded,
                "reason": clip(task.reason),
            }
            for task in run.tasks
        ],
    }


def _plan_state(planned: Planned) -> str:
    if planned.refused:
        return "refused"
    if planned.run.decided:
        return "decided"
    return "undecided" if planned.run.settled else "running"


def _task_state(state: TaskState, tracked: Tracked | None) -> str:
    """What its deliberation has come to, until the plan has heard of it."""
    if state is TaskState.RUNNING and tracked is not None:
        return tracked.phase
    return state.value
