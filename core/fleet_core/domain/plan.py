"""An approved plan: tasks with roles, acceptance criteria, constraints and a dependency DAG."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from typing import Any

from fleet_core.domain.codec import to_data
from fleet_core.domain.council import role_name
from fleet_core.domain.ids import TASK_ID, content_id
from fleet_core.errors import PlanError

MAX_PLAN_BYTES = 1024 * 1024
PHASES = ("design", "build", "test", "release")
DEFAULT_PHASE = "build"


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """A check that gives evidence on each proposal of a task.

    Attributes:
        kind: names an adapter of the port `check`, e.g. `python`.
        required: whether the task fails rather than being decided without a passed check.
        spec: the check's own parameters, e.g. `examples` and `tests` for `python`.
    """

    kind: str
    required: bool = False
    spec: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work put before one council.

    Attributes:
        protocol: how the council deliberates; empty for the profile's.
        phase: one of `PHASES`, which decides what the role is told; empty for `build`.
    """

    task_id: str
    title: str
    role: str
    description: str = ""
    acceptance: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    checks: tuple[CheckSpec, ...] = ()
    protocol: str = ""
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A story and its tasks, in the order they were written."""

    story: str
    title: str
    tasks: tuple[Task, ...]
    description: str = ""

    def task(self, task_id: str) -> Task:
        """The task of that id; KeyError where there is none."""
        for task in self.tasks:
            if task.task_id == task_id:
                return task
        raise KeyError(task_id)

    def ancestors(self, task_id: str) -> Iterator[tuple[int, Task]]:
        """Every task that this one depends on, nearest first, with its distance (1 is direct).

        Within one distance, in plan order.
        """
        seen, layer, distance = {task_id}, {task_id}, 0
        while layer:
            distance += 1
            parents = {d for t in self.tasks if t.task_id in layer for d in t.depends_on} - seen
            seen |= parents
            yield from ((distance, t) for t in self.tasks if t.task_id in parents)
            layer = parents


def plan_id(plan: Plan) -> str:
    """The plan's identity: a hash of what was parsed, so white space and comments do not count."""
    return content_id("plan", to_data(plan))


def validated(plan: Plan, *, roles: Collection[str], source: str = "plan") -> Plan:
    """The plan with roles in their kept form, once everything that refers to something holds.

    Raises:
        PlanError: names the field and the way out: no tasks, a task id that is not
            `[A-Za-z0-9_-]{1,64}` or is used twice, an unknown role or phase, a missing
            dependency, a cycle.
    """
    if not plan.story.strip():
        raise PlanError("is empty", "name the story", source=source, field="story")
    if not plan.tasks:
        raise PlanError("the plan is empty", "list at least one task", source=source, field="tasks")
    known = {role_name(role) for role in roles}
    for index, task in enumerate(plan.tasks):
        at = f"tasks[{index}]"
        if not TASK_ID.fullmatch(task.task_id):
            raise PlanError(
                f"task id {task.task_id[:80]!r} is not allowed",
                "use 1 to 64 letters, digits, _ and -",
                source=source,
                field=f"{at}.id",
            )
        if role_name(task.role) not in known:
            raise PlanError(
                f"role {task.role!r} has no council",
                _near(role_name(task.role), known, "known roles"),
                source=source,
                field=f"{at}.role",
            )
        if task.phase and task.phase not in PHASES:
            raise PlanError(
                f"there is no phase {task.phase!r}",
                _near(task.phase, PHASES, "phases"),
                source=source,
                field=f"{at}.phase",
            )
    require_relations(plan, source=source)
    return replace(plan, tasks=tuple(replace(t, role=role_name(t.role)) for t in plan.tasks))


def require_relations(plan: Plan, *, source: str = "plan") -> None:
    """Refuse a plan whose tasks cannot be told apart or whose dependencies lead nowhere.

    Raises:
        PlanError: names the field and the way out: a task id that is used twice, a missing
            dependency, a cycle.
    """
    ids = {task.task_id for task in plan.tasks}
    seen: set[str] = set()
    for index, task in enumerate(plan.tasks):
        at = f"tasks[{index}]"
        if task.task_id in seen:
            raise PlanError(
                f"task id {task.task_id!r} is used twice",
                "give each task its own id",
                source=source,
                field=f"{at}.id",
            )
        seen.add(task.task_id)
        for dependency in task.depends_on:
            if dependency not in ids:
                raise PlanError(
                    f"depends on {dependency!r}, which is not in the plan",
                    _near(dependency, ids, "task ids"),
                    source=source,
                    field=f"{at}.depends_on",
                )
    _refuse_cycle(plan, source)


def _refuse_cycle(plan: Plan, source: str) -> None:
    try:
        TopologicalSorter({t.task_id: t.depends_on for t in plan.tasks}).prepare()
    except CycleError as error:
        path = " -> ".join(reversed(error.args[1]))
        raise PlanError(
            f"the tasks depend on each other in a circle: {path}",
            "remove one of these dependencies",
            source=source,
            field="tasks",
        ) from None


def _near(wanted: str, known: Collection[str], label: str) -> str:
    close = get_close_matches(wanted, known, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"{label}: {', '.join(sorted(known))}"
