"""From the agents that a caller asks for to the seats of a council; the core says what is wrong."""

from __future__ import annotations

from fleet_adapters.grpc.proto.fleet.orchestrator.v1 import orchestrator_pb2 as pb
from fleet_core.domain.model_call import Sampling
from fleet_core.domain.seating import Seat

_DEFAULT = Sampling()


def seat_of(spec: pb.AgentSpec) -> Seat:
    """What is asked for; what is unset is the fleet's own default."""
    has = spec.HasField
    sampling = Sampling(
        spec.temperature if has("temperature") else _DEFAULT.temperature,
        spec.top_p if has("top_p") else _DEFAULT.top_p,
        spec.max_tokens if has("max_tokens") else _DEFAULT.max_tokens,
        spec.seed if has("seed") else _DEFAULT.seed,
        tuple(spec.stop),
    )
    return Seat(spec.agent_id, spec.persona, spec.binding or "default", sampling)
