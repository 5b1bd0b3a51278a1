"""Agent jobs: one model call, or one check, on behalf of one agent at one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from fleet_core.domain.codec import to_data
from fleet_core.domain.ids import content_id, text_hash
from fleet_core.domain.lease import Slice
from fleet_core.domain.model_call import ModelRequest, Price, Usage


class Standing(StrEnum):
    """What a check said of a proposal."""

    PASSED = "passed"
    NOT_RUN = "not run"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of one check on one proposal, kept with its output.

    Attributes:
        kind: the check's kind.
        standing: passed, failed or not run; `not run` says why in `summary`.
        summary: one line, e.g. `3 of 4 examples passed`.
        output: what the check printed, shortened to 4 KiB.
        score: passed share in [0, 1] where the check counts; 0 or 1 otherwise.
    """

    kind: str
    standing: Standing
    summary: str
    output: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A check to run on a proposal's text, with the task's parameters for it."""

    KIND: ClassVar[str] = "check"
    check: str
    proposal: str
    spec: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model call; `price` is the binding's, so that whoever runs the job can bill it."""

    KIND: ClassVar[str] = "model"
    request: ModelRequest
    price: Price = Price()


@dataclass(frozen=True, slots=True)
class JobKey:
    """Where a job stands in its deliberation; unique within it.

    Attributes:
        round: from 1; `check` steps count for themselves.
        step: `propose`, `check`, `critique`, `revise`, `judge` or a protocol's own.
        agent: the agent's seat number.
        sample: from 0; counts an agent's jobs within one step.
    """

    round: int
    step: str
    agent: int
    sample: int = 0


@dataclass(frozen=True, slots=True)
class AgentJob:
    """What the executor is given. Self-contained and picklable.

    Attributes:
        job_id: see `job_id`; the same job has the same id wherever it is computed.
        story, plan_id, task_id, deliberation_id: what it belongs to.
        task: the subject token of its results (see `ids.task_token`).
        slice: its part of the lease; covers all retries.
    """

    job_id: str
    deliberation_id: str
    plan_id: str
    story: str
    task_id: str
    task: str
    agent_id: str
    role: str
    key: JobKey
    work: ModelCall | CheckRequest
    slice: Slice


def job_id(deliberation_id: str, key: JobKey, work: ModelCall | CheckRequest) -> str:
    """hash(deliberation, round, step, agent, sample, request); the request without its price.

    Texts enter by their hashes: the agents of a council share most of their prompts. The first 8
    of the 32 digits are the deliberation's, so that in a store ordered by key (an index of claims,
    of the journal, of event ids) a deliberation's jobs lie side by side, and not anywhere.
    """
    return deliberation_id[:8] + _hash_of_job(deliberation_id, key, work)[8:]


def _hash_of_job(deliberation_id: str, key: JobKey, work: ModelCall | CheckRequest) -> str:
    place = (key.round, key.step, key.agent, key.sample)
    if isinstance(work, CheckRequest):
        proposal = text_hash(work.proposal)
        return content_id("job", deliberation_id, place, work.check, proposal, work.spec)
    request = work.request
    messages = [(m.speaker, text_hash(m.text)) for m in request.messages]
    sampling = to_data(request.sampling)
    model = (request.binding, request.model)
    return content_id("job", deliberation_id, place, model, messages, sampling, request.schema)


class Outcome(StrEnum):
    """How a job ended."""

    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: the error's code and a sentence for a person."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What a job ended with. Journaled under `journal/{job_id}` before it is published.

    Attributes:
        text: the model's whole answer (JSON text for a structured one); empty unless ok.
        finish: the model's finish reason.
        evidence: of a check.
        usage: over all attempts, also of a failed job.
        duration_ms: from the claim to the end.
    """

    job_id: str
    deliberation_id: str
    task: str
    key: JobKey
    outcome: Outcome
    text: str = ""
    finish: str = ""
    evidence: Evidence | None = None
    usage: Usage = Usage()
    duration_ms: int = 0
    failure: Failure | None = None
