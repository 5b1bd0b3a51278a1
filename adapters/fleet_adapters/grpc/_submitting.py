"""A submitted job on the wire: whole, or as a reference to a blob that both sides share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from fleet_adapters.grpc._by_reference import fetched, inline, kept
from fleet_adapters.grpc._jobs import checked_job, job_message, job_of
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2
from fleet_core.domain.events import MAX_INLINE_BYTES
from fleet_core.domain.job import AgentJob
from fleet_core.errors import DecodeError
from fleet_core.ports.blob_store import BlobStore

REQUEST_BYTES = 3 * 1024 * 1024
"""Jobs of one request together; below the 4 MiB that gRPC takes unless told otherwise."""


async def requests(
    jobs: Iterable[AgentJob], blobs: BlobStore
) -> AsyncIterator[executor_pb2.ExecuteDeliberationRequest]:
    """The requests that submit jobs, in their order; as a rule it is one."""
    batch: list[executor_pb2.SubmittedJob] = []
    size = 0
    for job in jobs:
        submitted = await _submitted(job, blobs)
        own = submitted.ByteSize()
        if batch and size + own > REQUEST_BYTES:
            yield executor_pb2.ExecuteDeliberationRequest(jobs=batch)
            batch, size = [], 0
        batch.append(submitted)
        size += own
    if batch:
        yield executor_pb2.ExecuteDeliberationRequest(jobs=batch)


async def _submitted(job: AgentJob, blobs: BlobStore) -> executor_pb2.SubmittedJob:
    message = inline(job, job_message, MAX_INLINE_BYTES)
    if message is not None:
        return executor_pb2.SubmittedJob(job=message)
    return executor_pb2.SubmittedJob(job_ref=await kept(job, blobs))


async def submitted_jobs(
    request: executor_pb2.ExecuteDeliberationRequest, blobs: BlobStore
) -> Sequence[AgentJob]:
    """The jobs of a request.

    Raises:
        DecodeError: names the field that is wrong.
        Unavailable: the blob store is away.
    """
    if not request.jobs:
        raise DecodeError("is empty", "submit at least one job", field="jobs")
    return [
        await _job(message, f"jobs[{index}]", blobs) for index, message in enumerate(request.jobs)
    ]


async def _job(message: executor_pb2.SubmittedJob, at: str, blobs: BlobStore) -> AgentJob:
    form = message.WhichOneof("form")
    if form == "job":
        return job_of(message.job, f"{at}.job")
    if form is None:
        raise DecodeError("is missing", "job or job_ref", field=at)
    at = f"{at}.job_ref"
    return checked_job(await fetched(AgentJob, message.job_ref, blobs, at), at)
