"""`fleet councils`: who sits for which role."""

from __future__ import annotations

from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line, table
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.councils import configured, model_bindings
from fleet_core.domain.council import Agent, Council, role_name
from fleet_core.errors import InputError
from fleet_core.usecases.councils import Councils
from fleet_plugins.settings import close_matches


async def councils(opened: Session, role: str, *, as_json: bool) -> Exit:
    """Print the agents of every council, or of one."""
    found = await _all(opened)
    if role:
        wanted = role_name(role)
        if wanted not in found:
            hint = close_matches(wanted, found)
            raise InputError(f"role {role!r} has no council", hint, field="--role")
        found = {wanted: found[wanted]}
    if as_json:
        emit([{"role": r, "agents": [_agent(a) for a in c.agents]} for r, c in found.items()])
        return Exit.DONE
    for name, council in found.items():
        line(f"{name}:")
        head = ("agent", "model", "binding", "temperature", "max_tokens", "seed", "persona")
        rows = [_agent(agent) for agent in council.agents]
        table(head, ([row[k] if row[k] is not None else "-" for k in head] for row in rows))
        line()
    return Exit.DONE


async def _all(opened: Session) -> dict[str, Council]:
    own = configured(opened.profile)
    if not opened.profile.durable or not opened.home.is_dir():
        return dict(sorted(own.items()))  # nothing was kept: only to look, nothing is made
    async with opened.state() as state:
        return await Councils(state, own, model_bindings(opened.profile)).all()


def _agent(agent: Agent) -> dict[str, object]:
    return {
        "agent": agent.agent_id,
        "number": agent.number,
        "persona": agent.persona,
        "binding": agent.binding.name,
        "model": agent.binding.model or agent.binding.name,
        "structured": agent.binding.structured,
        "temperature": agent.sampling.temperature,
        "top_p": agent.sampling.top_p,
        "max_tokens": agent.sampling.max_tokens,
        "seed": agent.sampling.seed,
        "stop": list(agent.sampling.stop),
    }
