"""What every ContextGraph must do.

Subclass `ContextGraphContract` in your adapter's tests and give it a fixture `graph`: an open
graph, which may hold other stories. Where it outlives the adapter, subclass
`DurableContextGraphContract` too and give it a fixture `reopen`: an async function that closes the
current graph, opens another on the same data, and returns it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery, PlanRecord
from fleet_core.domain.decision import Alternative, Decision, DecisionStanding, Dissent
from fleet_core.domain.job import Evidence, Standing
from fleet_core.domain.plan import CheckSpec, Plan, Task
from fleet_core.ports.context_graph import ContextGraph

Reopen = Callable[[], Awaitable[ContextGraph]]
_HOSTILE = "\x00\x01\x1b[2J\x7f\u2028\u202e'; DROP TABLE decision; -- {{x}} ${x} \\ \" \U0001f600\n"


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


def _ids(decisions: tuple[Decision, ...]) -> list[str]:
    return [decision.decision_id.split("/", 1)[1] for decision in decisions]


@pytest.mark.anyio
class ContextGraphContract:
    """Idempotent records, revisions, what lies around a task."""

    @pytest.fixture
    def graph(self) -> ContextGraph:
        """The graph under test."""
        raise NotImplementedError("give your subclass a fixture `graph`")

    @pytest.fixture
    def story(self) -> Story:
        """A story of this test's own."""
        return Story()

    async def test_an_unknown_story_is_empty(self, graph: ContextGraph, story: Story) -> None:
        """Revision 0 and nothing; asking does not make it known."""
        assert await graph.neighbourhood(story.query("p", "T1", "T0")) == Neighbourhood(0)
        assert await graph.revision(story.name) == 0
        assert await graph.decision(f"{story.name}/none") is None
        assert await graph.plan(f"{story.name}/none") is None

    async def test_a_decision_comes_back_whole(self, graph: ContextGraph, story: Story) -> None:
        """With evidence, alternatives, dissent and hostile text, a megabyte of it."""
        decision = story.decision(
            "p",
            "T1",
            title=_HOSTILE,
            rationale=_HOSTILE * 10,
            text=_HOSTILE + "x" * 1_000_000,
            standing=DecisionStanding.VERIFIED,
            evidence=(Evidence("python", Standing.PASSED, _HOSTILE, "out\x00put", 0.5),),
            alternatives=(Alternative(("dev-2", "dev-3"), "Other", _HOSTILE, "ab" * 32),),
            dissent=(Dissent("dev-2", ("dev-3",), _HOSTILE),),
            affects=("T2", "T3"),
            incomplete=("dev-4",),
        )
        await graph.record_decision(decision, 10)
        assert await graph.decision(decision.decision_id) == decision
        found = await graph.neighbourhood(story.query("p", "T2", "T1"))
        assert found.ancestors == (decision,)

    async def test_text_with_lone_surrogates_is_kept(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """JSON can carry them, so a model can write them."""
        decision = story.decision("p", "T1", text="half \ud83d of a pair")
        await graph.record_decision(decision, 10)
        assert await graph.decision(decision.decision_id) == decision

    async def test_the_revision_rises_with_each_write_only(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Recording the same again changes nothing, not even the revision."""
        first = await graph.record_plan(story.plan("p"))
        assert first > 0
        assert await graph.record_plan(story.plan("p")) == first
        second = await graph.record_decision(story.decision("p", "T1"), 10)
        assert second > first
        assert await graph.record_decision(story.decision("p", "T1"), 99) == second
        third = await graph.record_plan(story.plan("q"))
        assert third > second
        found = await graph.neighbourhood(story.query("q", "T1"))
        assert found.revision == third == await graph.revision(story.name)
        assert _ids(found.siblings) == ["p/T1/"]

    async def test_revisions_are_per_story(self, graph: ContextGraph, story: Story) -> None:
        """A write to one story does not raise another's."""
        await graph.record_plan(story.plan("p"))
        before = await graph.revision(story.name)
        other = Story()
        await graph.record_plan(other.plan("p"))
        await graph.record_decision(other.decision("p", "T1"), 10)
        assert await graph.revision(story.name) == before
        assert (await graph.neighbourhood(story.query("q", "T1"))).siblings == ()

    async def test_a_large_plan_is_recorded_once(self, graph: ContextGraph, story: Story) -> None:
        """Under concurrency too, with repeated dependencies and hostile titles."""
        tasks = tuple(
            Task(f"T{n}", _HOSTILE, "DEV", depends_on=("T0", "T0") if n else ()) for n in range(200)
        )
        record = story.plan("p", *tasks)
        revisions = await asyncio.gather(*(graph.record_plan(record) for _ in range(5)))
        assert len(set(revisions)) == 1

    async def test_a_plan_comes_back_whole(self, graph: ContextGraph, story: Story) -> None:
        """Tasks in the order they were written, with all they hold, hostile text too."""
        check = CheckSpec("python", required=True, spec={"tests": _HOSTILE, "examples": [1, None]})
        tasks = (
            Task("T9", _HOSTILE, "DEV", _HOSTILE + "x" * 100_000, (_HOSTILE, ""), (_HOSTILE,)),
            Task("T1", "One", "QA", depends_on=("T9", "T9"), checks=(check,), protocol="vote"),
            Task("T5", "Five", "DEV", depends_on=("T1", "T9"), phase="test"),
        )
        plan = Plan(story.name, _HOSTILE, tasks, _HOSTILE)
        record = PlanRecord(f"{story.name}/p", plan, 1_700_000_000_000)
        await graph.record_plan(record)
        assert await graph.plan(record.plan_id) == record
        await graph.record_plan(replace(record, approved_ms=9))  # it is kept already
        assert await graph.plan(record.plan_id) == record

    async def test_concurrent_records_each_raise_the_revision(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Every write has a revision of its own; none is lost."""
        revisions = await asyncio.gather(
            *(graph.record_decision(story.decision("p", f"T{n}"), n) for n in range(20))
        )
        assert len(set(revisions)) == 20
        assert await graph.revision(story.name) == max(revisions)
        found = await graph.neighbourhood(story.query("q", "T1"))
        assert len(found.siblings) == 20

    async def test_ancestors_come_in_the_order_asked(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Of the same plan only, whenever they were recorded; undecided ones are left out."""
        await graph.record_plan(story.plan("p"))
        for number, task in enumerate(("T1", "T2", "T3")):
            await graph.record_decision(story.decision("p", task), 500 + number)
        await graph.record_decision(story.decision("q", "T4"), 1)
        query = story.query("p", "T9", "T3", "T4", "T1", before_ms=100)
        found = await graph.neighbourhood(query)
        assert _ids(found.ancestors) == ["p/T3/", "p/T1/"]
        assert _ids(found.siblings) == ["q/T4/"]

    async def test_a_later_decision_supersedes_an_earlier_one(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Of the same plan and task; the earlier is found by its id alone."""
        old = story.decision("p", "T1", "old", affects=("T7",))
        new = story.decision("p", "T1", "new")
        await graph.record_decision(old, 10)
        await graph.record_decision(new, 20)
        assert _ids((await graph.neighbourhood(story.query("p", "T2", "T1"))).ancestors) == [
            "p/T1/new"
        ]
        found = await graph.neighbourhood(story.query("q", "T7"))
        assert (found.affecting, _ids(found.siblings), found.timeline) == ((), ["p/T1/new"], ())
        assert await graph.decision(old.decision_id) == old
        revision = await graph.revision(story.name)
        assert await graph.record_decision(old, 30) == revision
        assert _ids((await graph.neighbourhood(story.query("p", "T2", "T1"))).ancestors) == [
            "p/T1/new"
        ]

    async def test_affecting_siblings_and_timeline_do_not_overlap(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Each newest first; those of the asking plan are in none of them."""
        made = [
            (10, story.decision("a", "T1", affects=("T5", "T5", "T6"))),
            (20, story.decision("a", "T2", role="QA", affects=("T5",))),
            (30, story.decision("b", "T1")),
            (40, story.decision("b", "T2", role="QA")),
            (50, story.decision("c", "T1")),
            (60, story.decision("mine", "T1", affects=("T5",))),
        ]
        for recorded_ms, decision in made:
            await graph.record_decision(decision, recorded_ms)
        found = await graph.neighbourhood(story.query("mine", "T5"))
        assert _ids(found.affecting) == ["a/T2/", "a/T1/"]
        assert _ids(found.siblings) == ["c/T1/", "b/T1/"]
        assert _ids(found.timeline) == ["b/T2/"]

    async def test_only_what_was_recorded_before_counts(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """`before_ms` itself is not before."""
        for number in (1, 2, 3):
            await graph.record_decision(
                story.decision(f"p{number}", "T1", affects=("T5",)), number * 10
            )
            await graph.record_decision(story.decision(f"q{number}", "T1", role="QA"), number * 10)
        found = await graph.neighbourhood(story.query("mine", "T5", before_ms=20))
        assert _ids(found.affecting) == ["p1/T1/"]
        assert _ids(found.timeline) == ["q1/T1/"]

    async def test_the_same_millisecond_is_ordered_by_id(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """So that the same revision gives the same answer, whatever came first."""
        names = ["p3", "p1", "p2"]
        for name in names:
            await graph.record_decision(story.decision(name, "T1", affects=("T5",)), 10)
            await graph.record_decision(story.decision(name, "T2"), 10)
        found = await graph.neighbourhood(story.query("mine", "T5"))
        assert _ids(found.affecting) == ["p3/T1/", "p2/T1/", "p1/T1/"]
        assert _ids(found.siblings) == ["p3/T2/", "p2/T2/", "p1/T2/"]

    async def test_limits(self, graph: ContextGraph, story: Story) -> None:
        """Of siblings and of the timeline, each; the newest are kept."""
        for number in range(6):
            await graph.record_decision(story.decision(f"p{number}", "T1"), number)
            await graph.record_decision(story.decision(f"q{number}", "T1", role="QA"), number)
        found = await graph.neighbourhood(story.query("mine", "T5", limit=2))
        assert _ids(found.siblings) == ["p5/T1/", "p4/T1/"]
        # The timeline fills up with those of the role that no longer fit among the siblings.
        assert _ids(found.timeline) == ["q5/T1/", "q4/T1/"]
        wide = await graph.neighbourhood(story.query("mine", "T5", limit=100))
        assert (len(wide.siblings), len(wide.timeline)) == (6, 6)


@pytest.mark.anyio
class DurableContextGraphContract:
    """What a graph that outlives its adapter must do besides."""

    @pytest.fixture
    def story(self) -> Story:
        """A story of this test's own."""
        return Story()

    @pytest.fixture
    def reopen(self) -> Reopen:
        """Closes the graph and opens another on the same data."""
        raise NotImplementedError("give your subclass a fixture `reopen`")

    async def test_everything_outlives_the_adapter(
        self, graph: ContextGraph, reopen: Reopen, story: Story
    ) -> None:
        """The revision goes on from where it was; what was recorded stays recorded."""
        await graph.record_plan(story.plan("p"))
        assert await graph.plan(story.plan("p").plan_id) == story.plan("p")
        await graph.record_decision(story.decision("p", "T1", "old", affects=("T5",)), 10)
        before = await graph.record_decision(story.decision("p", "T1", "new"), 20)
        query = story.query("q", "T5")
        expected = await graph.neighbourhood(query)
        graph = await reopen()
        assert await graph.neighbourhood(query) == expected
        assert await graph.plan(story.plan("p").plan_id) == story.plan("p")
        assert await graph.record_plan(story.plan("p")) == before
        assert await graph.record_decision(story.decision("p", "T2"), 30) > before
