"""Agent jobs and their results as messages, and back; a round trip changes nothing.

What a message cannot hold (texts with lone surrogates, numbers beyond 64 bits) is a ValueError on
the way out; what a message may not hold is a DecodeError on the way in, with the field's path.
"""

from __future__ import annotations

import re

from fleet_adapters.grpc._open_parts import Names, json_object, json_text, required
from fleet_adapters.grpc.proto.fleet.domain.v1 import job_pb2, model_pb2
from fleet_core.domain.ids import TASK_ID, task_token
from fleet_core.domain.job import (
    AgentJob,
    AgentResult,
    CheckRequest,
    Evidence,
    Failure,
    JobKey,
    ModelCall,
    Outcome,
    Standing,
)
from fleet_core.domain.lease import Slice
from fleet_core.domain.model_call import Message, ModelRequest, Price, Sampling, Speaker, Usage
from fleet_core.errors import DecodeError

OUTCOMES = Names(Outcome, job_pb2.Outcome, "OUTCOME")
STANDINGS = Names(Standing, job_pb2.Standing, "STANDING")
_SPEAKERS = Names(Speaker, model_pb2.Speaker, "SPEAKER")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def checked_job(job: AgentJob, at: str) -> AgentJob:
    """The job, once its ids can stand in keys and subjects.

    Raises:
        DecodeError: one cannot.
    """
    for name in ("job_id", "deliberation_id", "plan_id"):
        if not _ID.fullmatch(getattr(job, name)):
            raise DecodeError("should be 1 to 128 letters, digits, _ and -", field=f"{at}.{name}")
    if not TASK_ID.fullmatch(job.task_id):
        raise DecodeError("should be 1 to 64 letters, digits, _ and -", field=f"{at}.task_id")
    if job.task != task_token(job.plan_id, job.task_id):
        raise DecodeError(
            "is not the token of its plan and task",
            "12 digits of the plan's id, a hyphen, the task's id",
            field=f"{at}.task",
        )
    required(job.agent_id, f"{at}.agent_id")
    return job


def job_message(job: AgentJob) -> job_pb2.AgentJob:
    """The message of a job."""
    work = job.work
    return job_pb2.AgentJob(
        job_id=job.job_id,
        deliberation_id=job.deliberation_id,
        plan_id=job.plan_id,
        story=job.story,
        task_id=job.task_id,
        task=job.task,
        agent_id=job.agent_id,
        role=job.role,
        key=key_message(job.key),
        model_call=_call_message(work) if isinstance(work, ModelCall) else None,
        check_request=None if isinstance(work, ModelCall) else _check_message(work),
        slice=slice_message(job.slice),
    )


def job_of(message: job_pb2.AgentJob, at: str) -> AgentJob:
    """The job in a message."""
    for name in ("key", "slice"):
        if not message.HasField(name):
            raise DecodeError("is missing", field=f"{at}.{name}")
    work: ModelCall | CheckRequest
    if message.WhichOneof("work") == "model_call":
        work = _call_of(message.model_call, f"{at}.model_call")
    elif message.WhichOneof("work") == "check_request":
        work = _check_of(message.check_request, f"{at}.check_request")
    else:
        raise DecodeError("is missing", "model_call or check_request", field=f"{at}.work")
    job = AgentJob(
        message.job_id,
        message.deliberation_id,
        message.plan_id,
        message.story,
        message.task_id,
        message.task,
        message.agent_id,
        message.role,
        key_of(message.key),
        work,
        slice_of(message.slice),
    )
    return checked_job(job, at)


def key_message(key: JobKey) -> job_pb2.JobKey:
    """The message of a key."""
    return job_pb2.JobKey(round=key.round, step=key.step, agent=key.agent, sample=key.sample)


def key_of(message: job_pb2.JobKey) -> JobKey:
    """The key in a message."""
    return JobKey(message.round, message.step, message.agent, message.sample)


def slice_message(part: Slice) -> job_pb2.Slice:
    """The message of a slice."""
    return job_pb2.Slice(
        prompt_tokens=part.prompt_tokens,
        answer_tokens=part.answer_tokens,
        micro_usd=part.micro_usd,
        deadline_ms=part.deadline_ms,
        spare_tokens=part.spare_tokens,
    )


def slice_of(message: job_pb2.Slice) -> Slice:
    """The slice in a message."""
    return Slice(
        message.prompt_tokens,
        message.answer_tokens,
        message.micro_usd,
        message.deadline_ms,
        message.spare_tokens,
    )


def sampling_message(sampling: Sampling) -> model_pb2.Sampling:
    """The message of a sampling."""
    return model_pb2.Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        seed=sampling.seed,
        stop=sampling.stop,
    )


