"""Steps: plans and events that are refused."""

from __future__ import annotations

import json

from pytest_bdd import given, parsers, then, when

from fleet_bootstraps.plans import load_plan
from fleet_core.domain.events import DEAD, Event
from fleet_core.domain.plan import MAX_PLAN_BYTES, Plan, Task
from fleet_core.errors import PlanError
from fleet_core.usecases.approvals import approval
from fleet_features.observing import HOSTILE
from fleet_features.profiles import ROLES
from fleet_features.world import World


@given(parsers.parse("the plan file {document}"))
def plan_file(world: World, document: str) -> None:
    r"""Write a plan file; `\n` in the table is a line break."""
    (world.folder / "plan.yaml").write_text(document.replace("\\n", "\n"), encoding="utf-8")


@given("a plan file of more than 1 MiB")
def large_plan_file(world: World) -> None:
    """Write a file that would be a plan, were it not for its size."""
    filler = "#" * MAX_PLAN_BYTES
    (world.folder / "plan.yaml").write_text(f"{filler}\nstory: s\n", encoding="utf-8")


@given("a plan file that is not UTF-8")
def latin_plan_file(world: World) -> None:
    """Write a file in another encoding."""
    (world.folder / "plan.yaml").write_bytes("story: Müller".encode("latin-1"))


@when("it is read")
def read_plan(world: World) -> None:
    """Read it as the command line does, and keep the refusal."""
    try:
        load_plan(world.folder / "plan.yaml", ROLES)
    except PlanError as error:
        world.notes["refused"] = error


@then(parsers.parse('it is refused at "{field}" with "{message}" and the way out "{hint}"'))
def is_refused(world: World, field: str, message: str, hint: str) -> None:
    """Hold the refusal to file, field, reason and way out."""
    error = world.notes.get("refused")
    assert error is not None, "it was taken"
    assert str(world.folder / "plan.yaml") in error.source
    assert error.field == ("" if field == "-" else field), str(error)
    assert message in error.message, str(error)
    assert hint == "-" or hint in error.hint, str(error)


@when(parsers.parse("the event {subject} arrives with {data}"))
def event_arrives(world: World, subject: str, data: str) -> None:
    """Publish what nobody of ours would."""
    event = Event(f"{HOSTILE}{subject}", subject, json.loads(data), world.fleet.clock())
    world.call(world.fleet.bus.publish, [event])
    world.notes["hostile"] = event


@when(parsers.parse("a plan for the role {role} is approved"))
def unknown_role_approved(world: World, role: str) -> None:
    """Approve what the reader of plan files would have refused."""
    plan = Plan("s", "t", (Task("a", "t", role),))
    world.notes["hostile"] = approval(plan, 1, world.fleet.clock())
    world.call(world.fleet.bus.publish, [world.notes["hostile"]])


@then(parsers.parse('it is among the dead letters because of "{reason}"'))
def among_dead_letters(world: World, reason: str) -> None:
    """Wait for the letter; it holds the whole event and the reason."""
    hostile: Event = world.notes["hostile"]

    bus = world.fleet.bus

    async def letter() -> Event | None:
        async for stored in bus.replay([f"{DEAD}.>"]):
            if stored.event.data["event"]["id"] == hostile.event_id:
                return stored.event
        return None

    found = world.until(f"{hostile.subject} is among the dead letters", letter)
    assert found.data["event"]["data"] == hostile.data
    assert reason in found.data["reason"], found.data["reason"]


@then("the fleet goes on: another plan is decided")
def goes_on(world: World) -> None:
    """Nothing crashed, nothing is stuck."""
    world.run_another()
    assert world.another().decided
