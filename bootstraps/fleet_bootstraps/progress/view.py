"""What is shown of a run: a pure view of its state, and the lines that tell two views apart.

Events say that something changed; what is shown comes from the saved state. So repeated, lost or
reordered events cannot make the picture wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fleet_core.domain.deliberation import FINAL, Deliberation, Phase
from fleet_core.domain.plan_run import ENDED, PlanRun, TaskRun, TaskState


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task.

    Attributes:
        state: of the task; while it runs, the phase of its deliberation.
        step: what the council does now, e.g. `critique (round 1)`; empty where it does nothing.
        answered, asked: jobs of that step.
        calls: model calls so far, retries included.
        micro_usd: what they cost.
        ms: since its deliberation started; for ever the same once it has ended.
    """

    task_id: str
    role: str
    state: str
    agents: int = 0
    step: str = ""
    answered: int = 0
    asked: int = 0
    winner: str = ""
    standing: str = ""
    reason: str = ""
    calls: int = 0
    tokens: int = 0
    micro_usd: int = 0
    ms: int = 0
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """`ms` in seconds."""
        return self.ms / 1000


@dataclass(frozen=True, slots=True)
class RunView:
    """A plan under way."""

    plan_id: str
    attempt: int
    title: str
    tasks: tuple[TaskView, ...]

    def total(self, field: str) -> int:
        """The sum of a number over all tasks."""
        return sum(getattr(task, field) for task in self.tasks)


def run_view(run: PlanRun, states: Mapping[str, Deliberation], now_ms: int) -> RunView:
    """The view of a run.

    Args:
        run: as saved.
        states: its deliberations by id, as saved; one that is missing has not begun.
        now_ms: UTC milliseconds.
    """
    tasks = tuple(task_view(run, t, states.get(t.deliberation_id), now_ms) for t in run.tasks)
    return RunView(run.plan_id, run.attempt, run.plan.title, tasks)


def task_view(run: PlanRun, task: TaskRun, state: Deliberation | None, now_ms: int) -> TaskView:
    """The view of one task; what its deliberation has ended in before the plan has heard of it."""
    role = run.plan.task(task.task_id).role
    if state is None:
        return TaskView(task.task_id, role, task.state.value, reason=task.reason)
    return state_view(task.task_id, role, state, now_ms)


def state_view(task_id: str, role: str, state: Deliberation, now_ms: int) -> TaskView:
    """The view of a task whose deliberation has begun."""
    step = state.open_step if state.phase not in FINAL else None
    usage = state.usage()
    decision, failure = state.decision, state.failure
    return TaskView(
        task_id,
        role,
        state.phase.value,
        len(state.council.agents),
        f"{step.name} (round {step.round})" if step is not None else "",
        sum(job.ended is not None for job in step.jobs) if step is not None else 0,
        len(step.jobs) if step is not None else 0,
        decision.winner if decision is not None else "",
        decision.standing.value if decision is not None else "",
        failure.reason if failure is not None else "",
        usage.attempts,
        usage.tokens,
        usage.micro_usd,
        (state.ended_ms or now_ms) - state.started_ms,
        state.notes,
    )


def stuck(run: PlanRun, states: Mapping[str, Deliberation]) -> bool:
    """Whether no deliberation of an unsettled run is under way."""
    running = [states.get(t.deliberation_id) for t in run.tasks if t.state is TaskState.RUNNING]
    return not run.settled and all(s is not None and s.phase in FINAL for s in running)


def told(before: RunView | None, after: RunView) -> Iterator[str]:
    """One line for each change between two views, in plan order."""
    old = {task.task_id: task for task in before.tasks} if before is not None else {}
    for task in after.tasks:
        was = old.get(task.task_id)
        yield from (f"{task.task_id}: {said}" for said in _changes(was, task))


def _changes(was: TaskView | None, now: TaskView) -> Iterator[str]:
    yield from now.notes[len(was.notes) if was is not None else 0 :]
    if was is not None and (was.state, was.step) == (now.state, now.step):
        if was.answered != now.answered and now.step:
            yield f"{now.step}: {now.answered} of {now.asked} ended"
        return
    if now.state in {s.value for s in ENDED}:
        yield _ending(now)
    elif now.step:
        yield f"{now.step}, {now.asked} jobs"
    elif now.state == Phase.PENDING.value:
        yield f"{now.role}, {now.agents} agents, waiting for the context pack"
    elif now.state == TaskState.RUNNING.value:
        yield "starting"
    elif was is not None and was.state != now.state:
        yield now.state


def _ending(task: TaskView) -> str:
    spent = f"{task.calls} calls, {task.tokens} tokens, {task.seconds:.1f} s"
    if task.state == TaskState.DECIDED.value:
        return f"decided, {task.standing}, winner {task.winner}; {spent}"
    return f"{task.state}: {task.reason}" + (f"; {spent}" if task.calls else "")
