"""Agent jobs on the work queue, and what is said of them: the wire between the executor's sides.

A job lies on a subject of its own, `agent.jobs.{deliberation}.{agent}.{job}`, from when it is
accepted until its result is journaled. So the queue itself says which jobs are accepted and not
done, and a job that lies there is not accepted twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleet_adapters.nats._subjects import text_of, token
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.events import Event
from fleet_core.domain.ids import TASK_ID, task_token
from fleet_core.domain.job import AgentJob, CheckRequest, Outcome, job_id
from fleet_core.errors import DecodeError
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.executor import ClusterStats, JobStatus
from fleet_core.usecases.payload import closed, opened
from fleet_plugins.kit import trace

QUEUE, DURABLE = "AGENT_JOBS", "executors"
JOBS = "agent.jobs"
SERVICE = "fleet-executor"
PREFIX = "fleet.executor.v1"
HERE, WHO = f"{PREFIX}.here", f"{PREFIX}.who"
BEAT_S, HOLDS_S = 1.0, 3.5
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
PART = 2_000  # jobs in one message of an answer


@dataclass(frozen=True, slots=True)
class Queued:
    """A job as its subject names it."""

    deliberation_id: str
    agent_id: str
    job_id: str


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Stop jobs of a deliberation: the named ones, or all.

    Attributes:
        queued: those of them that lie in the queue; whoever is handed one of them next ends it.
    """

    deliberation_id: str
    job_ids: tuple[str, ...] = ()
    queued: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Tell of a deliberation's jobs."""

    deliberation_id: str


@dataclass(frozen=True, slots=True)
class Said:
    """A job's status; `at` is its place in the order of acceptance, 0 where that is not known."""

    job_id: str
    deliberation_id: str
    agent_id: str
    phase: str
    outcome: Outcome | None = None
    at: int = 0

    def status(self) -> JobStatus:
        """As the port has it."""
        return JobStatus(self.job_id, self.deliberation_id, self.agent_id, self.phase, self.outcome)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one executor answers; large ones come in several messages.

    Attributes:
        executor: who answers.
        jobs: of `status` and `active`.
        over: jobs that have ended there and may still lie in the queue for a moment.
        hit: jobs that `cancel` stopped.
        stats: of `stats`.
        last: no further message of this answer comes.
    """

    executor: str
    jobs: tuple[Said, ...] = ()
    over: tuple[str, ...] = ()
    hit: tuple[str, ...] = ()
    stats: ClusterStats | None = None
    last: bool = True


def job_subject(job: AgentJob) -> str:
    """Where a job lies."""
    parts = (job.deliberation_id, job.agent_id, job.job_id)
    return ".".join((JOBS, *(token(part) for part in parts)))


def jobs_of(deliberation_id: str = "") -> str:
    """The pattern of a deliberation's jobs, or of all."""
    return f"{JOBS}.{token(deliberation_id)}.>" if deliberation_id else f"{JOBS}.>"


def queued(subject: str) -> Queued | None:
    """What a subject says; None where it is none of ours."""
    parts = subject.removeprefix(f"{JOBS}.").split(".")
    if not subject.startswith(f"{JOBS}.") or len(parts) != 3:
        return None
    try:
        return Queued(*(text_of(part) for part in parts))
    except ValueError:
        return None


async def job_event(job: AgentJob, blobs: BlobStore, now_ms: int) -> Event:
    """A job as it is queued: whole, or by reference where it is large; in the current trace."""
    if isinstance(job.work, CheckRequest):
        characters = len(job.work.proposal) + len(str(job.work.spec))
    else:
        characters = sum(len(message.text) for message in job.work.request.messages)
        characters += len(str(job.work.request.schema or ""))
    data = await closed(to_data(job), characters, blobs)
    return Event(f"job:{job.job_id}", job_subject(job), data, now_ms, traceparent=trace.current())


async def job_of(event: Event, blobs: BlobStore) -> AgentJob:
    """The job in an event.

    Raises:
        DecodeError: it is none, or not the one that its subject and its id name.
        NotFound: the blob it refers to is gone.
        Unavailable: the blob store is away.
    """
    job = from_data(AgentJob, await opened(event.data, blobs), source=event.subject)
    if event.subject != job_subject(job):
        raise DecodeError("names another job than its subject", source=event.subject)
    if job.job_id != job_id(job.deliberation_id, job.key, job.work):
        raise DecodeError("is not the id of its content", source=event.subject, field="job_id")
    if not TASK_ID.fullmatch(job.task_id) or not _ID.fullmatch(job.plan_id):
        raise DecodeError("names no task of a plan", source=event.subject, field="task_id")
    if job.task != task_token(job.plan_id, job.task_id):
        raise DecodeError("is not that of its plan and task", source=event.subject, field="task")
    return job
