"""Steps: what became of a task."""

from __future__ import annotations

from pytest_bdd import parsers, then

from fleet_core.domain.deliberation import JobRecord
from fleet_core.domain.events import AMENDED, COMPLETED, CONTEXT_UPDATED, DECIDED
from fleet_core.domain.job import Outcome
from fleet_features.world import World


@then(parsers.re(r"task (?P<task_id>\S+) is (?P<state>decided|failed|cancelled)$"))
def ended(world: World, task_id: str, state: str) -> None:
    """Hold a task to its end; only a decided one has a winner, in the graph too."""
    task = world.task(task_id)
    assert task.state.value == state, task.reason
    deliberation = world.deliberation(task_id)
    assert deliberation.phase.value == state
    assert (deliberation.decision is not None) == (state == "decided")
    assert bool(task.winner) == (state == "decided")


@then(parsers.parse('task {task_id} is blocked because it "{reason}"'))
def blocked(world: World, task_id: str, reason: str) -> None:
    """Hold a task to never having been started, and to naming what it waits for."""
    task = world.task(task_id)
    assert (task.state.value, task.reason) == ("blocked", reason)
    assert not task.deliberation_id
    assert not world.prompts_sent(task_id)


@then(parsers.parse("agent {seat:d} wins task {task_id}"))
def wins(world: World, seat: int, task_id: str) -> None:
    """Hold a task to its winner."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    assert decision.winner == f"{decision.role.lower()}-{seat}", (decision.rule, decision.title)


@then(parsers.parse("agent {seat:d} does not win task {task_id}"))
def does_not_win(world: World, seat: int, task_id: str) -> None:
    """Hold a task to somebody else having won it."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    assert decision.winner != f"{decision.role.lower()}-{seat}", decision.rule


@then(parsers.parse("{rule} settled task {task_id}"))
def settled_by(world: World, rule: str, task_id: str) -> None:
    """Hold a decision to the rung that gave it."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    assert decision.rule == rule


@then(parsers.parse('the decision of task {task_id} says "{text}"'))
def decision_says(world: World, task_id: str, text: str) -> None:
    """Look into the winning text."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    assert text in decision.text


@then(parsers.parse("the decision of task {task_id} is {standing}"))
def stands_as(world: World, task_id: str, standing: str) -> None:
    """Hold a decision to its standing: in the state, in the plan and in the graph."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    recorded = world.call(world.fleet.graph.decision, decision.decision_id)
    said = world.task(task_id).standing
    assert said is not None
    assert recorded is not None
    shown = {decision.standing.value, said.value, recorded.standing.value}
    assert shown == {standing}, decision.evidence


@then(parsers.parse('task {task_id} failed because "{text}"'))
def failed_because(world: World, task_id: str, text: str) -> None:
    """Hold a failure to its reason, in the state and in the plan."""
    failure = world.deliberation(task_id).failure
    assert failure is not None
    assert text in failure.reason
    assert text in world.task(task_id).reason


@then(parsers.parse("nothing is decided for task {task_id}"))
def nothing_decided(world: World, task_id: str) -> None:
    """No event and no graph knows a decision of it."""
    subjects = (DECIDED, AMENDED, COMPLETED)
    told = [e.data.get("decision") for e in world.events(*subjects) if _of(e.data, task_id)]
    assert told
    assert told == [None] * len(told)

    async def revision() -> int | None:
        return await world.fleet.graph.revision(world.plan.story) or None

    # The plan is recorded by whoever hydrates, and the task may have failed before that.
    assert world.until("the plan is recorded", revision) == 1  # and nothing after it
    assert world.events(CONTEXT_UPDATED) == []


@then(parsers.parse('the reader of task {task_id} is told "{text}"'))
def reader_is_told(world: World, task_id: str, text: str) -> None:
    """Look through the notes."""
    notes = world.deliberation(task_id).notes
    assert any(text in note for note in notes), notes


@then(parsers.parse("the decision of task {task_id} lacks agent {seat:d}"))
def lacks(world: World, task_id: str, seat: int) -> None:
    """A decision without everybody says whom it lacks."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    assert decision.incomplete == (f"{decision.role.lower()}-{seat}",)


