"""Approvals and cancellations: how they are published, and what an approval is read as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.events import PLAN_APPROVED, PLAN_CANCELLED, Event
from fleet_core.domain.plan import Plan, plan_id
from fleet_core.domain.plan_run import PlanRun
from fleet_core.errors import DecodeError
from fleet_core.usecases import keys
from fleet_core.usecases.documents import load_object
from fleet_core.usecases.payload import closed
from fleet_core.usecases.stores import Stores


def approved_plan(data: Mapping[str, Any], source: str) -> tuple[str, Plan]:
    """The plan of an approval, and its id.

    Raises:
        DecodeError: it holds no plan, or another than its id says.
    """
    if "plan" not in data:
        raise DecodeError(
            "the approval names a plan and does not hold it",
            "send the whole plan, or a blob reference to it",
            source=source,
            field="plan",
        )
    plan = from_data(Plan, data["plan"], source=source, at="plan")
    identity = from_data(str, data.get("plan_id"), source=source, at="plan_id")
    if identity != plan_id(plan):
        raise DecodeError(
            f"is not the plan's id, which is {plan_id(plan)}", source=source, field="plan_id"
        )
    return identity, plan


def approval(plan: Plan, attempt: int, now_ms: int, *, fresh: bool = False) -> Event:
    """The event `planning.plan.approved`, as the planning side sends it; the plan travels whole.

    Its id holds the time: an approval that went to the dead letters can be given again.
    """
    identity = plan_id(plan)
    data = {
        "plan_id": identity,
        "plan": to_data(plan),
        "attempt": attempt,
        "fresh": fresh,
    }
    return Event(f"plan:{identity}:{attempt}:{now_ms}", PLAN_APPROVED, data, now_ms)


def cancellation(run: PlanRun, reason: str, now_ms: int) -> Event:
    """The event `planning.plan.cancelled`, which tells whoever watches; nobody acts on it.

    An attempt is cancelled once, however often somebody says so.
    """
    data = {"plan_id": run.plan_id, "attempt": run.attempt, "reason": reason}
    return Event(f"plan:{run.plan_id}:{run.attempt}:cancelled", PLAN_CANCELLED, data, now_ms)


async def approve(stores: Stores, plan: Plan, *, fresh: bool = False) -> PlanRun | None:
    """Publish an approval where there is something to do; see `Plans.approve`."""
    (document,) = await stores.state.get([keys.plan(plan_id(plan))])
    run = load_object(PlanRun, document) if document is not None else None
    if run is not None and not run.settled:
        return run
    if run is None or fresh or not run.decided:
        attempt = run.attempt + 1 if run is not None else 1
        event = approval(plan, attempt, stores.clock(), fresh=fresh)
        data = await closed(event.data, len(str(event.data)), stores.blobs)
        await stores.bus.publish([Event(event.event_id, event.subject, data, event.time_ms)])
    return run
