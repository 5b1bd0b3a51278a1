"""Agents and councils."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_core.domain.model_call import Binding, Sampling
from fleet_core.errors import InputError

DEFAULT_ROLES = ("DEV", "QA", "ARCHITECT", "DEVOPS", "DATA")


def role_name(role: str) -> str:
    """The form in which roles are compared and kept: upper case, trimmed."""
    return role.strip().upper()


@dataclass(frozen=True, slots=True)
class Agent:
    """A seat of a council.

    Attributes:
        agent_id: `{role}-{n}` in lower case unless given.
        number: its seat, from 1; used for ordering logs, never for ranking.
        persona: what makes this agent differ, as told to the model; may be empty.
    """

    agent_id: str
    number: int
    role: str
    persona: str = ""
    binding: Binding = Binding()
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class Council:
    """The agents of one role, in seat order; kept in the state store under `council/{ROLE}`."""

    role: str
    agents: tuple[Agent, ...]

    def __post_init__(self) -> None:
        """Refuse an empty council and repeated agents."""
        if not self.agents:
            raise InputError("a council needs at least one agent", field=f"councils.{self.role}")
        ids = [agent.agent_id for agent in self.agents]
        for agent_id in ids:
            if ids.count(agent_id) > 1:
                raise InputError(
                    f"agent {agent_id!r} is named twice",
                    "give each agent its own id",
                    field=f"councils.{self.role}",
                )
        if [agent.number for agent in self.agents] != list(range(1, len(ids) + 1)):
            raise InputError("seats run from 1 without a gap", field=f"councils.{self.role}")

    def agent(self, agent_id: str) -> Agent:
        """The agent of that id; KeyError where there is none."""
        for agent in self.agents:
            if agent.agent_id == agent_id:
                return agent
        raise KeyError(agent_id)


def agent_id(role: str, number: int) -> str:
    """The id an agent has unless it was given one."""
    return f"{role_name(role).lower()}-{number}"
