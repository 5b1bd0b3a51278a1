"""Run one agent job with the models and checks at hand. Runners of every kind share this."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from fleet_core import tracing
from fleet_core.domain.deliberation import DEADLINE
from fleet_core.domain.job import (
    AgentJob,
    AgentResult,
    CheckRequest,
    Evidence,
    Failure,
    ModelCall,
    Outcome,
    Standing,
)
from fleet_core.domain.job_header import JOB_HEADER, format_header
from fleet_core.domain.model_call import MESSAGE_TOKENS, Completion, Usage
from fleet_core.errors import CheckRefused, FleetError, LeaseExceeded, ModelError
from fleet_core.ports.check import Check
from fleet_core.ports.clock import Clock
from fleet_core.ports.model import CallBudget, Model, OnText

ESTIMATE = "estimate"
_GRACE_S = 0.25  # a model that keeps the time itself is let say what the call used


async def perform(
    job: AgentJob,
    models: Mapping[str, Model],
    checks: Mapping[str, Check],
    clock: Clock,
    on_text: OnText | None = None,
) -> AgentResult:
    """The job's result: what the model answered, the check's evidence, or why there is neither.

    Args:
        job: carries its own slice; nothing beyond it is spent.
        models: by binding name.
        checks: by kind.
        clock: UTC milliseconds.
        on_text: hears a model's answer as it comes.
    """
    started = clock()
    left = job.slice.deadline_ms - started
    if left <= 0:
        return failed(job, DEADLINE, "the job's deadline had passed before it began")
    try:
        async with asyncio.timeout(left / 1000 + _GRACE_S):
            if isinstance(job.work, CheckRequest):
                return await _check(job, job.work, checks, left, clock)
            return await _call(job, job.work, models, clock, on_text)
    except TimeoutError:
        return failed(job, DEADLINE, f"did not end within its {left} ms", clock() - started)


async def _call(
    job: AgentJob,
    call: ModelCall,
    models: Mapping[str, Model],
    clock: Clock,
    on_text: OnText | None,
) -> AgentResult:
    started = clock()
    model = models.get(call.request.binding)
    if model is None:
        known = ", ".join(sorted(models)) or "none"
        reason = f"no model is bound to {call.request.binding!r}; bound: {known}"
        return failed(job, "model_refused", reason)
    try:
        await _covered(job, call, model)
        done = await _completed(job, call, model, clock, on_text)
    except FleetError as error:
        # The adapter's own time limit is the job's deadline too: either may be the first to end it.
        code = DEADLINE if clock() >= job.slice.deadline_ms else error.code
        return failed(job, code, str(error), clock() - started, _spent(call, error))
    usage = Usage(
        done.prompt_tokens,
        done.answer_tokens,
        call.price.of(done.prompt_tokens, done.answer_tokens),
        done.attempts,
    )
    return AgentResult(
        job.job_id,
        job.deliberation_id,
        job.task,
        job.key,
        Outcome.OK,
        done.text,
        done.finish,
        usage=usage,
        duration_ms=clock() - started,
    )


async def _completed(
    job: AgentJob, call: ModelCall, model: Model, clock: Clock, on_text: OnText | None
) -> Completion:
    with tracing.span(f"model {call.request.binding}", tracing.Kind.CLIENT) as span:
        headers = {JOB_HEADER: format_header(job)}
        if span.traceparent:
            headers[tracing.HEADER] = span.traceparent
        budget = CallBudget(max(1, job.slice.deadline_ms - clock()), job.slice.tokens, headers)
        done = await model.complete(call.request, budget, on_text)
        if span.recorded:
            span.note(
                {
                    "fleet.job_id": job.job_id,
                    "fleet.attempts": done.attempts,
                    "gen_ai.request.model": call.request.model or call.request.binding,
                    "gen_ai.usage.input_tokens": done.prompt_tokens,
                    "gen_ai.usage.output_tokens": done.answer_tokens,
                }
            )
        return done


async def _covered(job: AgentJob, call: ModelCall, model: Model) -> None:
    """Refuse a prompt that a real tokenizer finds larger than the slice's share for it."""
    if model.tokenizer() == ESTIMATE:
        return
    messages = call.request.messages
    tokens = sum(await model.count([m.text for m in messages])) + MESSAGE_TOKENS * len(messages)
    if tokens > job.slice.prompt_tokens:
        raise LeaseExceeded(
            f"the prompt takes {tokens} tokens, its slice of the lease {job.slice.prompt_tokens}"
        )


def _spent(call: ModelCall, error: FleetError) -> Usage:
    if not isinstance(error, ModelError):
        return Usage()
    cost = call.price.of(error.prompt_tokens, error.answer_tokens)
    return Usage(error.prompt_tokens, error.answer_tokens, cost, error.attempts)


async def _check(
    job: AgentJob, work: CheckRequest, checks: Mapping[str, Check], left_ms: int, clock: Clock
) -> AgentResult:
    started = clock()
    check = checks.get(work.check)
    if check is None:
        known = ", ".join(sorted(checks)) or "none"
        evidence = _not_run(work.check, f"no check of this kind is bound; bound: {known}")
    else:
        try:
            evidence = await check.run(work, timeout_ms=left_ms)
        except CheckRefused as error:
            evidence = _not_run(work.check, str(error))
        except FleetError as error:
            return failed(job, error.code, str(error), clock() - started)
        if evidence.kind != work.check:  # evidence counts by the name that the task gave the check
            evidence = replace(evidence, kind=work.check)
    return AgentResult(
        job.job_id,
        job.deliberation_id,
        job.task,
        job.key,
        Outcome.OK,
        evidence=evidence,
        duration_ms=clock() - started,
    )


def _not_run(kind: str, why: str) -> Evidence:
    return Evidence(kind, Standing.NOT_RUN, why)


def failed(
    job: AgentJob, code: str, reason: str, duration_ms: int = 0, usage: Usage | None = None
) -> AgentResult:
    """A failed result of a job."""
    return AgentResult(
        job.job_id,
        job.deliberation_id,
        job.task,
        job.key,
        Outcome.FAILED,
        usage=usage if usage is not None else Usage(),
        duration_ms=duration_ms,
        failure=Failure(code, reason),
    )
