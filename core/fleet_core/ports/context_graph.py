"""ContextGraph: plans, tasks, decisions and evidence, and what lies around a task."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery, PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.told import ToldDecision
from fleet_core.ports.graph_history import GraphHistory


class ContextGraph(GraphHistory, Protocol):
    """Domain operations only; no query language crosses this port."""

    @abstractmethod
    async def record_plan(self, record: PlanRecord) -> int:
        """Keep a plan with its story, tasks and DEPENDS_ON; idempotent by plan id.

        Returns:
            The story's revision; it rises in the same transaction as the write, and only then.

        Raises:
            PlanError: a task id is used twice, or dependencies are cyclic or dangling; nothing of
                the plan is kept.
        """

    @abstractmethod
    async def record_decision(
        self, decision: Decision, recorded_ms: int, told: ToldDecision | None = None
    ) -> int:
        """Keep a decision with its evidence, dissent and AFFECTS; idempotent by decision id.

        An earlier decision of the same plan and task is SUPERSEDED by it.

        Args:
            decision: whole, as it was taken.
            recorded_ms: UTC milliseconds.
            told: what later tasks are told of it; without it, it is told as it was recorded.

        Returns:
            The story's revision that holds it.
        """

    @abstractmethod
    async def neighbourhood(self, query: NeighbourhoodQuery) -> Neighbourhood:
        """What bears on a task, from one snapshot; an unknown story gives revision 0 and nothing.

        Unknown ids and roles are no error: nothing is known of them.
        Two decisions recorded in the same millisecond are ordered by decision id.
        """

    @abstractmethod
    async def decision(self, decision_id: str) -> Decision | None:
        """A decision by id, superseded ones too."""

    @abstractmethod
    async def plan(self, plan_id: str) -> PlanRecord | None:
        """A recorded plan, whole, its tasks in the order they were written; None for another id."""

    @abstractmethod
    async def revision(self, story: str) -> int:
        """The story's revision; 0 where nothing is known of it."""
