"""Steps: what each hop of the chain leaves behind, from an approval to a recorded decision."""

from __future__ import annotations

import sys

from pytest_bdd import parsers, then, when

from fleet_bootstraps.fleet import core_strategies
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.events import COMPLETED, CONTEXT_UPDATED, DELIBERATION, RESULTS, STARTED
from fleet_core.domain.job import AgentResult
from fleet_core.domain.plan import plan_id
from fleet_core.testing.playing import folded
from fleet_core.usecases.approvals import approved_plan
from fleet_features.interpreters import orchestrator_python, version_of
from fleet_features.observing import events_of, journaled
from fleet_features.place import Kept
from fleet_features.world import World
from fleet_plugins.api import PortName


@then("the log holds the approval of the whole plan, and nothing else")
def only_the_approval(world: World) -> None:
    """Nobody has taken it up yet."""

    async def look(kept: Kept) -> None:
        (event,) = await events_of(kept.bus, [">"])
        assert approved_plan(event.data, "the approval") == (plan_id(world.plan), world.plan)
        assert list(await kept.state.scan("")) == []

    world.look(look)


@when("the fleet is started")
def start(world: World) -> None:
    """Open it; a plan that waits is found by the orchestrator's durable."""
    assert world.fleet


@then(
    parsers.re(r"whoever asks about task (?P<task_id>\S+) is told running, at step (?P<step>\w+)$")
)
def told_running(world: World, task_id: str, step: str) -> None:
    """Ask orchestrator and executor, each through its own door."""
    asked = world.asked(task_id)
    assert (asked.phase, asked.winner, asked.step) == ("running", "", step)
    state = world.deliberation(task_id)
    assert asked.jobs == {(job.job_id, "running", "") for job in state.jobs(step)}


@then(
    parsers.parse("whoever asks about task {task_id} is told decided, by agent {seat:d}"),
)
def told_decided(world: World, task_id: str, seat: int) -> None:
    """Ask the orchestrator through its own door."""
    asked = world.asked(task_id)
    assert (asked.phase, asked.winner, asked.step) == ("decided", f"dev-{seat}", "")


@then(
    parsers.parse(
        "the executor says that every job of task {task_id} ended well, in the profile's own runner"
    )
)
def executor_ran_all(world: World, task_id: str) -> None:
    """Hold the executor to exactly the jobs that the state issued."""
    asked = world.asked(task_id)
    issued = {job.job_id for job in world.deliberation(task_id).jobs()}
    assert asked.jobs == {(job_id, "done", "ok") for job_id in issued}
    assert asked.runner == world.source.adapter(PortName.RUNNER)


@then(
    parsers.parse("every result of task {task_id} is in the log once, as it is journaled"),
)
def results_published(world: World, task_id: str) -> None:
    """Compare `agent.results.{task}` with the journal and with what was reduced."""
    state = world.deliberation(task_id)
    said = [
        from_data(AgentResult, event.data, source=event.event_id)
        for event in world.events(f"{RESULTS}.{state.token}")
    ]
    assert len(said) == len(list(state.jobs()))
    assert {r.job_id: r for r in said} == world.call(journaled, world.fleet.state)
    for job in state.jobs():
        assert job.ended is not None
        assert job.ended.text == next(r.text for r in said if r.job_id == job.job_id)


@then(
    parsers.parse(
        "the log of task {task_id} begins with started, ends with completed, and folds to its state"
    )
)
def log_folds(world: World, task_id: str) -> None:
    """Reduce the inputs that the events hold once more."""
    state = world.deliberation(task_id)
    log = sorted(
        world.events(f"{DELIBERATION}.>"), key=lambda e: (e.sequence, e.subject == COMPLETED)
    )
    assert (log[0].subject, log[-1].subject) == (STARTED, COMPLETED)
    assert [e.subject for e in log].count(COMPLETED) == 1
    assert log[-1].data["decision"] == to_data(state.decision)
    assert folded(log, core_strategies()[state.protocol.name]) == state


@then(
    parsers.parse("the graph holds the decision of task {task_id}, and context.updated names it"),
)
def recorded(world: World, task_id: str) -> None:
    """Look into the graph, into the log and into the plan."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    assert world.call(world.fleet.graph.decision, decision.decision_id) == decision
    named = [event.data["decision_id"] for event in world.events(CONTEXT_UPDATED)]
    assert named == [decision.decision_id]
    assert world.task(task_id).recorded


@then("every service says that it runs on the Python it was given")
def on_its_python(world: World) -> None:
    """Ask them; the orchestrator may have been given another than the executor."""
    said = world.call(world.place.pythons, world.fleet)
    assert said == (version_of(orchestrator_python()), version_of(sys.executable))
