"""The port `Hydrator` over gRPC: one context service, or several that share graph and stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from fleet_adapters.grpc._by_reference import inline, kept
from fleet_adapters.grpc._calling import Peer, opened_peer
from fleet_adapters.grpc._packs import made_of
from fleet_adapters.grpc._records import decision_message, plan_message
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_adapters.grpc.proto.fleet.context.v1.context_pb2_grpc import ContextServiceStub
from fleet_adapters.grpc.settings import GrpcHydratorSettings
from fleet_core.domain.context import ContextPack, PackRequest
from fleet_core.domain.decision import Decision
from fleet_core.domain.events import MAX_INLINE_BYTES
from fleet_core.errors import ProfileError, Unavailable
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.hydrator import Hydrator
from fleet_plugins.api import FactoryContext, PortName

T = TypeVar("T")
_PATH = "/fleet.context.v1.ContextService/"


@asynccontextmanager
async def open_hydrator(
    settings: GrpcHydratorSettings, ctx: FactoryContext
) -> AsyncIterator[Hydrator]:
    """Context services at the addresses of the settings; connects with the first call.

    Raises:
        ProfileError: an address, a file or the token is wrong.
    """
    if not settings.address:
        raise ProfileError("names no context service", "e.g. 127.0.0.1:50051", field="address")
    async with AsyncExitStack() as stack:
        peers = [
            await stack.enter_async_context(
                opened_peer("context service", one, settings, ctx.secret)
            )
            for one in settings.address
        ]
        yield GrpcHydrator(peers, ctx.ports[PortName.BLOBS])


class GrpcHydrator(Hydrator):
    """Asks one context service, in turn; one that is away is passed over for the next.

    Args:
        peers: the services.
        blobs: shared with them; holds what is too large for a message.
    """

    def __init__(self, peers: Sequence[Peer], blobs: BlobStore) -> None:
        self._services = [_RemoteHydrator(peer) for peer in peers]
        self._blobs = blobs
        self._turn = 0

    async def pack(self, request: PackRequest) -> ContextPack:
        """See the port. The plan is sent along, so that it need not have been recorded."""
        message = pb.GetContextRequest(
            plan_id=request.plan_id,
            task_id=request.task_id,
            role=request.role,
            phase=request.phase,
            budget=request.budget,
            plan=await self._approved(request),
        )
        made = await self._any(lambda one: one.pack(message))
        return await made_of(made, self._blobs, "pack")

    async def record(self, decision: Decision) -> int:
        """See the port."""
        whole = inline(decision, decision_message, MAX_INLINE_BYTES)
        if whole is not None:
            message = pb.RecordDecisionRequest(decision=whole)
        else:
            message = pb.RecordDecisionRequest(decision_ref=await kept(decision, self._blobs))
        return await self._any(lambda one: one.record(message))

    async def _approved(self, request: PackRequest) -> pb.ApprovedPlan:
        plan = inline(request.plan, plan_message, MAX_INLINE_BYTES)
        if plan is not None:
            return pb.ApprovedPlan(plan=plan, approved_ms=request.approved_ms)
        ref = await kept(request.plan, self._blobs)
        return pb.ApprovedPlan(plan_ref=ref, approved_ms=request.approved_ms)

    async def _any(self, ask: Callable[[_RemoteHydrator], Awaitable[T]]) -> T:
        """What the first answers that is there, beginning with another one each time."""
        first, self._turn = self._turn, (self._turn + 1) % len(self._services)
        for one in (*self._services[first:], *self._services[:first]):
            try:
                return await ask(one)
            except Unavailable as error:
                away = error
        raise away


class _RemoteHydrator:
    """One context service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = ContextServiceStub(peer.channel)

    async def pack(self, request: pb.GetContextRequest) -> pb.MadePack:
        path = _PATH + "GetContext"
        return (await self._peer.call(path, self._stub.GetContext, request)).pack

    async def record(self, request: pb.RecordDecisionRequest) -> int:
        path = _PATH + "RecordDecision"
        return (await self._peer.call(path, self._stub.RecordDecision, request)).revision
