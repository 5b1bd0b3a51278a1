"""`fleet submit`: hands an approved plan to a fleet, as the planning side does, and ends."""

from __future__ import annotations

from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line
from fleet_bootstraps.cli.planned import planned
from fleet_bootstraps.cli.session import Session
from fleet_core.errors import ProfileError
from fleet_core.usecases.approvals import approve
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import PortName


async def submit(opened: Session, plan: str, *, fresh: bool, as_json: bool) -> Exit:
    """Publish `planning.plan.approved`; whoever consumes it does the rest.

    Raises:
        PlanError: it is refused; nothing is published.
        ProfileError: the profile keeps nothing that another process could see.
    """
    if not opened.profile.durable:
        raise ProfileError(
            f"nobody else would hear of a plan on profile {opened.profile.name}, which keeps "
            "nothing after a command",
            "name a durable profile, or run the plan here: fleet run",
            field="profile",
        )
    given = planned(opened, plan)
    async with opened.ports(PortName.BUS, PortName.STATE, PortName.BLOBS) as ports:
        stores = Stores(
            ports[PortName.BUS],
            ports[PortName.STATE],
            ports[PortName.BLOBS],
            opened.context.clock,
        )
        before = await approve(stores, given.plan, fresh=fresh)
    if before is not None and not before.settled:
        state, attempt = "running", before.attempt
    elif before is not None and before.decided and not fresh:
        state, attempt = "decided", before.attempt
    else:
        state, attempt = "submitted", before.attempt + 1 if before is not None else 1
    if as_json:
        emit({"plan_id": given.plan_id, "attempt": attempt, "state": state})
    else:
        line(f"plan {given.plan_id}, attempt {attempt}: {state}")
    return Exit.DONE
