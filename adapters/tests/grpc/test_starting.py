"""A task is told as started once its deliberation is saved, by whichever orchestrator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from fleet_adapters.grpc._starting import Started, one_task, started
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.plan import Task, plan_id, validated
from fleet_core.domain.plan_run import PlanRun, TaskRun, TaskState, Terms
from fleet_core.errors import NotFound, Unavailable

pytestmark = pytest.mark.anyio
COUNCIL = Council("DEV", (Agent("dev-1", 1, "DEV"),))
PLAN = validated(one_task("s", Task("t1", "Do it", "DEV"), ""), roles=["DEV"])


def run(attempt: int, state: TaskState, deliberation: str = "") -> PlanRun:
    task = TaskRun("t1", state, attempt, deliberation, recorded=state is TaskState.DECIDED)
    councils = {"DEV": COUNCIL}
    return PlanRun(plan_id(PLAN), PLAN, attempt, 0, councils, ProtocolSpec(), Terms(), (task,))


@dataclass
class Elsewhere:
    """Plans, deliberations and councils of another orchestrator, as they come to be seen."""

    before: PlanRun | None
    runs: list[PlanRun | Exception]
    deliberations: list[Exception] = field(default_factory=list)
    protocols: frozenset[str] = frozenset({"vote"})

    async def approve(self, plan: object, *, fresh: bool) -> PlanRun | None:
        return self.before

    async def get(self, identity: str) -> Any:
        if identity == plan_id(PLAN):
            found = self.runs.pop(0) if len(self.runs) > 1 else self.runs[0]
            if isinstance(found, Exception):
                raise found
            return found
        if self.deliberations:
            raise self.deliberations.pop(0)
        return None

    async def all(self) -> dict[str, Council]:
        return {"DEV": COUNCIL}


async def start(other: Elsewhere, *, fresh: bool = False) -> Started:
    given: Any = other
    return await started(PLAN, fresh=fresh, plans=given, deliberate=given, councils=given)


async def test_a_new_plan_is_waited_for_with_its_deliberation() -> None:
    other = Elsewhere(
        None,
        [
            NotFound("not yet"),
            run(1, TaskState.WAITING),
            run(1, TaskState.RUNNING, "d1"),
        ],
        [NotFound("not yet"), NotFound("not yet")],
    )
    assert await start(other) == Started(plan_id(PLAN), "d1", 1, TaskState.RUNNING)
    assert not other.deliberations


async def test_an_attempt_that_was_asked_for_anew_is_waited_for() -> None:
    decided, failed = run(1, TaskState.DECIDED, "d1"), run(1, TaskState.FAILED, "d1")
    second = run(2, TaskState.RUNNING, "d2")
    assert (await start(Elsewhere(decided, [decided, second]), fresh=True)).deliberation_id == "d2"
    assert (await start(Elsewhere(failed, [failed, second]))).deliberation_id == "d2"
    assert (await start(Elsewhere(decided, [decided]))).deliberation_id == "d1"
    under_way = run(1, TaskState.RUNNING, "d1")
    assert (await start(Elsewhere(under_way, [under_way]), fresh=True)).deliberation_id == "d1"


async def test_a_store_that_is_away_is_told() -> None:
    with pytest.raises(Unavailable):
        await start(Elsewhere(None, [Unavailable("away")]))
