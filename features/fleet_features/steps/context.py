"""Steps: what a role is told, and what is recorded of what it used."""

from __future__ import annotations

from pytest_bdd import given, parsers, then

from fleet_core.domain.plan import Plan, Task
from fleet_features.world import World

_EARLIER = Plan("shop", "The first release", (Task("open", "Open the shop", "DEV"),))


@given(parsers.parse("agent {seat:d} proposes for task {task}"))
def proposes_lines(world: World, seat: int, task: str, docstring: str) -> None:
    """Let an agent propose a text of several lines."""
    world.book.proposes(seat, docstring, task)


@given("an earlier plan of the same story was decided")
def earlier_plan(world: World) -> None:
    """Run it to its end before the scenario's plan is approved."""
    world.call(world.fleet.plans.approve, _EARLIER)
    assert world.settle(_EARLIER).decided


@then(parsers.parse('every prompt of task {task_id} says "{text}"'))
def prompts_say(world: World, task_id: str, text: str) -> None:
    """Look into all that its council was asked."""
    prompts = world.prompts(task_id)
    assert prompts
    assert all(text in prompt for prompt in prompts)


@then(parsers.parse('no prompt of task {task_id} says "{text}"'))
def prompts_do_not_say(world: World, task_id: str, text: str) -> None:
    """Look into all that its council was asked."""
    prompts = world.prompts(task_id)
    assert prompts
    assert not any(text in prompt for prompt in prompts)


@then(parsers.parse('every prompt of task {task_id} has one line that begins with "{text}"'))
def one_line(world: World, task_id: str, text: str) -> None:
    """Only the fleet's own."""
    assert {_beginning(prompt, text) for prompt in world.prompts(task_id)} == {1}


@then(parsers.parse('no prompt of task {task_id} has a line that begins with "{text}"'))
def no_line(world: World, task_id: str, text: str) -> None:
    """The fleet wrote none, and nobody else could."""
    assert {_beginning(prompt, text) for prompt in world.prompts(task_id)} == {0}


@then(parsers.parse("the decision of task {later} uses that of task {earlier}"))
def uses(world: World, later: str, earlier: str) -> None:
    """Hold a decision to what it cites."""
    decision, cited = (world.deliberation(task).decision for task in (later, earlier))
    assert decision is not None
    assert cited is not None
    assert decision.cited == (cited.decision_id,)


@then(parsers.parse("the decision of task {task_id} uses none"))
def uses_none(world: World, task_id: str) -> None:
    """It was told of none, or needed none."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    assert decision.cited == ()


@then(parsers.parse('the ledger of task {task_id} says "{text}"'))
def ledger_says(world: World, task_id: str, text: str) -> None:
    """Of an item that was left out."""
    pack = world.deliberation(task_id).pack
    assert pack is not None
    assert text in [entry.reason for entry in pack.ledger if not entry.included]


def _beginning(prompt: str, text: str) -> int:
    return sum(line.startswith(text) for line in prompt.splitlines())
