"""A plan as a command line names it, checked against the profile before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.councils import configured, protocol_spec
from fleet_bootstraps.fleet import known_protocols, require_protocol
from fleet_bootstraps.plans import load_plan
from fleet_core.domain.plan import Plan, plan_id
from fleet_core.errors import PlanError
from fleet_plugins.settings import close_matches


@dataclass(frozen=True, slots=True)
class Planned:
    """A checked plan; `models` are the bindings that its councils and the judge speak through."""

    plan: Plan
    plan_id: str
    models: frozenset[str]


def planned(opened: Session, name: str) -> Planned:
    """Load and check a plan.

    Raises:
        PlanError: it is refused; names file, line and field.
        ProfileError: the profile's councils or its protocol are refused.
    """
    councils = configured(opened.profile)
    spec = protocol_spec(opened.profile)
    require_protocol(opened.profile)
    plan = load_plan(name, tuple(councils))
    known = known_protocols(opened.profile)
    for index, task in enumerate(plan.tasks):
        if task.protocol and task.protocol not in known:
            raise PlanError(
                f"there is no protocol {task.protocol!r}",
                close_matches(task.protocol, known),
                source=name,
                field=f"tasks[{index}].protocol",
            )
    agents = [a for t in plan.tasks for a in councils[t.role].agents]
    if spec.judge is not None:
        agents.append(spec.judge)
    models = frozenset(agent.binding.name for agent in agents) | {"default"}
    return Planned(plan, plan_id(plan), models)
