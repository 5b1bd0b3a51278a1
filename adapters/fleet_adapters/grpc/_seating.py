"""From what a caller asks for to agents that can sit in a council."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fleet_adapters.grpc.proto.fleet.orchestrator.v1 import orchestrator_pb2 as pb
from fleet_core.domain.council import Agent, Council, agent_id, role_name
from fleet_core.domain.ids import TASK_ID
from fleet_core.domain.model_call import Binding, Sampling
from fleet_core.errors import InputError
from fleet_plugins.settings import close_matches

_DEFAULT = Sampling()


def checked_role(text: str) -> str:
    """A role in the form it is kept in.

    Raises:
        InputError: it is none.
    """
    role = role_name(text)
    if not TASK_ID.fullmatch(role):
        raise InputError(
            f"{text[:80]!r} is no role", "use 1 to 64 letters, digits, _ and -", field="role"
        )
    return role


def seated(role: str, specs: Sequence[pb.AgentSpec], bindings: Mapping[str, Binding]) -> Council:
    """The council of a role.

    Raises:
        InputError: names the field that is wrong.
    """
    role = checked_role(role)
    if not specs:
        raise InputError("is empty", "a council needs at least one agent", field="agents")
    agents = [
        agent(role, number, spec, bindings, f"agents[{number - 1}]")
        for number, spec in enumerate(specs, 1)
    ]
    return Council(role, tuple(agents))


def agent(
    role: str, number: int, spec: pb.AgentSpec, bindings: Mapping[str, Binding], at: str
) -> Agent:
    """The agent of a seat.

    Raises:
        InputError: names the field that is wrong.
    """
    identity = spec.agent_id or agent_id(role, number)
    if not TASK_ID.fullmatch(identity):
        raise InputError(
            f"{identity[:80]!r} is no agent id",
            "use 1 to 64 letters, digits, _ and -",
            field=f"{at}.agent_id",
        )
    name = spec.binding or "default"
    if name not in bindings:
        raise InputError(
            f"there is no model binding {name!r}",
            close_matches(name, bindings),
            field=f"{at}.binding",
        )
    return Agent(identity, number, role, spec.persona, bindings[name], _sampling(spec, at))


def _sampling(spec: pb.AgentSpec, at: str) -> Sampling:
    has = spec.HasField
    found = Sampling(
        spec.temperature if has("temperature") else _DEFAULT.temperature,
        spec.top_p if has("top_p") else _DEFAULT.top_p,
        spec.max_tokens if has("max_tokens") else _DEFAULT.max_tokens,
        spec.seed if has("seed") else _DEFAULT.seed,
        tuple(spec.stop),
    )
    wrong = {
        "temperature": (
            not (math.isfinite(found.temperature) and found.temperature >= 0),
            "a number from 0",
        ),
        "top_p": (not 0 < found.top_p <= 1, "above 0 and at most 1"),
        "max_tokens": (found.max_tokens < 1, "at least 1"),
    }
    for name, (is_wrong, wanted) in wrong.items():
        if is_wrong:
            raise InputError(f"should be {wanted}", field=f"{at}.{name}")
    return found
