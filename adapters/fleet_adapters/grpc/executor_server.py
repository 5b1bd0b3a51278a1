"""The executor service: an `Executor` for callers of other processes."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import fleet_core
from fleet_adapters.grpc._errors import Full
from fleet_adapters.grpc._open_parts import required
from fleet_adapters.grpc._statuses import stats_message, status_message
from fleet_adapters.grpc._submitting import submitted_jobs
from fleet_adapters.grpc._surrounding import Context
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2 as pb
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2_grpc as pb_grpc
from fleet_adapters.grpc.serving import Served, Service, serving
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_adapters.grpc.telemetry import Observe, unobserved
from fleet_core.domain.job import AgentJob
from fleet_core.errors import NotFound
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock
from fleet_core.ports.executor import Executor

NAME: str = pb.DESCRIPTOR.services_by_name["ExecutorService"].full_name
_RETRY_MS = 500


@asynccontextmanager
async def serve_executor(
    executor: Executor,
    blobs: BlobStore,
    clock: Clock,
    settings: GrpcServerSettings,
    secret: Callable[[str], str],
    *,
    max_jobs: int = 2_000,
    observe: Observe = unobserved,
) -> AsyncIterator[Served]:
    """Serve an executor until the context is left; it must be running for longer than that.

    Args:
        executor: takes the jobs.
        blobs: shared with the callers; holds jobs too large for a message.
        clock: UTC milliseconds.
        settings: address, TLS, tokens, limits.
        secret: resolves the names of the tokens.
        max_jobs: accepted and not yet done, at most; 0 for any number. One that holds nothing
            takes one request of any size.
        observe: is told of every RPC.

    Raises:
        ProfileError: the settings are wrong, or the address is exposed.
        Unavailable: the address cannot be bound.
    """
    servicer = ExecutorServicer(executor, blobs, clock(), max_jobs)
    service = Service(
        NAME, lambda server: pb_grpc.add_ExecutorServiceServicer_to_server(servicer, server)
    )
    async with serving(settings, secret, [service], observe=observe) as served:
        yield served


class ExecutorServicer(pb_grpc.ExecutorServiceServicer):
    """See the proto; errors are translated around it."""

    def __init__(
        self, executor: Executor, blobs: BlobStore, started_ms: int, max_jobs: int
    ) -> None:
        self._executor = executor
        self._blobs = blobs
        self._started_ms = started_ms
        self._max_jobs = max_jobs
        self._coming = 0

    async def ExecuteDeliberation(
        self, request: pb.ExecuteDeliberationRequest, context: Context
    ) -> pb.ExecuteDeliberationResponse:
        """Accept jobs."""
        jobs = await submitted_jobs(request, self._blobs)
        fresh = await self._room_for(jobs)
        self._coming += fresh
        try:
            await self._executor.submit(jobs)
        finally:
            self._coming -= fresh
        return pb.ExecuteDeliberationResponse(accepted=len({job.job_id for job in jobs}))

    async def _room_for(self, jobs: Sequence[AgentJob]) -> int:
        """How many of the jobs are not held yet; Full where there is no room for them."""
        held = {status.job_id for status in await self._executor.active()}
        fresh = len({job.job_id for job in jobs} - held)
        taken = len(held) + self._coming
        if self._max_jobs and fresh and taken and taken + fresh > self._max_jobs:
            raise Full(
                f"the executor holds {taken} jobs and takes {self._max_jobs}, not {fresh} more",
                "submit again in a while, or run another executor",
                retry_after_ms=_RETRY_MS,
            )
        return fresh

    async def GetDeliberationStatus(
        self, request: pb.GetDeliberationStatusRequest, context: Context
    ) -> pb.GetDeliberationStatusResponse:
        """Jobs of a deliberation."""
        identity = required(request.deliberation_id, "deliberation_id")
        found = await self._executor.status(identity)
        return pb.GetDeliberationStatusResponse(jobs=map(status_message, found))

    async def CancelDeliberation(
        self, request: pb.CancelDeliberationRequest, context: Context
    ) -> pb.CancelDeliberationResponse:
        """Stop jobs of a deliberation."""
        identity = required(request.deliberation_id, "deliberation_id")
        hit = await self._executor.cancel(identity, tuple(request.job_ids))
        return pb.CancelDeliberationResponse(cancelled=hit)

    async def CancelJob(
        self, request: pb.CancelJobRequest, context: Context
    ) -> pb.CancelJobResponse:
        """Stop one job."""
        identity = required(request.deliberation_id, "deliberation_id")
        job_id = required(request.job_id, "job_id")
        known = await self._executor.status(identity)
        if not any(status.job_id == job_id for status in known):
            raise NotFound(f"deliberation {identity} has no job {job_id} here")
        hit = await self._executor.cancel(identity, (job_id,))
        return pb.CancelJobResponse(cancelled=bool(hit))

    async def GetActiveJobs(
        self, request: pb.GetActiveJobsRequest, context: Context
    ) -> pb.GetActiveJobsResponse:
        """Jobs that are not done."""
        found = await self._executor.active()
        return pb.GetActiveJobsResponse(jobs=map(status_message, found))

    async def GetClusterStats(
        self, request: pb.GetClusterStatsRequest, context: Context
    ) -> pb.GetClusterStatsResponse:
        """The runner's figures."""
        return stats_message(await self._executor.stats())

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        """What this service is."""
        return pb.GetStatusResponse(
            version=fleet_core.__version__,
            python=platform.python_version(),
            started_ms=self._started_ms,
            active_jobs=len(await self._executor.active()),
            max_jobs=self._max_jobs,
        )
