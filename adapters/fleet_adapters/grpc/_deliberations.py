"""A deliberation as a message: for people and programs that look at it, not to go on with it.

Lone surrogates, which models do send and messages cannot hold, become question marks. Where the
whole would be too large, long texts travel as references to blobs.
"""

from __future__ import annotations

from typing import Any

from fleet_adapters.grpc._jobs import (
    OUTCOMES,
    evidence_message,
    failure_message,
    key_message,
    slice_message,
    usage_message,
)
from fleet_adapters.grpc._open_parts import Names, json_text
from fleet_adapters.grpc._records import (
    agent_message,
    council_message,
    decision_message,
    task_message,
)
from fleet_adapters.grpc.proto.fleet.domain.v1 import deliberation_pb2 as pb
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.deliberation import (
    Deliberation,
    Ended,
    JobRecord,
    Phase,
    ProtocolSpec,
    Step,
)
from fleet_core.domain.lease import Lease
from fleet_core.ports.blob_store import BlobStore

PHASES = Names(Phase, pb.Phase, "PHASE")
ANSWER_BYTES = 3 * 1024 * 1024
"""An answer up to this size holds its texts; below the 4 MiB that gRPC takes unless told."""
_LONG = 4 * 1024


async def deliberation_message(state: Deliberation, blobs: BlobStore) -> pb.Deliberation:
    """The message of a deliberation."""
    try:
        message = _message(state)
    except UnicodeEncodeError:
        message = _message(from_data(Deliberation, _clean(to_data(state))))
    if message.ByteSize() > ANSWER_BYTES:
        ended = [job.ended for step in message.steps for job in step.jobs if job.HasField("ended")]
        for holder in (*ended, *((message.decision,) if message.HasField("decision") else ())):
            if len(holder.text) > _LONG:
                holder.text_ref = await blobs.put(holder.text.encode())
                holder.text = ""
    return message


def lease_message(lease: Lease) -> pb.Lease:
    """The message of a lease."""
    return pb.Lease(
        tokens=lease.tokens,
        deadline_ms=lease.deadline_ms,
        micro_usd=lease.micro_usd,
        reserved_tokens=lease.reserved_tokens,
        reserved_micro_usd=lease.reserved_micro_usd,
        spent_tokens=lease.spent_tokens,
        spent_micro_usd=lease.spent_micro_usd,
        overrun_tokens=lease.overrun_tokens,
    )


def _message(state: Deliberation) -> pb.Deliberation:
    return pb.Deliberation(
        deliberation_id=state.deliberation_id,
        plan_id=state.plan_id,
        story=state.story,
        attempt=state.attempt,
        task=task_message(state.task),
        council=council_message(state.council),
        protocol=_protocol(state.protocol),
        lease=lease_message(state.lease),
        started_ms=state.started_ms,
        version=state.version,
        phase=PHASES[state.phase],
        known_tasks=state.known_tasks,
        steps=[_step(step) for step in state.steps],
        exhausted=state.exhausted,
        amended=state.amended,
        decision=decision_message(state.decision) if state.decision is not None else None,
        failure=failure_message(state.failure) if state.failure is not None else None,
        ended_ms=state.ended_ms,
        notes=state.notes,
        usage=usage_message(state.usage()),
    )


def _protocol(spec: ProtocolSpec) -> pb.ProtocolSpec:
    return pb.ProtocolSpec(
        name=spec.name,
        rounds=spec.rounds,
        samples=spec.samples,
        quorum=spec.quorum,
        step_ms=spec.step_ms,
        judge=agent_message(spec.judge) if spec.judge is not None else None,
        settings_json=json_text(spec.settings) if spec.settings else "",
    )


def _step(step: Step) -> pb.Step:
    return pb.Step(
        number=step.number,
        round=step.round,
        name=step.name,
        opened_ms=step.opened_ms,
        deadline_ms=step.deadline_ms,
        jobs=[_record(job) for job in step.jobs],
        closed_ms=step.closed_ms,
    )


def _record(job: JobRecord) -> pb.JobRecord:
    return pb.JobRecord(
        job_id=job.job_id,
        agent_id=job.agent_id,
        key=key_message(job.key),
        slice=slice_message(job.slice),
        target=job.target,
        shown=job.shown,
        ended=_ended(job.ended) if job.ended is not None else None,
    )


def _ended(ended: Ended) -> pb.JobEnded:
    return pb.JobEnded(
        outcome=OUTCOMES[ended.outcome],
        text=ended.text,
        finish=ended.finish,
        evidence=evidence_message(ended.evidence) if ended.evidence is not None else None,
        usage=usage_message(ended.usage),
        duration_ms=ended.duration_ms,
        failure=failure_message(ended.failure) if ended.failure is not None else None,
        late=ended.late,
    )


def _clean(data: Any) -> Any:
    """JSON data whose texts UTF-8 can hold."""
    if isinstance(data, str):
        return data.encode("utf-8", "replace").decode("utf-8")
    if isinstance(data, dict):
        return {_clean(key): _clean(value) for key, value in data.items()}
    return [_clean(item) for item in data] if isinstance(data, list | tuple) else data
