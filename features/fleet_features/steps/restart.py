"""Steps: ending a fleet, in good order or by SIGKILL, and starting it again."""

from __future__ import annotations

import signal

from pytest_bdd import given, parsers, then, when

from fleet_core.domain.plan import plan_id
from fleet_features.observing import issued, journaled
from fleet_features.place import Apart
from fleet_features.world import World

QUICK_CLAIM_MS = 300


@given("claims of a process that is gone lapse soon")
def quick_claims(world: World) -> None:
    """Have a killed process's jobs taken over quickly."""
    world.terms |= world.source.quick_claims(QUICK_CLAIM_MS)


@when("the fleet is closed and started again")
def restart(world: World) -> None:
    """End it in good order; it is opened again at its next use."""
    world.close_fleet()


@when("the fleet runs the plan in a process of its own")
def run_apart(world: World) -> None:
    """Start a process that runs the plan to its end."""
    world.notes["apart"] = world.apart()


@when(parsers.parse("that process is killed as the server answers call {count:d}"))
def kill_at_call(world: World, count: int) -> None:
    """Wait for the call, then SIGKILL."""
    world.call(world.server.until, lambda server: len(server.calls) >= count)
    apart: Apart = world.notes["apart"]
    assert set(apart.kill()) == {-signal.SIGKILL}


@when("the fleet is started again on what that process left")
def resume(world: World) -> None:
    """Note what was paid for and kept, then go on in this process."""
    world.call(world.server.until, lambda server: server.in_flight == 0)
    world.notes["kept"] = world.kept()
    world.settle()


@then("no call whose answer had been kept was made again")
def none_repeated(world: World) -> None:
    """At most the calls that were under way at the kill were made twice."""
    results = world.call(journaled, world.fleet.state)
    jobs = world.call(issued, world.fleet.state)
    assert {job.job_id for job in jobs} == results.keys()
    assert all(count <= 2 for count in world.calls().values())
    twice = {place for place, count in world.calls().items() if count > 1}
    assert len(twice) <= world.server.most_in_flight
    assert not twice & world.notes["kept"]


@then("the plan is known to the fleet")
def plan_is_known(world: World) -> None:
    """What was kept is found again."""
    assert world.run().plan_id == plan_id(world.plan)


@then("only calls that were broken off were made again")
def only_broken_off(world: World) -> None:
    """An orderly end breaks off what runs; those calls, and no others, are made again.

    Where the executor went on elsewhere there are none.
    """
    again = {place: count for place, count in world.calls().items() if count > 1}
    assert bool(again) == world.notes.get("breaks off", True)
    assert all(count == 2 for count in again.values())
    assert len(again) == world.server.cancelled
