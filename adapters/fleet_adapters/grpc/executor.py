"""The port `Executor` over gRPC: one executor service, or several that share their stores."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import grpc

from fleet_adapters.grpc._calling import Peer, opened_peer
from fleet_adapters.grpc._statuses import stats_of, statuses_of
from fleet_adapters.grpc._submitting import requests
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2 as pb
from fleet_adapters.grpc.proto.fleet.executor.v1.executor_pb2_grpc import ExecutorServiceStub
from fleet_adapters.grpc.settings import GrpcExecutorSettings
from fleet_core.domain.job import AgentJob
from fleet_core.errors import ProfileError, Unavailable
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.executor import ClusterStats, Executor, JobStatus
from fleet_plugins.api import FactoryContext, PortName

T = TypeVar("T")
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
_PATH = "/fleet.executor.v1.ExecutorService/"
_log = logging.getLogger("fleet.executor.grpc")


@asynccontextmanager
async def open_executor(
    settings: GrpcExecutorSettings, ctx: FactoryContext
) -> AsyncIterator[Executor]:
    """Executors at the addresses of the settings; nothing is connected before the first call.

    Raises:
        ProfileError: an address, a file or the token is wrong.
    """
    if not settings.address:
        raise ProfileError("names no executor", "e.g. 127.0.0.1:50056", field="address")
    async with AsyncExitStack() as stack:
        peers = [
            await stack.enter_async_context(opened_peer("executor", one, settings, ctx.secret))
            for one in settings.address
        ]
        yield GrpcExecutor(peers, ctx.ports[PortName.BLOBS])


class GrpcExecutor(Executor):
    """Submits to one executor, in turn; asks all of them about what they hold.

    Args:
        peers: the executors.
        blobs: shared with them; holds jobs too large for a message.
    """

    def __init__(self, peers: Sequence[Peer], blobs: BlobStore) -> None:
        self._executors = [_RemoteExecutor(peer) for peer in peers]
        self._blobs = blobs
        self._turn = 0

    async def submit(self, jobs: Sequence[AgentJob]) -> None:
        """See the port. An executor that is away or full is passed over for the next one."""
        async for request in requests(jobs, self._blobs):
            await self._any(request)

    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:
        """See the port; asks every executor."""
        request = pb.CancelDeliberationRequest(deliberation_id=deliberation_id, job_ids=job_ids)
        hits = await self._all(lambda one: one.cancel(request))
        return sum(hits)

    async def status(self, deliberation_id: str) -> Sequence[JobStatus]:
        """See the port; of a job that several executors know, what the furthest says."""
        request = pb.GetDeliberationStatusRequest(deliberation_id=deliberation_id)
        return _merged(await self._all(lambda one: one.status(request)))

    async def active(self) -> Sequence[JobStatus]:
        """See the port; of all executors."""
        return _merged(await self._all(lambda one: one.active()))

    async def stats(self) -> ClusterStats:
        """See the port; the sum over all executors, each of which has a runner of its own."""
        every = await self._all(lambda one: one.stats())
        return ClusterStats(
            " + ".join(dict.fromkeys(stats.runner for stats in every)),
            sum(stats.slots for stats in every),
            sum(stats.running for stats in every),
            sum(stats.waiting for stats in every),
            sum(stats.nodes for stats in every),
        )

    async def _any(self, request: pb.ExecuteDeliberationRequest) -> None:
        """Submit to the first that takes it, beginning with another one each time."""
        first, self._turn = self._turn, (self._turn + 1) % len(self._executors)
        for one in (*self._executors[first:], *self._executors[:first]):
            try:
                await one.submit(request)
            except Unavailable as error:
                away = error
            else:
                return
        raise away

    async def _all(self, ask: Callable[[_RemoteExecutor], Awaitable[T]]) -> list[T]:
        """What all of those answered that did; Unavailable where none did."""
        answers = await asyncio.gather(*(_tried(ask(one)) for one in self._executors))
        away = [answer for answer in answers if isinstance(answer, Unavailable)]
        if len(away) == len(answers):
            raise away[0]
        for error in away:
            _log.warning("answered for by the others only: %s", error)
        return [answer for answer in answers if not isinstance(answer, Unavailable)]


async def _tried(asked: Awaitable[T]) -> T | Unavailable:
    try:
        return await asked
    except Unavailable as error:
        return error


class _RemoteExecutor:
    """One executor service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = ExecutorServiceStub(peer.channel)

    async def submit(self, request: pb.ExecuteDeliberationRequest) -> None:
        await self._call("ExecuteDeliberation", self._stub.ExecuteDeliberation, request)

    async def cancel(self, request: pb.CancelDeliberationRequest) -> int:
        answer = await self._call("CancelDeliberation", self._stub.CancelDeliberation, request)
        return answer.cancelled

    async def status(self, request: pb.GetDeliberationStatusRequest) -> list[JobStatus]:
        method = self._stub.GetDeliberationStatus
        return statuses_of((await self._call("GetDeliberationStatus", method, request)).jobs)

    async def active(self) -> list[JobStatus]:
        request = pb.GetActiveJobsRequest()
        return statuses_of(
            (await self._call("GetActiveJobs", self._stub.GetActiveJobs, request)).jobs
        )

    async def stats(self) -> ClusterStats:
        request = pb.GetClusterStatsRequest()
        return stats_of(await self._call("GetClusterStats", self._stub.GetClusterStats, request))

    async def _call(
        self, name: str, method: grpc.aio.UnaryUnaryMultiCallable[Asked, Answered], request: Asked
    ) -> Answered:
        return await self._peer.call(_PATH + name, method, request)


_FURTHEST = ("accepted", "running", "done")


def _merged(every: Sequence[Sequence[JobStatus]]) -> list[JobStatus]:
    found: dict[str, JobStatus] = {}
    for status in (status for one in every for status in one):
        held = found.get(status.job_id)
        if held is None or _FURTHEST.index(status.phase) > _FURTHEST.index(held.phase):
            found[status.job_id] = status
    return list(found.values())
