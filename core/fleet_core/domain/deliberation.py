"""The state of a deliberation: one task before one council. Folded from inputs by `reducer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fleet_core.domain.codec import to_data
from fleet_core.domain.context import ContextPack
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.decision import Decision
from fleet_core.domain.ids import content_id, task_token
from fleet_core.domain.job import Evidence, Failure, JobKey, Outcome
from fleet_core.domain.lease import Lease, Slice
from fleet_core.domain.model_call import Usage
from fleet_core.domain.plan import Task


class Phase(StrEnum):
    """`pending -> running -> [provisional ->] decided | failed | cancelled`."""

    PENDING = "pending"
    RUNNING = "running"
    PROVISIONAL = "provisional"
    DECIDED = "decided"
    FAILED = "failed"
    CANCELLED = "cancelled"


DEADLINE = "deadline"
"""The code of a failure that is nobody's fault: time was up."""
FINAL = frozenset({Phase.DECIDED, Phase.FAILED, Phase.CANCELLED})


@dataclass(frozen=True, slots=True)
class ProtocolSpec:
    """How a council deliberates.

    Attributes:
        name: `vote`, `peer-review` or a plugin's own.
        rounds: critique-and-revise rounds of `peer-review`.
        samples: independent proposals of each agent, for `vote`.
        quorum: a step whose deadline has come closes if more than this share has answered.
        step_ms: from a step's start to its deadline.
        judge: who ranks all candidates at the end of `peer-review`, in seat 0; None for nobody.
        settings: a plugin protocol's own.
    """

    name: str = "peer-review"
    rounds: int = 1
    samples: int = 1
    quorum: float = 0.5
    step_ms: int = 120_000
    judge: Agent | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, as the state keeps it; see `job.AgentResult` for the fields."""

    outcome: Outcome
    text: str = ""
    finish: str = ""
    evidence: Evidence | None = None
    usage: Usage = Usage()
    duration_ms: int = 0
    failure: Failure | None = None
    late: bool = False  # arrived after its step had closed


@dataclass(frozen=True, slots=True)
class JobRecord:
    """An issued job.

    Attributes:
        slice: reserved of the lease until the job has ended.
        target: of a check: the digest of the text it runs on.
        shown: of a critique or a judgement: the digests behind the labels A, B, C ... it was shown.
    """

    job_id: str
    agent_id: str
    key: JobKey
    slice: Slice
    target: str = ""
    shown: tuple[str, ...] = ()
    ended: Ended | None = None

    @property
    def ok(self) -> bool:
        """Whether it has ended with an answer."""
        return self.ended is not None and self.ended.outcome is Outcome.OK


@dataclass(frozen=True, slots=True)
class Step:
    """Jobs that run side by side. `closed_ms` is 0 while it is open."""

    number: int
    round: int
    name: str
    opened_ms: int
    deadline_ms: int
    jobs: tuple[JobRecord, ...]
    closed_ms: int = 0

    @property
    def all_ended(self) -> bool:
        """Whether every job has ended, whatever its outcome."""
        return all(job.ended is not None for job in self.jobs)

    @property
    def answered(self) -> int:
        """Jobs that ended with an answer."""
        return sum(job.ok for job in self.jobs)


@dataclass(frozen=True, slots=True)
class Deliberation:
    """The whole state.

    Attributes:
        version: inputs reduced so far; the `sequence` of the event that carried the last one.
        known_tasks: ids of the plan's other tasks, which a proposal may say it affects.
        steps: in the order they were opened; at most the last one is open.
        exhausted: the lease did not cover a step that the protocol wanted.
        amended: the provisional decision was replaced, once.
        notes: what a reader of the decision must know, e.g. a step that closed without everyone.
    """

    deliberation_id: str
    plan_id: str
    story: str
    attempt: int
    task: Task
    council: Council
    protocol: ProtocolSpec
    lease: Lease
    started_ms: int
    version: int
    phase: Phase = Phase.PENDING
    known_tasks: tuple[str, ...] = ()
    pack: ContextPack | None = None
    steps: tuple[Step, ...] = ()
    exhausted: bool = False
    amended: bool = False
    decision: Decision | None = None
    failure: Failure | None = None
    ended_ms: int = 0
    notes: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        """The `{task}` part of subjects."""
        return task_token(self.plan_id, self.task.task_id)

    @property
    def open_step(self) -> Step | None:
        """The step that is under way."""
        return self.steps[-1] if self.steps and not self.steps[-1].closed_ms else None

    @property
    def outstanding(self) -> tuple[JobRecord, ...]:
        """Issued jobs that have not ended, of open and of closed steps."""
        return tuple(job for job in self.jobs() if job.ended is None)

    @property
    def unanswered(self) -> tuple[JobRecord, ...]:
        """Jobs that have not ended, and those that their deadline ended."""
        return tuple(
            job
            for job in self.jobs()
            if job.ended is None
            or (job.ended.failure is not None and job.ended.failure.code == DEADLINE)
        )

    def jobs(self, *steps: str) -> Iterator[JobRecord]:
        """Every job in the order of issue; of the named steps, or of all."""
        for step in self.steps:
            if not steps or step.name in steps:
                yield from step.jobs

    def usage(self) -> Usage:
        """What all ended jobs used; `attempts` counts calls, retries included."""
        ended = [job.ended.usage for job in self.jobs() if job.ended is not None]
        return Usage(
            sum(u.prompt_tokens for u in ended),
            sum(u.answer_tokens for u in ended),
            sum(u.micro_usd for u in ended),
            sum(u.attempts for u in ended),
        )


def deliberation_id(
    plan_id: str, task: Task, council: Council, protocol: ProtocolSpec, attempt: int
) -> str:
    """hash(plan, task, council with models and sampling, protocol, attempt)."""
    return content_id(
        "deliberation", plan_id, to_data(task), to_data(council), to_data(protocol), attempt
    )
