"""Who sits in a council: from what was asked for to agents, with what is wrong named by field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from fleet_core.domain.council import Agent, Council, agent_id, role_name
from fleet_core.domain.ids import TASK_ID
from fleet_core.domain.model_call import Binding, Sampling
from fleet_core.errors import AlreadyExists, InputError, NotFound

MAX_AGENTS = 32
"""In a council: each of them reads the proposals of all others."""

MAX_PERSONA = 8_000
"""Characters; it stands in every prompt of the agent."""

_ROLE = re.compile(r"[A-Z0-9_-]{1,48}")
_JUDGE = "judge"  # the agent id of a protocol's judge, who sits in no council


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent to be.

    Attributes:
        agent_id: empty for `{role}-{n}`.
        persona: what makes this agent differ, as told to the model; may be empty.
        binding: the name of the profile's model binding.
        sampling: how its answers are drawn.
    """

    agent_id: str = ""
    persona: str = ""
    binding: str = "default"
    sampling: Sampling = Sampling()


def checked_role(text: str) -> str:
    """A role in the form it is kept in.

    Raises:
        InputError: it is none; `field` is `role`.
    """
    role = role_name(text)
    if not _ROLE.fullmatch(role):
        raise InputError(
            f"{text[:80]!r} is no role", "use 1 to 48 letters, digits, _ and -", field="role"
        )
    return role


def seated(role: str, seats: Sequence[Seat], bindings: Mapping[str, Binding]) -> Council:
    """The council of a role, its agents in the order of the seats.

    Raises:
        InputError: names the field, `role`, `agents` or one below `agents[n]`.
    """
    role = checked_role(role)
    if not seats:
        raise InputError("is empty", "a council needs at least one agent", field="agents")
    if len(seats) > MAX_AGENTS:
        raise InputError(
            f"are {len(seats)}", f"a council has at most {MAX_AGENTS} agents", field="agents"
        )
    agents: list[Agent] = []
    for index, seat in enumerate(seats):
        at = f"agents[{index}]"
        agent = _agent(role, index + 1, seat, bindings, at)
        if any(agent.agent_id == other.agent_id for other in agents):
            raise InputError(
                f"agent {agent.agent_id!r} is named twice",
                "give each agent its own id",
                field=f"{at}.agent_id",
            )
        agents.append(agent)
    return Council(role, tuple(agents))


def joined(council: Council, seat: Seat, bindings: Mapping[str, Binding]) -> Council:
    """The council with one more agent, who takes the last seat.

    Without an id it gets the number after the highest that an agent of the council has: one that
    left before it gives its name to nobody while a later one sits.

    Raises:
        AlreadyExists: an agent of that id sits there.
        InputError: names the field, one below `agent`; or there are too many agents.
    """
    if len(council.agents) >= MAX_AGENTS:
        raise InputError(
            f"the council of {council.role} has {len(council.agents)} agents",
            f"a council has at most {MAX_AGENTS}: unregister one first",
            field="agent",
        )
    named = replace(seat, agent_id=seat.agent_id or _next_id(council))
    agent = _agent(council.role, len(council.agents) + 1, named, bindings, "agent")
    if any(agent.agent_id == other.agent_id for other in council.agents):
        raise AlreadyExists(
            f"agent {agent.agent_id!r} sits in the council of {council.role} already",
            "choose another id, or leave it out",
        )
    return Council(council.role, (*council.agents, agent))


def departed(council: Council, identity: str) -> Council:
    """The council without an agent; those behind move up a seat and keep their ids.

    Raises:
        NotFound: no agent of that id sits there.
        InputError: it is the only one.
    """
    if not any(agent.agent_id == identity for agent in council.agents):
        ids = [agent.agent_id for agent in council.agents]
        raise NotFound(
            f"the council of {council.role} has no agent {identity[:80]!r}", _near(identity, ids)
        )
    if len(council.agents) == 1:
        raise InputError(
            f"agent {identity!r} is the only one in the council of {council.role}",
            "register another one first, or delete the council",
            field="agent_id",
        )
    rest = [agent for agent in council.agents if agent.agent_id != identity]
    return Council(council.role, tuple(replace(a, number=n) for n, a in enumerate(rest, 1)))


def rebound(council: Council, bindings: Mapping[str, Binding]) -> Council:
    """The council with model bindings as they are now, by name; one that is gone stays as it was.

    A council is kept for longer than the profile that it was made under.
    """
    agents = [replace(a, binding=bindings.get(a.binding.name, a.binding)) for a in council.agents]
    return Council(council.role, tuple(agents))


def _agent(role: str, number: int, seat: Seat, bindings: Mapping[str, Binding], at: str) -> Agent:
    identity = seat.agent_id or agent_id(role, number)
    if not TASK_ID.fullmatch(identity):
        raise InputError(
            f"{identity[:80]!r} is no agent id",
            "use 1 to 64 letters, digits, _ and -",
            field=f"{at}.agent_id",
        )
    if identity.lower() == _JUDGE:
        raise InputError(
            f"{identity!r} is the id of the judge", "choose another", field=f"{at}.agent_id"
        )
    if len(seat.persona) > MAX_PERSONA:
        raise InputError(
            f"has {len(seat.persona)} characters",
            f"say it in {MAX_PERSONA}: it stands in every prompt",
            field=f"{at}.persona",
        )
    if seat.binding not in bindings:
        raise InputError(
            f"there is no model binding {seat.binding[:80]!r}",
            _near(seat.binding, bindings),
            field=f"{at}.binding",
        )
    _check_sampling(seat.sampling, at)
    return Agent(identity, number, role, seat.persona, bindings[seat.binding], seat.sampling)


def _check_sampling(sampling: Sampling, at: str) -> None:
    temperature, top_p = sampling.temperature, sampling.top_p
    wrong = {
        "temperature": (not (math.isfinite(temperature) and temperature >= 0), "a number from 0"),
        "top_p": (not 0 < top_p <= 1, "above 0 and at most 1"),
        "max_tokens": (sampling.max_tokens < 1, "at least 1"),
    }
    for name, (is_wrong, wanted) in wrong.items():
        if is_wrong:
            raise InputError(f"should be {wanted}", field=f"{at}.{name}")


def _next_id(council: Council) -> str:
    prefix = agent_id(council.role, 0).removesuffix("0")
    tails = [
        a.agent_id.removeprefix(prefix) for a in council.agents if a.agent_id.startswith(prefix)
    ]
    taken = [int(tail) for tail in tails if re.fullmatch(r"[1-9]\d{0,5}", tail)]
    return f"{prefix}{max([len(council.agents), *taken]) + 1}"


def _near(wanted: str, known: Sequence[str] | Mapping[str, object]) -> str:
    close = get_close_matches(wanted, known, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(sorted(known)) or 'none'}"
