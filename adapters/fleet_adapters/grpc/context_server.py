"""The context service: a `Hydrator`, and the graph behind it, for callers of other processes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet_adapters.grpc._asking import (
    KnownPlans,
    approved_ms,
    given_decision,
    given_plan,
    requests_of,
    well_formed,
    wish_of,
)
from fleet_adapters.grpc._graph import page, page_limit
from fleet_adapters.grpc._open_parts import required
from fleet_adapters.grpc._packs import write_made
from fleet_adapters.grpc._surrounding import Context
from fleet_adapters.grpc.pack_cache import PackCache
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2_grpc as pb_grpc
from fleet_adapters.grpc.serving import Served, Service, serving
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_adapters.grpc.telemetry import Observe, unobserved
from fleet_core.domain.context import PackRequest, PlanRecord
from fleet_core.domain.council import role_name
from fleet_core.domain.plan import plan_id
from fleet_core.domain.scope import validate
from fleet_core.errors import DecodeError, InputError, NotFound
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.hydrator import Hydrator
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.sessions import HOUR_MS, LONGEST_MS, Session, Sessions, Wanted

NAME: str = pb.DESCRIPTOR.services_by_name["ContextService"].full_name
_SHOWN = 80
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Hydration:
    """What a context service answers from; all of it must be open for longer than the service.

    Attributes:
        hydrator: makes packs and records decisions.
        graph: keeps and knows plans.
        councils: whose roles are known.
        sessions: keep packs for a while.
        blobs: shared with the callers; holds what is too large for a message.
        cache: of packs; None where every pack is made.
    """

    hydrator: Hydrator
    graph: ContextGraph
    councils: Councils
    sessions: Sessions
    blobs: BlobStore
    cache: PackCache | None = None


@asynccontextmanager
async def serve_context(
    hydration: Hydration,
    settings: GrpcServerSettings,
    secret: Callable[[str], str],
    *,
    observe: Observe = unobserved,
) -> AsyncIterator[Served]:
    """Serve packs and records until the context is left.

    Args:
        hydration: what it answers from.
        settings: address, TLS, tokens, limits.
        secret: resolves the names of the tokens.
        observe: is told of every RPC.

    Raises:
        ProfileError: the settings are wrong, or the address is exposed.
        Unavailable: the address cannot be bound.
    """
    servicer = ContextServicer(hydration)
    service = Service(
        NAME, lambda server: pb_grpc.add_ContextServiceServicer_to_server(servicer, server)
    )
    try:
        async with serving(settings, secret, [service], observe=observe) as served:
            yield served
    finally:
        if hydration.cache is not None:
            await hydration.cache.kept_all()


class ContextServicer(pb_grpc.ContextServiceServicer):
    """See the proto; errors are translated around it."""

    def __init__(self, hydration: Hydration) -> None:
        self._own = hydration
        self._plans = KnownPlans(hydration.graph)

    async def GetContext(
        self, request: pb.GetContextRequest, context: Context
    ) -> pb.GetContextResponse:
        """One pack."""
        own = self._own
        wish = await wish_of(request, own.blobs)
        (asked,) = await requests_of(wish, [("role", request.role)], self._plans, own.councils)
        if own.cache is None:
            return await self._made(asked)
        key = own.cache.key(request)
        answer = await own.cache.kept(key, asked.plan.story)
        if answer is None:
            answer = await self._made(asked)
            own.cache.keep(key, answer)
        return answer

    async def _made(self, request: PackRequest) -> pb.GetContextResponse:
        pack = await self._own.hydrator.pack(request)
        answer = pb.GetContextResponse()
        await write_made(pack, answer.pack, self._own.blobs)
        return answer

    async def UpdateContext(
        self, request: pb.UpdateContextRequest, context: Context
    ) -> pb.UpdateContextResponse:
        """Record a plan."""
        if not request.HasField("plan"):
            raise DecodeError("is missing", field="plan")
        own = self._own
        plan, at = await given_plan(request.plan, own.blobs)
        well_formed(plan, await own.councils.all(), at)
        identity = plan_id(plan)
        if request.plan_id not in ("", identity):
            raise DecodeError(f"is not the plan's id, which is {identity}", field="plan_id")
        revision = await own.graph.record_plan(
            PlanRecord(identity, plan, approved_ms(request.plan))
        )
        return pb.UpdateContextResponse(plan_id=identity, revision=revision)

    async def RecordDecision(
        self, request: pb.RecordDecisionRequest, context: Context
    ) -> pb.RecordDecisionResponse:
        """Record a decision."""
        decision = await given_decision(request, self._own.blobs)
        return pb.RecordDecisionResponse(revision=await self._own.hydrator.record(decision))

    async def RehydrateSession(
        self, request: pb.RehydrateSessionRequest, context: Context
    ) -> pb.RehydrateSessionResponse:
        """Packs for several roles, kept for a while."""
        identity = request.session_id
        if not _SESSION_ID.fullmatch(identity):
            raise DecodeError("should be 1 to 128 letters, digits, _ and -", field="session_id")
        if request == pb.RehydrateSessionRequest(session_id=identity):
            kept = await self._own.sessions.kept(identity)
            if kept is None:
                raise NotFound(
                    f"nothing is kept under session {identity}",
                    "say what it is of: plan, task, roles and budget",
                )
            return await self._rehydrated(identity, kept)
        session = await self._session(request)
        return await self._rehydrated(identity, session)

    async def _session(self, request: pb.RehydrateSessionRequest) -> Session:
        own = self._own
        if not 0 <= request.ttl_ms <= LONGEST_MS:
            raise InputError(
                f"is {request.ttl_ms}", f"0 for an hour, {LONGEST_MS} at most", field="ttl_ms"
            )
        if not request.roles:
            raise DecodeError("is empty", "name at least one role", field="roles")
        roles: dict[str, str] = {}
        for index, role in enumerate(request.roles):
            field = f"roles[{index}]"
            roles.setdefault(role_name(required(role.strip(), field)), field)
        wish = await wish_of(request, own.blobs)

        async def requests() -> list[PackRequest]:
            asked = [(field, role) for role, field in roles.items()]
            return await requests_of(wish, asked, self._plans, own.councils)

        wanted = Wanted(wish.plan_id, wish.task_id, tuple(roles), wish.phase, wish.budget)
        return await own.sessions.packs(
            request.session_id, wanted, requests, request.ttl_ms or HOUR_MS
        )

    async def _rehydrated(self, identity: str, session: Session) -> pb.RehydrateSessionResponse:
        answer = pb.RehydrateSessionResponse(session_id=identity, expires_ms=session.expires_ms)
        for pack in session.packs:
            await write_made(pack, answer.packs.add(), self._own.blobs, len(session.packs))
        return answer

    async def ValidateScope(
        self, request: pb.ValidateScopeRequest, context: Context
    ) -> pb.ValidateScopeResponse:
        """Scopes beside what the policy gives."""
        roles = await self._own.councils.all()
        report = validate(request.phase, request.role, request.scopes, roles=roles)
        return pb.ValidateScopeResponse(
            valid=report.valid,
            allowed=report.allowed,
            missing=report.missing,
            extra=report.extra,
        )

    async def GetGraph(self, request: pb.GetGraphRequest, context: Context) -> pb.GetGraphResponse:
        """A page of a story."""
        story, graph = required(request.story, "story"), self._own.graph
        limit = page_limit(request.limit)
        records = await graph.records(story, after=request.after, limit=limit)
        revision = await graph.revision(story)
        if not revision:
            raise NotFound(f"nothing is known of story {story[:_SHOWN]!r}")
        return page(story, records, revision, limit)
