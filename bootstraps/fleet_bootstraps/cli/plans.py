"""`fleet plan`: looks at plan files without running them."""

from __future__ import annotations

from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line, table
from fleet_bootstraps.cli.planned import planned
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.plans import plan_schema


def check(opened: Session, name: str, *, as_json: bool) -> Exit:
    """Say that a plan is in order, and what is in it; refusals are raised."""
    given = planned(opened, name)
    tasks = [
        {
            "task": t.task_id,
            "role": t.role,
            "depends_on": list(t.depends_on),
            "checks": [{"kind": c.kind, "required": c.required} for c in t.checks],
            "title": t.title,
        }
        for t in given.plan.tasks
    ]
    if as_json:
        story = {"plan_id": given.plan_id, "story": given.plan.story, "title": given.plan.title}
        emit({**story, "tasks": tasks})
        return Exit.DONE
    line(f"{name} is in order: plan {given.plan_id}, story {given.plan.story}")
    table(
        ("task", "role", "after", "checks", "title"),
        (
            (
                t.task_id,
                t.role,
                ", ".join(t.depends_on) or "-",
                ", ".join(c.kind + (" (required)" if c.required else "") for c in t.checks) or "-",
                t.title,
            )
            for t in given.plan.tasks
        ),
    )
    return Exit.DONE


def schema() -> Exit:
    """Print the JSON schema of plan files."""
    emit(plan_schema())
    return Exit.DONE
