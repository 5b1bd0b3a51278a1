"""A deliberation as JSON data for `fleet show`: steps, jobs, what they wrote, and the ranking."""

from __future__ import annotations

from typing import Any

from fleet_bootstraps.report import data
from fleet_core.domain.answers import read_ballot, read_proposal
from fleet_core.domain.candidates import PROPOSING, label
from fleet_core.domain.deliberation import Deliberation, JobRecord, Step
from fleet_core.domain.ranking import rank


def deliberation(state: Deliberation, *, ranked: bool = True) -> dict[str, Any]:
    """Everything that is kept of a deliberation.

    Args:
        state: as saved.
        ranked: whether the core's ranking is the one it is decided by.
    """
    usage = state.usage()
    return {
        "deliberation_id": state.deliberation_id,
        "plan_id": state.plan_id,
        "story": state.story,
        "task": state.task.task_id,
        "title": state.task.title,
        "role": state.task.role,
        "attempt": state.attempt,
        "state": state.phase.value,
        "version": state.version,
        "protocol": state.protocol.name,
        "agents": [agent.agent_id for agent in state.council.agents],
        "started": data.stamp(state.started_ms),
        "ended": data.stamp(state.ended_ms) if state.ended_ms else None,
        "amended": state.amended,
        "calls": usage.attempts,
        "tokens": usage.tokens,
        "usd": usage.micro_usd / 1_000_000,
        "lease": data.lease(state),
        "failure": (
            {"code": state.failure.code, "reason": state.failure.reason} if state.failure else None
        ),
        "notes": list(state.notes),
        "context": data.context(state),
        "steps": [_step(state, step) for step in state.steps],
        "ranking": _ranking(state) if ranked else None,
        "decision": data.decision_data(state.decision) if state.decision is not None else None,
    }


def _step(state: Deliberation, step: Step) -> dict[str, Any]:
    return {
        "number": step.number,
        "round": step.round,
        "step": step.name,
        "opened": data.stamp(step.opened_ms),
        "closed": data.stamp(step.closed_ms) if step.closed_ms else None,
        "deadline": data.stamp(step.deadline_ms),
        "jobs": [_job(state, job) for job in step.jobs],
    }


def _job(state: Deliberation, job: JobRecord) -> dict[str, Any]:
    out: dict[str, Any] = {
        "job_id": job.job_id,
        "agent": job.agent_id,
        "sample": job.key.sample,
        "outcome": None,
        "late": False,
        "calls": 0,
        "tokens": 0,
        "ms": 0,
        "failure": None,
        "proposal": None,
        "ballot": None,
        "evidence": None,
        "checked": job.target or None,
    }
    ended = job.ended
    if ended is None:
        return out
    out |= {
        "outcome": ended.outcome.value,
        "late": ended.late,
        "calls": ended.usage.attempts,
        "tokens": ended.usage.tokens,
        "ms": ended.duration_ms,
        "failure": (
            {"code": ended.failure.code, "reason": ended.failure.reason} if ended.failure else None
        ),
        "evidence": data.evidence(ended.evidence) if ended.evidence is not None else None,
    }
    if job.ok and job.key.step in PROPOSING:
        out["proposal"] = _proposal(state, job, ended.text)
    elif job.ok and job.shown:
        out["ballot"] = _ballot(job, ended.text)
    return out


def _proposal(state: Deliberation, job: JobRecord, text: str) -> dict[str, Any]:
    structured = state.council.agent(job.agent_id).binding.structured
    found = read_proposal(text, structured=structured, known_tasks=state.known_tasks)
    if found is None:
        return {"unreadable": text}
    return {
        "title": found.title,
        "rationale": found.rationale,
        "text": found.text,
        "affects": list(found.affects),
        "digest": found.digest,
    }


def _ballot(job: JobRecord, text: str) -> dict[str, Any]:
    labels = tuple(label(position) for position in range(len(job.shown)))
    found = read_ballot(text, labels)
    if found is None:
        return {"unreadable": text}
    digests = dict(zip(labels, job.shown, strict=True))
    return {
        "ranking": [digests[name] for name in found.ranking],
        "reason": found.reason,
        "critiques": [
            {
                "of": digests[c.label],
                "strengths": c.strengths,
                "weaknesses": c.weaknesses,
            }
            for c in found.critiques
        ],
    }


def _ranking(state: Deliberation) -> dict[str, Any]:
    """Places with each rung's value; null where a rung has nothing to say."""
    ranking = rank(state)
    return {
        "rule": ranking.rule,
        "order": [
            {
                "place": place,
                "agents": list(one.candidate.agents),
                "title": one.candidate.proposal.title,
                "digest": one.candidate.digest,
                "evidence": [data.evidence(e) for e in one.candidate.evidence],
                "judge": float(one.judge) if one.judge >= 0 else None,
                "ballots": float(one.ballots) if one.ballots >= 0 else None,
                "support": one.support,
            }
            for place, one in enumerate(ranking.order, 1)
        ],
        "dissent": [
            {"by": d.by, "preferred": list(d.preferred), "reason": d.reason}
            for d in ranking.dissent
        ],
    }
