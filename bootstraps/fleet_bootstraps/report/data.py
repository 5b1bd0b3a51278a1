"""A run's report as JSON data, of the shape that `report.schema.json` publishes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fleet_core.domain.context import LedgerEntry
from fleet_core.domain.decision import Decision
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.job import Outcome
from fleet_core.domain.plan_run import PlanRun, TaskRun, TaskState

SCHEMA_VERSION = 1


class RunOutcome(StrEnum):
    """How a run stands when its report is written."""

    RUNNING = "running"
    DECIDED = "decided"  # every task is
    UNDECIDED = "undecided"  # it has ended, and some task is not
    INTERRUPTED = "interrupted"  # the process was stopped; running the plan again goes on
    STOPPED = "stopped"  # it cannot go on; `reason` says why


def report(
    run: PlanRun,
    states: Mapping[str, Deliberation],
    outcome: RunOutcome,
    now_ms: int,
    *,
    profile: str = "",
    reason: str = "",
) -> dict[str, Any]:
    """The report of a run, ended or not.

    Args:
        run: as saved.
        states: its deliberations by id, as saved.
        outcome: how it stands.
        now_ms: UTC milliseconds.
        profile: the name of the profile it ran with.
        reason: why it stopped, where it did.
    """
    tasks = [
        _task(run, task, states.get(task.deliberation_id), now_ms, outcome=outcome)
        for task in run.tasks
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "plan_id": run.plan_id,
        "attempt": run.attempt,
        "story": run.plan.story,
        "title": run.plan.title,
        "profile": profile,
        "outcome": outcome.value,
        "reason": reason,
        "approved": stamp(run.approved_ms),
        "written": stamp(now_ms),
        "calls": sum(t["calls"] for t in tasks),
        "tokens": sum(t["tokens"] for t in tasks),
        "usd": round(sum(t["usd"] for t in tasks), 6),
        "tasks": tasks,
    }


def stamp(at_ms: int) -> str:
    """UTC, ISO 8601, to the millisecond."""
    text = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def task_report(run: PlanRun, task: TaskRun, state: Deliberation | None, now_ms: int) -> Any:
    """One task's part of the report."""
    return _task(run, task, state, now_ms, outcome=RunOutcome.RUNNING)


def _task(
    run: PlanRun, task: TaskRun, state: Deliberation | None, now_ms: int, *, outcome: RunOutcome
) -> dict[str, Any]:
    wanted = run.plan.task(task.task_id)
    decided = task.state is TaskState.DECIDED
    out: dict[str, Any] = {
        "task": task.task_id,
        "title": wanted.title,
        "role": wanted.role,
        "state": task.state.value,
        "winner": task.winner if decided else None,
        "standing": task.standing.value if decided and task.standing is not None else None,
        "calls": 0,
        "tokens": 0,
        "usd": 0.0,
        "seconds": 0.0,
        "reason": task.reason,
        "attempt": task.attempt,
        "carried_over": False,
        "deliberation_id": task.deliberation_id,
        "checks": [{"kind": c.kind, "required": c.required} for c in wanted.checks],
        "decision": None,
        "failures": [],
        "context": None,
        "notes": [],
        "lease": None,
    }
    if state is None:
        return out
    usage = state.usage()
    until = state.ended_ms or (now_ms if outcome is RunOutcome.RUNNING else _last_ms(state))
    return out | {
        "calls": usage.attempts,
        "tokens": usage.tokens,
        "usd": usage.micro_usd / 1_000_000,
        "seconds": round((until - state.started_ms) / 1000, 3),
        "carried_over": state.started_ms < run.approved_ms,
        "decision": decision_data(state.decision) if state.decision is not None else None,
        "failures": failures(state),
        "context": context(state),
        "notes": list(state.notes),
        "lease": lease(state),
    }


def _last_ms(state: Deliberation) -> int:
    """The last moment that the state knows of."""
    return max([state.started_ms, *(max(s.opened_ms, s.closed_ms) for s in state.steps)])


def decision_data(decision: Decision) -> dict[str, Any]:
    """A decision, with every key there."""
    return {
        "id": decision.decision_id,
        "title": decision.title,
        "rationale": decision.rationale,
        "text": decision.text,
        "rule": decision.rule,
        "affects": list(decision.affects),
        "cited": list(decision.cited),
        "incomplete": list(decision.incomplete),
        "decided": stamp(decision.decided_ms),
        "evidence": [evidence(e) for e in decision.evidence],
        "alternatives": [
            {"agents": list(a.agents), "title": a.title, "reason": a.reason}
            for a in decision.alternatives
        ],
        "dissent": [
            {"by": d.by, "preferred": list(d.preferred), "reason": d.reason}
            for d in decision.dissent
        ],
    }


def evidence(given: Any) -> dict[str, Any]:
    """A check's result, with every key there."""
    return {
        "kind": given.kind,
        "standing": given.standing.value,
        "summary": given.summary,
        "output": given.output,
        "score": given.score,
    }


def failures(state: Deliberation) -> list[dict[str, Any]]:
    """The jobs that failed, and why."""
    return [
        {
            "agent": job.agent_id,
            "step": job.key.step,
            "round": job.key.round,
            "code": job.ended.failure.code,
            "reason": job.ended.failure.reason,
        }
        for job in state.jobs()
        if job.ended is not None
        and job.ended.outcome is not Outcome.OK
        and job.ended.failure is not None
    ]


def context(state: Deliberation) -> dict[str, Any] | None:
    """The pack's sizes and its ledger."""
    pack = state.pack
    if pack is None:
        return None
    return {
        "revision": pack.revision,
        "budget": pack.budget,
        "tokens": pack.tokens,
        "counted_by": pack.counted_by,
        "ledger": [ledger_entry(entry) for entry in pack.ledger],
    }


def ledger_entry(entry: LedgerEntry) -> dict[str, Any]:
    """One item that was considered for a pack."""
    return {
        "item": entry.item,
        "kind": entry.kind.value,
        "tokens": entry.tokens,
        "included": entry.included,
        "reason": entry.reason,
    }


def lease(state: Deliberation) -> dict[str, Any]:
    """What it was allowed and what it took; money in US dollars."""
    held = state.lease
    return {
        "tokens": held.tokens,
        "spent_tokens": held.spent_tokens,
        "reserved_tokens": held.reserved_tokens,
        "overrun_tokens": held.overrun_tokens,
        "usd": held.micro_usd / 1_000_000,
        "spent_usd": held.spent_micro_usd / 1_000_000,
        "deadline": stamp(held.deadline_ms),
        "exhausted": state.exhausted,
    }
