"""What lists and graphs show of a state: small, and kept where the state itself is let go of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fleet_bootstraps.progress.view import state_view
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.job import Outcome

_TEXT = 300


@dataclass(frozen=True, slots=True)
class Gist:
    """A state in short.

    Attributes:
        shown: the members of its row, see `rows.deliberation_row`.
        decision_id: of its decision; empty where there is none.
        cited: ids of the earlier decisions that it used.
        affects: ids of tasks of its plan that it says it affects.
    """

    shown: dict[str, Any]
    decision_id: str = ""
    cited: tuple[str, ...] = ()
    affects: tuple[str, ...] = ()


def gist_of(state: Deliberation) -> Gist:
    """The gist of a state."""
    seen = state_view(state.task.task_id, state.task.role, state, state.started_ms)
    decision = state.decision
    shown = {
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
        "decision": clip(decision.title) if decision is not None else "",
        "reason": clip(seen.reason),
        "failed_jobs": sum(
            job.ended is not None and job.ended.outcome is Outcome.FAILED for job in state.jobs()
        ),
        "calls": seen.calls,
        "lease": lease_figures(state),
        "ended_ms": state.ended_ms or None,
    }
    if decision is None:
        return Gist(shown)
    return Gist(shown, decision.decision_id, decision.cited, decision.affects)


UNKNOWN = Gist(
    {
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
)
"""Of what there is no state."""


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


def clip(text: str) -> str:
    """At most so much of a text that a list stays one, whoever wrote it."""
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}\u2026"
