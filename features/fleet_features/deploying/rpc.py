"""The services' RPCs, over channels of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_adapters.grpc._calling import opened_peer
from fleet_adapters.grpc.proto.fleet.domain.v1 import deliberation_pb2
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2
from fleet_adapters.grpc.proto.fleet.executor.v1.executor_pb2_grpc import ExecutorServiceStub
from fleet_adapters.grpc.proto.fleet.orchestrator.v1 import orchestrator_pb2
from fleet_adapters.grpc.proto.fleet.orchestrator.v1.orchestrator_pb2_grpc import (
    OrchestratorServiceStub,
)
from fleet_adapters.grpc.settings import GrpcExecutorSettings

_ANSWER_S = 10.0
_OPEN = GrpcExecutorSettings()


@dataclass(frozen=True, slots=True)
class DeliberationTold:
    """What GetDeliberation answers, as far as scenarios look at it; see `place.Asked`."""

    phase: str
    winner: str
    step: str


async def deliberation_told(address: str, deliberation_id: str) -> DeliberationTold:
    """Ask an orchestrator by GetDeliberation."""
    async with opened_peer("orchestrator", address, _OPEN, str) as peer:
        request = orchestrator_pb2.GetDeliberationRequest(deliberation_id=deliberation_id)
        stub = OrchestratorServiceStub(peer.channel)
        said = (await stub.GetDeliberation(request, timeout=_ANSWER_S)).deliberation
    phase = deliberation_pb2.Phase.Name(said.phase).removeprefix("PHASE_").lower()
    steps = [step.name for step in said.steps if not step.closed_ms]
    return DeliberationTold(phase, said.decision.winner, steps[-1] if steps else "")


async def pythons(orchestrator: str, executor: str) -> tuple[str, str]:
    """The Python versions that both services say they run on, by GetStatus."""
    async with (
        opened_peer("orchestrator", orchestrator, _OPEN, str) as first,
        opened_peer("executor", executor, _OPEN, str) as second,
    ):
        one = await OrchestratorServiceStub(first.channel).GetStatus(
            orchestrator_pb2.GetStatusRequest(), timeout=_ANSWER_S
        )
        other = await ExecutorServiceStub(second.channel).GetStatus(
            executor_pb2.GetStatusRequest(), timeout=_ANSWER_S
        )
    return one.python, other.python
