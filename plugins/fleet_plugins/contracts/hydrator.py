"""What every Hydrator must do.

Subclass `HydratorContract` in your adapter's tests and give it two fixtures: `bus`, where
`context.updated` is published, and `hydrator`, over an empty graph.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleet_core.domain.context import ANCHORS, ContextPack, PackRequest
from fleet_core.domain.decision import Decision, DecisionStanding
from fleet_core.domain.events import CONTEXT_UPDATED, Event
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.errors import InputError
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.hydrator import Hydrator

PLAN = Plan(
    "hydrator-story",
    "A story",
    (
        Task("base", "The base", "DEV", "Lay it.", ("It holds.",), ("No glue.",)),
        Task("top", "The top", "DEV", "Put it on.", ("It fits.",), depends_on=("base",)),
        Task("beside", "What runs beside", "QA"),
    ),
)


def decided(task: str, text: str, plan: Plan = PLAN, role: str = "DEV") -> Decision:
    """A decision of a task."""
    return Decision(
        f"{plan_id(plan)[:8]}-{task}",
        f"deliberation-{task}",
        plan.story,
        plan_id(plan),
        task,
        role,
        f"Decision on {task}",
        "For a reason.",
        text,
        "dev-1",
        DecisionStanding.UNVERIFIED,
        "alone",
        1_000,
    )


def asked(task: str, budget: int = 4_000) -> PackRequest:
    """A request for a task's pack."""
    return PackRequest(plan_id(PLAN), PLAN, task, "DEV", 4_102_444_800_000, budget)


@pytest.mark.anyio
class HydratorContract:
    """Packs that are the same wherever they are made; decisions recorded once, then announced."""

    @pytest.fixture
    def bus(self) -> EventBus:
        """Where `context.updated` goes."""
        raise NotImplementedError("give your subclass a fixture `bus`")

    @pytest.fixture
    def hydrator(self) -> Hydrator:
        """The hydrator under test."""
        raise NotImplementedError("give your subclass a fixture `hydrator`")

    async def test_the_anchors_are_in_the_pack(self, hydrator: Hydrator) -> None:
        """Task, acceptance and constraints, whole."""
        pack = await hydrator.pack(asked("base"))
        for text in ("The base", "Lay it.", "It holds.", "No glue."):
            assert text in pack.text
        assert {e.reason for e in pack.ledger if e.kind in ANCHORS} == {"anchor"}

    async def test_the_same_request_gives_the_same_bytes(self, hydrator: Hydrator) -> None:
        """At the same revision."""
        await hydrator.record(decided("base", "Use stone."))
        assert await hydrator.pack(asked("top")) == await hydrator.pack(asked("top"))

    async def test_a_task_is_told_what_it_builds_on(self, hydrator: Hydrator) -> None:
        """And not what runs beside it, but for its title: timing never changes a prompt."""
        before = await hydrator.pack(asked("top"))
        await hydrator.record(decided("beside", "Use paper.", role="QA"))
        beside = await hydrator.pack(asked("top"))
        assert beside.text == before.text
        assert "What runs beside" in before.text
        revision = await hydrator.record(decided("base", "Use stone."))
        pack = await hydrator.pack(asked("top"))
        assert "Use stone." in pack.text
        assert "Use paper." not in pack.text
        assert pack.revision == revision > before.revision

    async def test_everything_considered_is_in_the_ledger_once(self, hydrator: Hydrator) -> None:
        """Whatever the budget takes."""
        await hydrator.record(decided("base", "Use stone. " * 100))
        whole = {e.item for e in (await hydrator.pack(asked("top"))).ledger}
        least = 0
        for budget in range(20, 600, 7):
            pack = await self._fitted(hydrator, budget)
            if pack is None:
                assert not least, "a larger budget takes no less"
                continue
            least = least or budget
            assert pack.tokens <= budget
            assert {e.item for e in pack.ledger} == whole
            assert len(pack.ledger) == len(whole)
            assert all(e.included for e in pack.ledger if e.kind in ANCHORS)
        assert least

    async def _fitted(self, hydrator: Hydrator, budget: int) -> ContextPack | None:
        try:
            return await hydrator.pack(asked("top", budget))
        except InputError as error:
            said = str(error)
        assert str(budget) in said
        return None

    async def test_a_recorded_decision_is_announced_once(
        self, hydrator: Hydrator, bus: EventBus
    ) -> None:
        """Recording it again changes nothing."""
        decision = decided("base", "Use stone.")
        first = await hydrator.record(decision)
        assert await hydrator.record(decision) == first
        (event,) = await _updates(bus)
        assert event.data["decision_id"] == decision.decision_id
        assert event.data["deliberation_id"] == decision.deliberation_id
        assert event.data["task_id"] == "base"
        assert event.data["revision"] == first
        await hydrator.record(replace(decision, decision_id="another", text="Use wood."))
        assert len(await _updates(bus)) == 2
        assert "Use wood." in (await hydrator.pack(asked("top"))).text


async def _updates(bus: EventBus) -> list[Event]:
    return [stored.event async for stored in bus.replay([CONTEXT_UPDATED])]
