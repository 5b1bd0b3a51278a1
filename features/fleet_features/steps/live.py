"""Steps: the profile's own model."""

from __future__ import annotations

from pytest_bdd import given, parsers, then

from fleet_bootstraps.plans import builtin_plan_path
from fleet_core.domain.job import Outcome
from fleet_features.world import World

LIVE_S = 240.0


@given(parsers.parse("the built-in plan {name}"))
def builtin_plan(world: World, name: str) -> None:
    """Put a plan before the fleet that comes with it."""
    world.plan_text = builtin_plan_path(name).read_text(encoding="utf-8")


@given("the profile's own model")
def own_model(world: World) -> None:
    """Replace nothing; wait longer."""
    world.live = True
    world.within_s = LIVE_S


@then("every task has ended honestly")
def ended_honestly(world: World) -> None:
    """Whatever the model is worth: a decision stands on what its checks really said."""
    for task in world.run().tasks:
        assert task.state.value in ("decided", "failed", "blocked"), task
        if task.state.value != "decided":
            assert task.reason
            continue
        decision = world.deliberation(task.task_id).decision
        assert decision is not None
        said = {evidence.standing.value for evidence in decision.evidence}
        expected = {"verified": {"passed"}, "refuted": {"failed"}, "unverified": {"not run"}}
        assert said == expected[decision.standing.value]
    assert any(task.deliberation_id for task in world.run().tasks)


@then("every job that failed says why")
def failures_say_why(world: World) -> None:
    """A job has an answer with its usage, or a reason."""
    for task in world.run().tasks:
        if not task.deliberation_id:
            continue
        jobs = list(world.deliberation(task.task_id).jobs())
        assert jobs
        for job in jobs:
            assert job.ended is not None
            if job.ended.outcome is not Outcome.OK:
                assert job.ended.failure is not None
                assert job.ended.failure.reason
            elif job.ended.evidence is None:
                assert job.ended.text
                assert job.ended.usage.answer_tokens > 0


@then(
    parsers.parse(
        "where task {earlier} is decided, every prompt of task {later} holds that decision"
    )
)
def prompt_holds_decision_if_any(world: World, later: str, earlier: str) -> None:
    """A small model may fail a task; what it decided must reach the next council."""
    if not world.task(later).deliberation_id:
        return
    decision = world.deliberation(earlier).decision
    assert decision is not None
    for prompt in world.prompts(later):
        assert decision.text in prompt
