"""A plan under way, as a pure reducer like the deliberation's.

A task starts when `context.updated` has named the decision of every task it depends on. A task
whose dependency failed or was cancelled ends `blocked`, naming it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

from fleet_core.domain.council import Council
from fleet_core.domain.decision import DecisionStanding
from fleet_core.domain.deliberation import ProtocolSpec, deliberation_id
from fleet_core.domain.inputs import Start
from fleet_core.domain.lease import Lease
from fleet_core.domain.plan import Plan, Task


class TaskState(StrEnum):
    """Where a task of a plan is."""

    WAITING = "waiting"
    RUNNING = "running"
    DECIDED = "decided"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"


ENDED = frozenset({TaskState.DECIDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.BLOCKED})


@dataclass(frozen=True, slots=True)
class Terms:
    """What each deliberation of a plan is given.

    Attributes:
        tokens, micro_usd, ms: its lease; `ms` from its start to its deadline.
        pack_tokens: the budget of its context pack.
    """

    tokens: int = 60_000
    micro_usd: int = 0
    ms: int = 900_000
    pack_tokens: int = 4_400


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of a plan under way.

    Attributes:
        attempt: from 1; raised when it is run again.
        recorded: `context.updated` has named its decision.
        reason: of a failure; for a blocked task the dependency it is blocked by.
    """

    task_id: str
    state: TaskState = TaskState.WAITING
    attempt: int = 1
    deliberation_id: str = ""
    winner: str = ""
    standing: DecisionStanding | None = None
    recorded: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PlanRun:
    """A plan under way, with the councils and terms as they were when it was approved."""

    plan_id: str
    plan: Plan
    attempt: int
    approved_ms: int
    councils: Mapping[str, Council] = field(hash=False)
    protocol: ProtocolSpec
    terms: Terms
    tasks: tuple[TaskRun, ...]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return all(task.state in ENDED for task in self.tasks)

    @property
    def decided(self) -> bool:
        """Whether every task is decided and its decision recorded."""
        return all(t.state is TaskState.DECIDED and t.recorded for t in self.tasks)

    @property
    def settled(self) -> bool:
        """Whether it has ended and every decision is recorded."""
        return self.ended and all(t.recorded for t in self.tasks if t.state is TaskState.DECIDED)

    def task(self, task_id: str) -> TaskRun:
        """The run of that task; KeyError where there is none."""
        for task in self.tasks:
            if task.task_id == task_id:
                return task
        raise KeyError(task_id)


@dataclass(frozen=True, slots=True)
class Approved:
    """A plan was approved; `attempt` is 1, or one more than that of the run it takes further.

    A higher attempt runs again what is not decided; with `fresh`, everything. What is running
    goes on either way.

    Attributes:
        now_ms: when the approval is acted on; leases run from here.
        approved_ms: when it was given, which bounds what packs may tell.
    """

    KIND: ClassVar[str] = "approved"
    now_ms: int
    plan_id: str
    plan: Plan
    attempt: int
    councils: Mapping[str, Council] = field(hash=False)
    protocol: ProtocolSpec
    terms: Terms
    fresh: bool = False
    approved_ms: int = 0


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """`orchestration.deliberation.completed` came."""

    KIND: ClassVar[str] = "ended"
    now_ms: int
    task_id: str
    deliberation_id: str
    state: TaskState
    winner: str = ""
    standing: DecisionStanding | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DecisionRecorded:
    """`context.updated` came."""

    KIND: ClassVar[str] = "recorded"
    now_ms: int
    task_id: str
    deliberation_id: str


@dataclass(frozen=True, slots=True)
class CancelPlan:
    """Somebody cancelled the plan: tasks that wait will not start."""

    KIND: ClassVar[str] = "cancel"
    now_ms: int
    reason: str


PlanInput = Approved | TaskEnded | DecisionRecorded | CancelPlan


@dataclass(frozen=True, slots=True)
class PlanReduction:
    """The new state and the deliberations to start; `changed` is false for an ignored input."""

    run: PlanRun
    starts: tuple[Start, ...] = ()
    changed: bool = True


