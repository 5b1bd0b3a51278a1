"""The keys of every document in the state store, in one place."""

from __future__ import annotations

DUE = "due/"
PLAN_OPEN = "plan-open/"
COUNCIL = "council/"
ACCEPTED = "accepted/"
DELIBERATION = "deliberation/"


def deliberation(deliberation_id: str) -> str:
    """The saved state, with the events that may not have been published."""
    return f"{DELIBERATION}{deliberation_id}"


def jobs(deliberation_id: str, step: int) -> str:
    """The jobs of a step as issued, whole: written with the state that calls for them."""
    return f"jobs/{deliberation_id}/{step:04d}"


def jobs_prefix(deliberation_id: str) -> str:
    """All steps of a deliberation."""
    return f"jobs/{deliberation_id}/"


def journal(job_id: str) -> str:
    """A completed job's result."""
    return f"journal/{job_id}"


def claim(job_id: str) -> str:
    """Who runs a job now; its value is the executor's name."""
    return f"claim/{job_id}"


def accepted(job_id: str) -> str:
    """A mark while a job is accepted and not journaled."""
    return f"{ACCEPTED}{job_id}"


def accepted_job(job_id: str) -> str:
    """The job behind such a mark, whole."""
    return f"accepted-job/{job_id}"


def due(at_ms: int, deliberation_id: str) -> str:
    """An open deadline; keys sort by time."""
    return f"{DUE}{at_ms:015d}/{deliberation_id}"


def due_parts(key: str) -> tuple[int, str]:
    """(UTC ms, deliberation id) of a `due` key."""
    at_ms, deliberation_id = key.removeprefix(DUE).split("/", 1)
    return int(at_ms), deliberation_id


def plan(plan_id: str) -> str:
    """A plan under way, or ended."""
    return f"plan/{plan_id}"


def plan_open(plan_id: str) -> str:
    """There while the plan has not settled."""
    return f"{PLAN_OPEN}{plan_id}"


def council(role: str) -> str:
    """A role's council."""
    return f"{COUNCIL}{role}"


def pack(digest: str) -> str:
    """A context pack as it was answered with, by the digest of its request."""
    return f"pack/{digest}"


def session(session_id: str) -> str:
    """Packs that are kept for a while."""
    return f"session/{session_id}"
