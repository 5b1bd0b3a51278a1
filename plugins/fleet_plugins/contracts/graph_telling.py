"""What every ContextGraph must do about what it tells of decisions; in `ContextGraphContract`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleet_core.domain.context import EarlierPlan, PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.plan import Plan, Task
from fleet_core.domain.told import ToldDecision, as_recorded, titled
from fleet_core.ports.context_graph import ContextGraph
from fleet_plugins.contracts.graph_history import GraphHistoryContract
from fleet_plugins.contracts.stories import Story

_ODD = "\x00\u202e\ue000 {{x}} half \ud83d"


def told(decision: Decision, by: str = "R 1") -> ToldDecision:
    """What a redactor of that name might tell of a decision."""
    plain = as_recorded(decision)
    return replace(plain, title=f"clean {plain.title}", rationale="r", text=f"t{_ODD}", by=by)


@pytest.mark.anyio
class GraphTellingContract(GraphHistoryContract):
    """Texts of the redactor that is asked for, and earlier plans."""

    async def test_what_a_redactor_made_is_told_to_who_asks_for_it(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Word for word, in each part; the decision itself stays as it was taken."""
        made = [
            story.decision("p", "T1"),
            story.decision("q", "T1", affects=("T2",), role="QA"),
            story.decision("q", "T2"),
            story.decision("q", "T3", role="QA"),
        ]
        for at, decision in enumerate(made):
            await graph.record_decision(decision, at, told(decision))
        found = await graph.neighbourhood(story.query("p", "T2", "T1", told_by="R 1"))
        assert found.ancestors == (told(made[0]),)
        assert found.affecting == (told(made[1]),)
        assert found.siblings == (told(made[2]),)
        assert found.timeline == (titled(told(made[3])),)
        assert await graph.decision(made[0].decision_id) == made[0]

    async def test_what_another_made_is_told_as_it_was_recorded(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Whether another version did, or nobody; so nothing passes as looked through."""
        made = [
            story.decision("p", "T1"),
            story.decision("p", "T2"),
            story.decision("q", "T1", role="QA"),
            story.decision("q", "T2", role="QA"),
        ]
        await graph.record_decision(made[0], 1, told(made[0]))
        await graph.record_decision(made[1], 2)
        await graph.record_decision(made[2], 3, told(made[2]))
        await graph.record_decision(made[3], 4)
        for asked in ("R 2", ""):
            query = story.query("p", "T9", "T1", "T2", told_by=asked)
            found = await graph.neighbourhood(query)
            assert found.ancestors == (as_recorded(made[0]), as_recorded(made[1]))
            newest = [titled(as_recorded(made[3])), titled(as_recorded(made[2]))]
            assert list(found.timeline) == newest

    async def test_what_was_told_first_stays(self, graph: ContextGraph, story: Story) -> None:
        """A decision that is recorded again changes nothing."""
        decision = story.decision("p", "T1")
        await graph.record_decision(decision, 1, told(decision))
        await graph.record_decision(decision, 2, told(decision, "R 2"))
        query = story.query("p", "T2", "T1", told_by="R 1")
        assert (await graph.neighbourhood(query)).ancestors == (told(decision),)

    async def test_a_superseded_decision_is_not_told(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """But what took its place."""
        old, new = story.decision("p", "T1", "old"), story.decision("p", "T1", "new")
        await graph.record_decision(old, 1, told(old))
        await graph.record_decision(new, 2, told(new))
        query = story.query("p", "T2", "T1", told_by="R 1")
        assert (await graph.neighbourhood(query)).ancestors == (told(new),)

    async def test_affecting_decisions_have_a_limit(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """The newest are kept; the others are siblings or in the timeline."""
        for number in range(5):
            decision = story.decision(f"p{number}", "T1", affects=("T5",))
            await graph.record_decision(decision, number)
        found = await graph.neighbourhood(story.query("mine", "T5", limit=2, titles=2))
        names = [
            [told.decision_id.split("/", 1)[1] for told in part]
            for part in (found.affecting, found.siblings, found.timeline)
        ]
        assert names == [["p4/T1/", "p3/T1/"], ["p2/T1/", "p1/T1/"], ["p0/T1/"]]

    async def test_earlier_plans_and_how_far_they_had_come(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Those that were approved before, the latest first; decisions count by when they were."""
        for number in range(1, 6):
            tasks = tuple(Task(f"T{n}", "One", "DEV") for n in range(number))
            plan = Plan(story.name, f"{_ODD} {number}", tasks)
            await graph.record_plan(PlanRecord(f"{story.name}/p{number}", plan, number * 100))
        await graph.record_decision(story.decision("p2", "T0"), 250)
        await graph.record_decision(story.decision("p3", "T0", "old"), 350)
        await graph.record_decision(story.decision("p3", "T0", "new"), 380)
        await graph.record_decision(story.decision("p3", "T1"), 390)
        await graph.record_decision(story.decision("p3", "T2"), 500)
        query = story.query("p4", "T1", before_ms=500)
        plans = [
            EarlierPlan(f"{story.name}/p{number}", f"{_ODD} {number}", number, decided)
            for number, decided in ((3, 2), (2, 1), (1, 0))
        ]
        assert list((await graph.neighbourhood(query)).plans) == plans
        few = await graph.neighbourhood(replace(query, limit=2))
        assert list(few.plans) == plans[:2]

    async def test_plans_of_one_millisecond_are_ordered_by_id(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """So that the same revision gives the same answer, whatever came first."""
        for name in ("b", "c", "a"):
            await graph.record_plan(story.plan(name))
        found = await graph.neighbourhood(story.query("mine", "T1"))
        assert [plan.plan_id[-1] for plan in found.plans] == ["c", "b", "a"]