def reduce_plan(run: PlanRun | None, given: PlanInput) -> PlanReduction:
    """Reduce one input.

    Raises:
        ValueError: anything but `Approved` where there is no run yet.
    """
    if isinstance(given, Approved):
        if run is not None and given.attempt <= run.attempt:
            return PlanReduction(run, (), changed=False)
        return _settled(_approved(run, given), given.now_ms)
    if run is None:
        raise ValueError(f"{type(given).__name__} before Approved")
    if isinstance(given, CancelPlan):
        tasks = tuple(
            replace(t, state=TaskState.CANCELLED, reason=given.reason)
            if t.state is TaskState.WAITING
            else t
            for t in run.tasks
        )
        changed = tasks != run.tasks
        return PlanReduction(replace(run, tasks=tasks), (), changed)
    task = next((t for t in run.tasks if t.task_id == given.task_id), None)
    if task is None or not given.deliberation_id or task.deliberation_id != given.deliberation_id:
        return PlanReduction(run, (), changed=False)
    if isinstance(given, TaskEnded):
        if task.state is not TaskState.RUNNING:
            return PlanReduction(run, (), changed=False)
        task = replace(
            task,
            state=given.state,
            winner=given.winner,
            standing=given.standing,
            reason=given.reason,
        )
    else:
        if task.recorded:
            return PlanReduction(run, (), changed=False)
        task = replace(task, recorded=True)
    return _settled(_with(run, task), given.now_ms)


def _approved(run: PlanRun | None, given: Approved) -> PlanRun:
    before = {task.task_id: task for task in run.tasks} if run is not None else {}
    tasks = []
    for task in given.plan.tasks:
        held = before.get(task.task_id)
        if held is None:
            tasks.append(TaskRun(task.task_id))
        elif held.state is TaskState.RUNNING:
            tasks.append(held)  # a second deliberation beside it would be paid for twice
        elif held.state is TaskState.DECIDED and not given.fresh:
            tasks.append(held)
        else:
            again = held.attempt + 1 if held.deliberation_id else held.attempt
            tasks.append(TaskRun(task.task_id, attempt=again))
    return PlanRun(
        given.plan_id,
        given.plan,
        given.attempt,
        given.approved_ms or given.now_ms,
        given.councils,
        given.protocol,
        given.terms,
        tuple(tasks),
    )


def _settled(run: PlanRun, now_ms: int) -> PlanReduction:
    """Block what cannot run any more, start what can now."""
    run = _blocked(run)
    starts = []
    for task in run.tasks:
        if task.state is not TaskState.WAITING:
            continue
        needs = [run.task(name) for name in run.plan.task(task.task_id).depends_on]
        if all(n.state is TaskState.DECIDED and n.recorded for n in needs):
            start = start_of(run, task, now_ms)
            starts.append(start)
            identity = deliberation_id(
                run.plan_id, start.task, start.council, start.protocol, start.attempt
            )
            run = _with(run, replace(task, state=TaskState.RUNNING, deliberation_id=identity))
    return PlanReduction(run, tuple(starts))


def start_of(run: PlanRun, task: TaskRun, now_ms: int) -> Start:
    """The input that starts a task's deliberation; the same for the same run and task."""
    wanted = run.plan.task(task.task_id)
    protocol = run.protocol
    if wanted.protocol:
        protocol = replace(protocol, name=wanted.protocol)
    others = tuple(t.task_id for t in run.plan.tasks if t.task_id != task.task_id)
    lease = Lease(run.terms.tokens, now_ms + run.terms.ms, run.terms.micro_usd)
    return Start(
        now_ms,
        run.plan_id,
        run.plan.story,
        task.attempt,
        wanted,
        run.councils[wanted.role],
        protocol,
        lease,
        others,
    )


def _blocked(run: PlanRun) -> PlanRun:
    """Waiting tasks behind a failed, cancelled or blocked one, in as many passes as it takes."""
    lost = (TaskState.FAILED, TaskState.CANCELLED, TaskState.BLOCKED)
    while True:
        hit = next(
            (
                (task, name)
                for task in run.tasks
                if task.state is TaskState.WAITING
                for name in _depends_on(run, task)
                if run.task(name).state in lost
            ),
            None,
        )
        if hit is None:
            return run
        task, name = hit
        state = run.task(name).state.value
        reason = f"depends on {name!r}, which is {state}"
        run = _with(run, replace(task, state=TaskState.BLOCKED, reason=reason))


def _depends_on(run: PlanRun, task: TaskRun) -> tuple[str, ...]:
    wanted: Task = run.plan.task(task.task_id)
    return wanted.depends_on


def _with(run: PlanRun, task: TaskRun) -> PlanRun:
    tasks = tuple(task if t.task_id == task.task_id else t for t in run.tasks)
    return replace(run, tasks=tasks)
