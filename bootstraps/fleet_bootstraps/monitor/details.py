"""A deliberation whole, and each of its jobs, as JSON data."""

from __future__ import annotations

from typing import Any

from fleet_bootstraps.monitor.gist import lease_figures
from fleet_bootstraps.report.deliberation import deliberation
from fleet_core.domain.codec import to_data
from fleet_core.domain.council import Agent
from fleet_core.domain.deliberation import Deliberation, JobRecord
from fleet_core.domain.job import AgentJob, CheckRequest


def detail(state: Deliberation, *, ranked: bool) -> dict[str, Any]:
    """What `fleet show --json` tells, and what the page draws beside it.

    Args:
        state: at any of its versions.
        ranked: whether the core's ranking is the one it is decided by.
    """
    data = deliberation(state, ranked=ranked)
    for step, given in zip(data["steps"], state.steps, strict=True):
        step["opened_ms"], step["closed_ms"] = given.opened_ms, given.closed_ms or None
        step["deadline_ms"] = given.deadline_ms
    pack = state.pack
    return data | {
        "started_ms": state.started_ms,
        "ended_ms": state.ended_ms or None,
        "figures": lease_figures(state),
        "description": state.task.description,
        "acceptance": list(state.task.acceptance),
        "constraints": list(state.task.constraints),
        "depends_on": list(state.task.depends_on),
        "checks": [{"kind": c.kind, "required": c.required} for c in state.task.checks],
        "council": [agent(one) for one in state.council.agents],
        "judge": agent(state.protocol.judge) if state.protocol.judge is not None else None,
        "pack": to_data(pack) if pack is not None else None,
    }


def agent(given: Agent) -> dict[str, Any]:
    """An agent with its model and sampling, every key there."""
    return {
        "agent": given.agent_id,
        "number": given.number,
        "role": given.role,
        "persona": given.persona,
        "binding": given.binding.name,
        "model": given.binding.model,
        "temperature": given.sampling.temperature,
        "top_p": given.sampling.top_p,
        "max_tokens": given.sampling.max_tokens,
        "seed": given.sampling.seed,
    }


def job_detail(record: JobRecord, issued: AgentJob | None) -> dict[str, Any]:
    """A job: exactly what was asked, and exactly what was answered.

    Args:
        record: as the state keeps it.
        issued: as it was issued; None where no input of the log issues it.
    """
    ended = record.ended
    return {
        "job_id": record.job_id,
        "agent": record.agent_id,
        "step": record.key.step,
        "round": record.key.round,
        "sample": record.key.sample,
        "slice": to_data(record.slice),
        "asked": _asked(issued) if issued is not None else None,
        "outcome": ended.outcome.value if ended is not None else None,
        "answer": ended.text if ended is not None else None,
        "finish": ended.finish if ended is not None else None,
        "usage": to_data(ended.usage) if ended is not None else None,
        "ms": ended.duration_ms if ended is not None else None,
        "late": ended.late if ended is not None else False,
        "failure": to_data(ended.failure) if ended is not None and ended.failure else None,
        "evidence": to_data(ended.evidence) if ended is not None and ended.evidence else None,
    }


def _asked(issued: AgentJob) -> dict[str, Any]:
    work = issued.work
    if isinstance(work, CheckRequest):
        return {"kind": work.KIND, "check": work.check, "text": work.proposal, "spec": work.spec}
    request = work.request
    return {
        "kind": work.KIND,
        "binding": request.binding,
        "model": request.model,
        "messages": [{"speaker": m.speaker.value, "text": m.text} for m in request.messages],
        "sampling": to_data(request.sampling),
        "schema": request.schema,
    }
