"""Steps: the monitor's page, open in a browser while the fleet works."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack

from pytest_bdd import parsers, then, when

from fleet_features.dashboard import Dashboard, dashboard
from fleet_features.world import World

_OPEN = "dashboard"


@when("the dashboard is open")
def dashboard_opened(world: World) -> None:
    """Serve the monitor of the scenario's fleet and look at its overview."""
    closing = ExitStack()
    world.keep(closing)
    serving: AbstractContextManager[str] = world.portal.wrap_async_context_manager(
        world.place.monitor(world, world.fleet)
    )
    url = closing.enter_context(serving)
    opening: AbstractContextManager[Dashboard] = world.portal.wrap_async_context_manager(
        dashboard(url)
    )
    world.notes[_OPEN] = closing.enter_context(opening)


@then(parsers.parse("the dashboard shows task {task_id} running, at step {step}"))
def shows_running(world: World, task_id: str, step: str) -> None:
    """Wait for the row to say so."""
    _wait_for(world, task_id, "running", f"{step} (round 1)")


@then(
    parsers.parse(
        "the dashboard shows task {task_id} decided, won by agent {seat:d}, without a reload"
    )
)
def shows_decided(world: World, task_id: str, seat: int) -> None:
    """Wait for the row to say so, on the page that was loaded before."""
    _wait_for(world, task_id, "decided", f"dev-{seat}")
    shown: Dashboard = world.notes[_OPEN]
    assert world.call(shown.is_the_first)
    assert shown.complaints == []


def _wait_for(world: World, task_id: str, *said: str) -> None:
    shown: Dashboard = world.notes[_OPEN]
    title = world.plan.task(task_id).title

    async def look() -> bool | None:
        told = " ".join(await shown.texts(title))
        return True if all(one in told for one in said) else None

    world.until(f"the dashboard says {' and '.join(said)} of task {task_id}", look)