def sampling_of(message: model_pb2.Sampling) -> Sampling:
    """The sampling in a message."""
    return Sampling(
        message.temperature,
        message.top_p,
        message.max_tokens,
        message.seed if message.HasField("seed") else None,
        tuple(message.stop),
    )


def price_message(price: Price) -> model_pb2.Price:
    """The message of a price."""
    return model_pb2.Price(prompt=price.prompt, answer=price.answer)


def price_of(message: model_pb2.Price) -> Price:
    """The price in a message."""
    return Price(message.prompt, message.answer)


def usage_message(usage: Usage) -> model_pb2.Usage:
    """The message of a usage."""
    return model_pb2.Usage(
        prompt_tokens=usage.prompt_tokens,
        answer_tokens=usage.answer_tokens,
        micro_usd=usage.micro_usd,
        attempts=usage.attempts,
    )


def usage_of(message: model_pb2.Usage) -> Usage:
    """The usage in a message."""
    return Usage(message.prompt_tokens, message.answer_tokens, message.micro_usd, message.attempts)


def evidence_message(evidence: Evidence) -> job_pb2.Evidence:
    """The message of evidence."""
    return job_pb2.Evidence(
        kind=evidence.kind,
        standing=STANDINGS[evidence.standing],
        summary=evidence.summary,
        output=evidence.output,
        score=evidence.score,
    )


def evidence_of(message: job_pb2.Evidence, at: str) -> Evidence:
    """The evidence in a message."""
    standing = STANDINGS.read(message.standing, f"{at}.standing")
    return Evidence(message.kind, standing, message.summary, message.output, message.score)


def failure_message(failure: Failure) -> job_pb2.Failure:
    """The message of a failure."""
    return job_pb2.Failure(code=failure.code, reason=failure.reason)


def result_message(result: AgentResult) -> job_pb2.AgentResult:
    """The message of a result."""
    return job_pb2.AgentResult(
        job_id=result.job_id,
        deliberation_id=result.deliberation_id,
        task=result.task,
        key=key_message(result.key),
        outcome=OUTCOMES[result.outcome],
        text=result.text,
        finish=result.finish,
        evidence=evidence_message(result.evidence) if result.evidence is not None else None,
        usage=usage_message(result.usage),
        duration_ms=result.duration_ms,
        failure=failure_message(result.failure) if result.failure is not None else None,
    )


def result_of(message: job_pb2.AgentResult, at: str) -> AgentResult:
    """The result in a message."""
    has = message.HasField
    return AgentResult(
        message.job_id,
        message.deliberation_id,
        message.task,
        key_of(message.key),
        OUTCOMES.read(message.outcome, f"{at}.outcome"),
        message.text,
        message.finish,
        evidence_of(message.evidence, f"{at}.evidence") if has("evidence") else None,
        usage_of(message.usage),
        message.duration_ms,
        Failure(message.failure.code, message.failure.reason) if has("failure") else None,
    )


def _call_message(call: ModelCall) -> job_pb2.ModelCall:
    request = call.request
    return job_pb2.ModelCall(
        request=model_pb2.ModelRequest(
            binding=request.binding,
            model=request.model,
            messages=[
                model_pb2.Message(speaker=_SPEAKERS[m.speaker], text=m.text)
                for m in request.messages
            ],
            sampling=sampling_message(request.sampling),
            schema_json=json_text(request.schema) if request.schema is not None else None,
        ),
        price=price_message(call.price),
    )


def _call_of(message: job_pb2.ModelCall, at: str) -> ModelCall:
    request = message.request
    at = f"{at}.request"
    required(request.binding, f"{at}.binding")
    if not request.HasField("sampling"):
        raise DecodeError("is missing", field=f"{at}.sampling")
    schema = None
    if request.HasField("schema_json"):
        schema = json_object(request.schema_json, f"{at}.schema_json")
    messages = tuple(
        Message(_SPEAKERS.read(m.speaker, f"{at}.messages[{index}].speaker"), m.text)
        for index, m in enumerate(request.messages)
    )
    asked = ModelRequest(
        request.binding, request.model, messages, sampling_of(request.sampling), schema
    )
    return ModelCall(asked, price_of(message.price))


def _check_message(check: CheckRequest) -> job_pb2.CheckRequest:
    spec = json_text(check.spec) if check.spec else ""
    return job_pb2.CheckRequest(check=check.check, proposal=check.proposal, spec_json=spec)


def _check_of(message: job_pb2.CheckRequest, at: str) -> CheckRequest:
    spec = json_object(message.spec_json, f"{at}.spec_json")
    return CheckRequest(required(message.check, f"{at}.check"), message.proposal, spec)
