"""A plan under way: any order, blocking, re-runs; and what a plan is refused for."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.deliberation import ProtocolSpec, deliberation_id
from fleet_core.domain.inputs import Start
from fleet_core.domain.job import JobKey, job_id
from fleet_core.domain.plan import CheckSpec, Plan, Task, plan_id, validated
from fleet_core.domain.plan_run import (
    Approved,
    CancelPlan,
    DecisionRecorded,
    PlanInput,
    PlanRun,
    TaskEnded,
    TaskState,
    Terms,
    reduce_plan,
)
from fleet_core.errors import DecodeError, PlanError
from fleet_core.testing.playing import REFERENCE_CALL, seats

PLAN = Plan(
    "story",
    "A story",
    (
        Task("a", "A", "DEV"),
        Task("b", "B", "DEV", depends_on=("a",)),
        Task("c", "C", "QA", depends_on=("a",)),
        Task("d", "D", "QA", depends_on=("b", "c")),
        Task("e", "E", "QA", depends_on=("d",)),
        Task("f", "F", "DEV"),
    ),
)
COUNCILS = {"DEV": seats("DEV", 2), "QA": seats("QA", 1)}


def approved(attempt: int = 1, *, fresh: bool = False, at: int = 1000) -> Approved:
    return Approved(
        at, plan_id(PLAN), PLAN, attempt, COUNCILS, ProtocolSpec(), Terms(), fresh, at - 500
    )


def identity(start: Start) -> str:
    return deliberation_id(start.plan_id, start.task, start.council, start.protocol, start.attempt)


def outcome(start: Start, state: TaskState) -> list[PlanInput]:
    who = identity(start)
    ended = TaskEnded(2000, start.task.task_id, who, state, "dev-1", None, "why")
    if state is not TaskState.DECIDED:
        return [ended]
    return [ended, DecisionRecorded(2000, start.task.task_id, who)]


def played(fates: dict[str, TaskState], luck: random.Random | None) -> tuple[PlanRun, list[str]]:
    """The end, and the order of starts; with luck, inputs come in any order and twice."""
    reduction = reduce_plan(None, approved())
    run, waiting, started = reduction.run, list(reduction.starts), []
    inputs: list[PlanInput] = []
    while waiting or inputs:
        for start in waiting:
            started.append(start.task.task_id)
            inputs += outcome(start, fates.get(start.task.task_id, TaskState.DECIDED))
        if luck is not None:
            luck.shuffle(inputs)
        given_ = inputs.pop(0)
        waiting = []
        for _ in range(luck.choice([1, 2]) if luck is not None else 1):
            reduction = reduce_plan(run, given_)
            run = reduction.run
            waiting += reduction.starts
    return run, started


FATES = st.dictionaries(
    st.sampled_from([t.task_id for t in PLAN.tasks]),
    st.sampled_from([TaskState.DECIDED, TaskState.FAILED, TaskState.CANCELLED]),
)


@given(FATES, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(
    fates: dict[str, TaskState], luck: random.Random
) -> None:
    straight, _ = played(fates, None)
    mixed, started = played(fates, luck)
    assert {t.task_id: (t.state, t.recorded) for t in mixed.tasks} == {
        t.task_id: (t.state, t.recorded) for t in straight.tasks
    }
    assert mixed.ended
    assert mixed.settled
    assert len(started) == len(set(started))


@given(FATES, st.randoms(use_true_random=False))
def test_a_task_starts_only_after_every_decision_it_needs_is_recorded(
    fates: dict[str, TaskState], luck: random.Random
) -> None:
    run = reduce_plan(None, approved()).run
    starts = list(reduce_plan(None, approved()).starts)
    inputs = [i for s in starts for i in outcome(s, fates.get(s.task.task_id, TaskState.DECIDED))]
    while inputs:
        luck.shuffle(inputs)
        reduction = reduce_plan(run, inputs.pop())
        for start in reduction.starts:
            for name in start.task.depends_on:
                need = reduction.run.task(name)
                assert need.state is TaskState.DECIDED
                assert need.recorded
            fate = fates.get(start.task.task_id, TaskState.DECIDED)
            inputs += outcome(start, fate)
        run = reduction.run


def test_what_is_decided_but_not_recorded_starts_nothing() -> None:
    reduction = reduce_plan(None, approved())
    a = next(s for s in reduction.starts if s.task.task_id == "a")
    ended, recorded = outcome(a, TaskState.DECIDED)
    after = reduce_plan(reduction.run, ended)
    assert after.starts == ()
    assert [s.task.task_id for s in reduce_plan(after.run, recorded).starts] == ["b", "c"]
    early = reduce_plan(reduction.run, recorded)
    assert early.starts == ()
    assert [s.task.task_id for s in reduce_plan(early.run, ended).starts] == ["b", "c"]


def test_what_depends_on_a_failure_is_blocked_naming_it() -> None:
    run, started = played({"b": TaskState.FAILED}, None)
    assert "d" not in started
    assert run.task("c").state is TaskState.DECIDED
    assert run.task("d").state is TaskState.BLOCKED
    assert run.task("d").reason == "depends on 'b', which is failed"
    assert run.task("e").reason == "depends on 'd', which is blocked"


def test_a_foreign_outcome_changes_nothing() -> None:
    run = reduce_plan(None, approved()).run
    for who in ("", "another"):
        for task in ("a", "b", "nobody"):
            assert not reduce_plan(run, DecisionRecorded(1, task, who)).changed
            assert not reduce_plan(run, TaskEnded(1, task, who, TaskState.DECIDED)).changed


def test_running_again_raises_the_attempt_only_where_nothing_was_decided() -> None:
    run, _ = played({"b": TaskState.FAILED}, None)
    again = reduce_plan(run, approved(2))
    assert [(s.task.task_id, s.attempt) for s in again.starts] == [("b", 2)]
    assert again.run.task("a") == run.task("a")
    assert again.run.task("d").attempt == 1, "it was never started"
    assert not reduce_plan(again.run, approved(2)).changed
    assert not reduce_plan(again.run, approved(1)).changed


def test_fresh_runs_everything_again_but_what_is_running() -> None:
    run, _ = played({}, None)
    fresh = reduce_plan(run, approved(2, fresh=True))
    assert [(s.task.task_id, s.attempt) for s in fresh.starts] == [("a", 2), ("f", 2)]
    on = reduce_plan(fresh.run, approved(3, fresh=True))
    assert on.starts == ()
    assert on.run.task("a") == fresh.run.task("a")


def test_a_decided_plan_run_again_starts_nothing() -> None:
    run, _ = played({}, None)
    assert reduce_plan(run, approved(2)).starts == ()


def test_cancelling_ends_what_waits() -> None:
    run = reduce_plan(None, approved()).run
    cancelled = reduce_plan(run, CancelPlan(1, "enough")).run
    assert {t.task_id: t.state for t in cancelled.tasks} == {
        "a": TaskState.RUNNING,
        "f": TaskState.RUNNING,
        **dict.fromkeys("bcde", TaskState.CANCELLED),
    }


def test_leases_run_from_now_and_packs_look_back_from_the_approval() -> None:
    reduction = reduce_plan(None, approved(at=90_000))
    assert reduction.run.approved_ms == 89_500
    assert {s.lease.deadline_ms for s in reduction.starts} == {90_000 + Terms().ms}


def test_nothing_but_an_approval_begins() -> None:
    with pytest.raises(ValueError, match="before Approved"):
        reduce_plan(None, CancelPlan(1, "x"))


def test_a_run_survives_its_document() -> None:
    run, _ = played({"b": TaskState.FAILED}, None)
    assert from_data(PlanRun, to_data(run)) == run


@pytest.mark.parametrize(
    ("plan", "field", "says"),
    [
        (replace(PLAN, story=" "), "story", "empty"),
        (replace(PLAN, tasks=()), "tasks", "empty"),
        (replace(PLAN, tasks=(Task("", "x", "DEV"),)), "tasks[0].id", "not allowed"),
        (replace(PLAN, tasks=(Task("a b", "x", "DEV"),)), "tasks[0].id", "not allowed"),
        (replace(PLAN, tasks=(Task("a\n", "x", "DEV"),)), "tasks[0].id", "not allowed"),
        (replace(PLAN, tasks=(Task("x" * 65, "x", "DEV"),)), "tasks[0].id", "not allowed"),
        (replace(PLAN, tasks=(*PLAN.tasks, PLAN.tasks[0])), "tasks[6].id", "twice"),
        (replace(PLAN, tasks=(Task("a", "x", "DEVV"),)), "tasks[0].role", "did you mean DEV"),
        (
            replace(PLAN, tasks=(Task("abc", "x", "DEV", depends_on=("abd",)),)),
            "tasks[0].depends_on",
            "did you mean abc",
        ),
        (replace(PLAN, tasks=(Task("a", "x", "DEV", depends_on=("a",)),)), "tasks", "a -> a"),
        (
            replace(
                PLAN,
                tasks=(
                    Task("a", "x", "DEV", depends_on=("b",)),
                    Task("b", "x", "DEV", depends_on=("a",)),
                ),
            ),
            "tasks",
            "circle",
        ),
    ],
)
def test_a_malformed_plan_is_refused_with_field_and_way_out(
    plan: Plan, field: str, says: str
) -> None:
    with pytest.raises(PlanError) as caught:
        validated(plan, roles=COUNCILS, source="plan.yaml")
    assert caught.value.field == field
    assert caught.value.source == "plan.yaml"
    assert caught.value.hint
    assert says in str(caught.value)


def test_roles_are_compared_without_case() -> None:
    plan = replace(PLAN, tasks=(Task("a", "x", " dev "),))
    assert validated(plan, roles=["Dev"]).tasks[0].role == "DEV"


@pytest.mark.parametrize(
    "spec", [{"x": {1: 2}}, {"x": float("nan")}, {"x": {1, 2}}, {1: 2}, {"x": [object()]}]
)
def test_what_has_no_canonical_form_never_becomes_a_plan(spec: object) -> None:
    data = to_data(replace(PLAN, tasks=(Task("a", "x", "DEV", checks=(CheckSpec("p"),)),)))
    data["tasks"][0]["checks"][0]["spec"] = spec
    with pytest.raises(DecodeError) as caught:
        from_data(Plan, data)
    assert caught.value.field.startswith("tasks[0].checks[0].spec")


def test_identities_are_what_they_were() -> None:
    """Golden: a change here makes every stored plan, deliberation and journal a stranger."""
    council = Council("DEV", (Agent("dev-1", 1, "DEV", "Careful."),))
    task = Task("a", "A", "DEV", acceptance=("é",), checks=(CheckSpec("python", spec={"n": 1}),))
    plan = Plan("s", "S", (task,))
    deliberation = deliberation_id(plan_id(plan), task, council, ProtocolSpec(), 1)
    job = job_id(deliberation, JobKey(1, "propose", 1), REFERENCE_CALL)
    assert (plan_id(plan), deliberation, job) == GOLDEN


GOLDEN = (
    "ce9cf0e8e6931296b8c8a0b16b1eb04c",
    "ddf53ce14a6d0d773a4c467d63f296e8",
    "ddf53ce1277b5fccba6146fa50f17514",
)


def test_every_part_of_a_jobs_place_is_in_its_id() -> None:
    key = JobKey(1, "propose", 1, 0)
    others = [
        replace(key, round=2),
        replace(key, step="revise"),
        replace(key, agent=2),
        replace(key, sample=1),
    ]
    ids = {job_id("d", k, REFERENCE_CALL) for k in [key, *others]}
    ids.add(job_id("e", key, REFERENCE_CALL))
    assert len(ids) == 6
