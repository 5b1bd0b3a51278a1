"""Stories that no other test uses, for the contracts of the context graph."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from fleet_core.domain.context import NeighbourhoodQuery, PlanRecord
from fleet_core.domain.decision import Decision, DecisionStanding
from fleet_core.domain.plan import Plan, Task


class Story:
    """A story that no other test uses, and records of it."""

    def __init__(self) -> None:
        self.name = f"contract {uuid.uuid4().hex}"

    def plan(self, plan: str, *tasks: Task) -> PlanRecord:
        """A plan; its id is unique to this story."""
        listed = tasks or (Task("T1", "One", "DEV"), Task("T2", "Two", "QA", depends_on=("T1",)))
        return PlanRecord(f"{self.name}/{plan}", Plan(self.name, f"Plan {plan}", listed), 1_000)

    def decision(self, plan: str, task: str, name: str = "", **changes: Any) -> Decision:
        """A decision of one of this story's tasks; its id is unique to this story."""
        made = Decision(
            decision_id=f"{self.name}/{plan}/{task}/{name}",
            deliberation_id=f"{self.name}/{plan}/{task}",
            story=self.name,
            plan_id=f"{self.name}/{plan}",
            task_id=task,
            role="DEV",
            title=f"Decide {task}",
            rationale="because",
            text="the proposal",
            winner="dev-1",
            standing=DecisionStanding.UNVERIFIED,
            rule="ballots",
            decided_ms=5,
        )
        return replace(made, **changes)

    def query(self, plan: str, task: str, *ancestors: str, **changes: Any) -> NeighbourhoodQuery:
        """A query from a task of a plan of this story."""
        made = NeighbourhoodQuery(
            self.name, f"{self.name}/{plan}", task, ancestors, "DEV", before_ms=10**15
        )
        return replace(made, **changes)