@then(parsers.parse("the decision of task {task_id} lacks nobody"))
def lacks_nobody(world: World, task_id: str) -> None:
    """A full council."""
    decision = world.deliberation(task_id).decision
    assert decision is not None
    assert decision.incomplete == ()


@then(
    parsers.parse(
        'the proposal of agent {seat:d} for task {task_id} failed as {code} because "{text}"'
    )
)
def proposal_failed(world: World, seat: int, task_id: str, code: str, text: str) -> None:
    """A failed call is a failed job with its reason, and no text."""
    job = _proposal(world, seat, task_id)
    assert job.ended is not None
    assert job.ended.failure is not None, job.ended
    assert (job.ended.outcome, job.ended.failure.code) == (Outcome.FAILED, code)
    assert text in job.ended.failure.reason
    assert job.ended.text == ""


@then(parsers.parse("the proposal of agent {seat:d} for task {task_id} took {calls:d} calls"))
def proposal_took(world: World, seat: int, task_id: str, calls: int) -> None:
    """Hold an answered job to the calls it took."""
    job = _proposal(world, seat, task_id)
    assert job.ended is not None
    assert job.ok, job.ended.failure
    assert job.ended.usage.attempts == calls


@then(parsers.parse("agent {seat:d} was asked {calls:d} times to propose"))
def asked_to_propose(world: World, seat: int, calls: int) -> None:
    """Hold the adapter to its tries, as the server saw them."""
    place = f'"agent":{seat},"step":"propose"'
    assert sum(count for at, count in world.calls().items() if place in at) == calls


@then(parsers.parse("a provisional decision of task {task_id} went to agent {seat:d}"))
def provisional_decision(world: World, task_id: str, seat: int) -> None:
    """Look for the first, provisional decision in the log."""
    told = [e.data for e in world.events(DECIDED) if _of(e.data, task_id)]
    assert [(d["provisional"], d["decision"]["winner"]) for d in told] == [(True, f"dev-{seat}")]


@then(parsers.parse("the decision of task {task_id} was amended to agent {seat:d}"))
def was_amended(world: World, task_id: str, seat: int) -> None:
    """One amendment, and the state says so."""
    told = [e.data["decision"]["winner"] for e in world.events(AMENDED) if _of(e.data, task_id)]
    assert told == [f"dev-{seat}"]
    assert world.deliberation(task_id).amended


@then(parsers.parse("the decision of task {task_id} was not amended"))
def was_not_amended(world: World, task_id: str) -> None:
    """No amendment."""
    assert not [e for e in world.events(AMENDED) if _of(e.data, task_id)]
    assert not world.deliberation(task_id).amended


@then("the lease was not overspent")
def not_overspent(world: World) -> None:
    """No deliberation used more than its lease, and nothing stays reserved of an ended one."""
    for task in world.run().tasks:
        lease = world.call(world.fleet.deliberate.get, task.deliberation_id).lease
        assert lease.spent_tokens <= lease.tokens
        assert lease.overrun_tokens == 0
        assert lease.spent_tokens > 0


@then(parsers.parse('the evidence on agent {seat:d} of task {task_id} says "{text}"'))
def evidence_says(world: World, seat: int, task_id: str, text: str) -> None:
    """Look into what the checks of an agent's proposal said."""
    deliberation = world.deliberation(task_id)
    said = [
        job.ended.evidence.summary
        for job in deliberation.jobs("check")
        if job.key.agent == seat and job.ended is not None and job.ended.evidence is not None
    ]
    assert any(text in summary for summary in said), said


def _proposal(world: World, seat: int, task_id: str) -> JobRecord:
    return next(j for j in world.deliberation(task_id).jobs("propose") if j.key.agent == seat)


def _of(data: object, task_id: str) -> bool:
    return isinstance(data, dict) and data.get("task_id") == task_id
