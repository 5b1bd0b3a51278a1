"""What is shown of each plan and each deliberation in a list: one row, small whatever it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet_bootstraps.monitor.planning import Planned
from fleet_bootstraps.monitor.tracked import Tracked
from fleet_bootstraps.progress.view import state_view
from fleet_core.domain.deliberation import FINAL, Deliberation
from fleet_core.domain.job import Outcome
from fleet_core.domain.plan_run import TaskState

_TEXT = 300


def deliberation_row(tracked: Tracked) -> dict[str, Any]:
    """A deliberation in a list; what is not known is null, and `trouble` says why."""
    row: dict[str, Any] = {
        "deliberation_id": tracked.deliberation_id,
        "plan_id": tracked.plan_id,
        "task": tracked.task_id,
        "attempt": tracked.attempt,
        "state": tracked.phase,
        "version": tracked.sequence,
        "started_ms": tracked.started_ms,
        "changed_ms": tracked.changed_ms,
        "complete": tracked.complete,
        "trouble": clip(tracked.why),
        "title": None,
        "role": None,
        "story": None,
        "protocol": None,
        "agents": [],
        "step": None,
        "answered": None,
        "asked": None,
        "winner": None,
        "standing": None,
        "decision": None,
        "reason": None,
        "failed_jobs": None,
        "calls": None,
        "lease": None,
        "ended_ms": None,
    }
    if tracked.state is not None:
        row |= _of_state(tracked.state)
    return row


def _of_state(state: Deliberation) -> dict[str, Any]:
    seen = state_view(state.task.task_id, state.task.role, state, state.started_ms)
    return {
        "title": clip(state.task.title),
        "role": clip(state.task.role),
        "story": clip(state.story),
        "protocol": clip(state.protocol.name),
        "agents": [clip(agent.agent_id) for agent in state.council.agents],
        "step": clip(seen.step),
        "answered": seen.answered,
        "asked": seen.asked,
        "winner": clip(seen.winner),
        "standing": seen.standing,
        "decision": clip(state.decision.title) if state.decision is not None else "",
        "reason": clip(seen.reason),
        "failed_jobs": sum(
            job.ended is not None and job.ended.outcome is Outcome.FAILED for job in state.jobs()
        ),
        "calls": seen.calls,
        "lease": lease_figures(state),
        "ended_ms": state.ended_ms or None,
    }


def lease_figures(state: Deliberation) -> dict[str, Any]:
    """Tokens, micro-dollars and the deadline, as numbers."""
    lease = state.lease
    return {
        "tokens": lease.tokens,
        "spent_tokens": lease.spent_tokens,
        "reserved_tokens": lease.reserved_tokens,
        "overrun_tokens": lease.overrun_tokens,
        "micro_usd": lease.micro_usd,
        "spent_micro_usd": lease.spent_micro_usd,
        "deadline_ms": lease.deadline_ms,
        "exhausted": state.exhausted,
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


def clip(text: str) -> str:
    """At most so much of a text that a list stays one, whoever wrote it."""
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}\u2026"


def is_open(tracked: Tracked) -> bool:
    """Whether it has not ended."""
    return tracked.phase not in {phase.value for phase in FINAL}
