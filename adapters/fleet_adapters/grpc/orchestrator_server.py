"""The orchestrator service: the use cases Deliberate, Plans and Councils for other processes."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import fleet_core
from fleet_adapters.grpc._deliberations import PHASES, deliberation_message, lease_message
from fleet_adapters.grpc._draining import Gate
from fleet_adapters.grpc._errors import Ended
from fleet_adapters.grpc._open_parts import json_text, required
from fleet_adapters.grpc._records import TASK_STATES, agent_message, council_message, task_of
from fleet_adapters.grpc._seating import seat_of
from fleet_adapters.grpc._starting import one_task, started
from fleet_adapters.grpc._surrounding import Context
from fleet_adapters.grpc._watching import watched
from fleet_adapters.grpc.proto.fleet.orchestrator.v1 import orchestrator_pb2 as pb
from fleet_adapters.grpc.proto.fleet.orchestrator.v1 import orchestrator_pb2_grpc as pb_grpc
from fleet_adapters.grpc.serving import Served, Service, serving
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_adapters.grpc.telemetry import Figure, Observe, RpcCall, RpcCounters, unobserved
from fleet_core.domain.deliberation import FINAL, Phase
from fleet_core.errors import DecodeError, InputError
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_core.usecases import keys
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate
from fleet_core.usecases.plans import Plans

NAME: str = pb.DESCRIPTOR.services_by_name["OrchestratorService"].full_name
ADMIN = frozenset(
    f"/{NAME}/{method}"
    for method in (
        "CancelDeliberation",
        "ExtendLease",
        "CreateCouncil",
        "DeleteCouncil",
        "RegisterAgent",
        "UnregisterAgent",
    )
)
"""Methods that ask for the admin token, where one is set."""


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """What an orchestrator service answers from; all of it must run for longer than the service."""

    plans: Plans
    deliberate: Deliberate
    councils: Councils
    bus: EventBus
    state: StateStore
    blobs: BlobStore
    clock: Clock


def _no_figures() -> Iterable[Figure]:
    return ()


@asynccontextmanager
async def serve_orchestrator(
    orchestrator: Orchestrator,
    settings: GrpcServerSettings,
    secret: Callable[[str], str],
    *,
    figures: Callable[[], Iterable[Figure]] = _no_figures,
    observe: Observe = unobserved,
) -> AsyncIterator[Served]:
    """Serve an orchestrator until the context is left.

    Args:
        orchestrator: its use cases, running.
        settings: address, TLS, tokens, limits.
        secret: resolves the names of the tokens.
        figures: more of them for GetMetrics, besides those of the RPCs.
        observe: is told of every RPC.

    Raises:
        ProfileError: the settings are wrong, or the address is exposed.
        Unavailable: the address cannot be bound.
    """
    gate, counters = Gate(), RpcCounters()

    def told(call: RpcCall) -> None:
        counters(call)
        observe(call)

    def measured() -> Iterable[Figure]:
        yield from counters.figures()
        yield from figures()

    servicer = OrchestratorServicer(orchestrator, measured, gate.stopping)
    service = Service(
        NAME,
        lambda server: pb_grpc.add_OrchestratorServiceServicer_to_server(servicer, server),
        ADMIN,
    )
    async with serving(settings, secret, [service], observe=told, gate=gate) as served:
        yield served


class OrchestratorServicer(pb_grpc.OrchestratorServiceServicer):
    """See the proto; errors are translated around it."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        figures: Callable[[], Iterable[Figure]],
        stopping: asyncio.Event,
    ) -> None:
        self._own = orchestrator
        self._figures = figures
        self._stopping = stopping
        self._started_ms = orchestrator.clock()

    async def Deliberate(
        self, request: pb.DeliberateRequest, context: Context
    ) -> pb.DeliberateResponse:
        """Start one task."""
        if not request.HasField("task"):
            raise DecodeError("is missing", field="task")
        plan = one_task(request.story, task_of(request.task, "task"), request.description)
        own = self._own
        found = await started(
            plan,
            fresh=request.fresh,
            plans=own.plans,
            deliberate=own.deliberate,
            councils=own.councils,
        )
        return pb.DeliberateResponse(
            plan_id=found.plan_id,
            deliberation_id=found.deliberation_id,
            attempt=found.attempt,
            state=TASK_STATES[found.state],
        )

    async def GetDeliberation(
        self, request: pb.GetDeliberationRequest, context: Context
    ) -> pb.GetDeliberationResponse:
        """A deliberation as saved."""
        state = await self._own.deliberate.get(_identity(request.deliberation_id))
        message = await deliberation_message(state, self._own.blobs)
        return pb.GetDeliberationResponse(deliberation=message)

    async def WatchDeliberation(
        self, request: pb.WatchDeliberationRequest, context: Context
    ) -> AsyncIterator[pb.WatchDeliberationResponse]:
        """Its events until it has completed."""
        own = self._own
        state = await own.deliberate.get(_identity(request.deliberation_id))
        events = watched(state, request.after, own.bus, own.clock, self._stopping)
        async with aclosing(events):
            async for stored in events:
                event = stored.event
                yield pb.WatchDeliberationResponse(
                    event_id=event.event_id,
                    subject=event.subject,
                    sequence=event.sequence,
                    time_ms=event.time_ms,
                    phase=PHASES[Phase(event.data["phase"])],
                    data_json=json_text(event.data),
                    position=stored.position,
                )

    async def CancelDeliberation(
        self, request: pb.CancelDeliberationRequest, context: Context
    ) -> pb.CancelDeliberationResponse:
        """End a deliberation."""
        identity = _identity(request.deliberation_id)
        state = await self._own.deliberate.cancel(identity, request.reason or "cancelled")
        return pb.CancelDeliberationResponse(phase=PHASES[state.phase])

    async def ExtendLease(
        self, request: pb.ExtendLeaseRequest, context: Context
    ) -> pb.ExtendLeaseResponse:
        """Raise a deliberation's budget."""
        identity = _identity(request.deliberation_id)
        more = {name: getattr(request, name) for name in ("tokens", "micro_usd", "deadline_ms")}
        for name, value in more.items():
            if value < 0:
                raise InputError("is negative", "a lease is only raised", field=name)
        if not any(more.values()):
            raise InputError("nothing is asked for", f"one of: {', '.join(more)}", field="tokens")
        state = await self._own.deliberate.extend(identity, **more)
        if state.phase in FINAL:
            raise Ended(f"deliberation {identity} has ended: it is {state.phase}")
        return pb.ExtendLeaseResponse(lease=lease_message(state.lease))

    async def CreateCouncil(
        self, request: pb.CreateCouncilRequest, context: Context
    ) -> pb.CreateCouncilResponse:
        """Keep a new council."""
        seats = [seat_of(spec) for spec in request.agents]
        council = await self._own.councils.create(request.role, seats)
        return pb.CreateCouncilResponse(council=council_message(council))

    async def DeleteCouncil(
        self, request: pb.DeleteCouncilRequest, context: Context
    ) -> pb.DeleteCouncilResponse:
        """Drop a kept council."""
        again = await self._own.councils.delete(request.role)
        return pb.DeleteCouncilResponse(council=council_message(again) if again else None)

    async def RegisterAgent(
        self, request: pb.RegisterAgentRequest, context: Context
    ) -> pb.RegisterAgentResponse:
        """Seat one more agent."""
        agent = await self._own.councils.register(request.role, seat_of(request.agent))
        return pb.RegisterAgentResponse(agent=agent_message(agent))

    async def UnregisterAgent(
        self, request: pb.UnregisterAgentRequest, context: Context
    ) -> pb.UnregisterAgentResponse:
        """Take an agent's seat."""
        agent_id = required(request.agent_id, "agent_id")
        council = await self._own.councils.unregister(request.role, agent_id)
        return pb.UnregisterAgentResponse(council=council_message(council))

    async def ListCouncils(
        self, request: pb.ListCouncilsRequest, context: Context
    ) -> pb.ListCouncilsResponse:
        """Every council."""
        found = await self._own.councils.all()
        return pb.ListCouncilsResponse(councils=map(council_message, found.values()))

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        """What this service is."""
        return pb.GetStatusResponse(
            version=fleet_core.__version__,
            python=platform.python_version(),
            started_ms=self._started_ms,
            protocols=sorted(self._own.deliberate.protocols),
            open_deliberations=await _count(self._own.state, keys.DUE),
            open_plans=await _count(self._own.state, keys.PLAN_OPEN),
        )

    async def GetMetrics(
        self, request: pb.GetMetricsRequest, context: Context
    ) -> pb.GetMetricsResponse:
        """Figures of this process."""
        return pb.GetMetricsResponse(
            metrics=[
                pb.Metric(name=f.name, labels=f.labels, value=f.value, unit=f.unit)
                for f in self._figures()
            ]
        )


def _identity(text: str) -> str:
    return required(text, "deliberation_id")


async def _count(state: StateStore, prefix: str) -> int:
    """Documents whose key begins with a prefix."""
    number, after = 0, ""
    while page := await state.scan(prefix, after=after):
        number += len(page)
        after = page[-1].key
    return number
