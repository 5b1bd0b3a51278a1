"""What every ContextGraph must do about the history it keeps; part of `ContextGraphContract`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fleet_core.domain.context import PlanRecord
from fleet_core.domain.history import DecisionRecord, Record, Recorded
from fleet_core.domain.plan import Task
from fleet_core.domain.told import as_recorded
from fleet_core.errors import InputError, PlanError
from fleet_core.ports.context_graph import ContextGraph
from fleet_plugins.contracts.stories import Story


async def history(graph: ContextGraph, story: str, limit: int) -> list[Recorded]:
    """All pages of a story."""
    found: list[Recorded] = []
    while page := await graph.records(story, after=found[-1].place if found else "", limit=limit):
        assert len(page) <= limit
        found += page
    return found


@pytest.mark.anyio
class GraphHistoryContract:
    """All that was recorded, in order, in pages of any size."""

    @pytest.fixture
    def graph(self) -> ContextGraph:
        """The graph under test."""
        raise NotImplementedError("give your subclass a fixture `graph`")

    @pytest.fixture
    def story(self) -> Story:
        """A story of this test's own."""
        return Story()

    async def test_an_unknown_story_has_no_history(self, graph: ContextGraph, story: Story) -> None:
        """And asking does not make it known."""
        assert await graph.records(story.name) == []
        assert await graph.prune(story.name, 10**15) == 0
        assert story.name not in await graph.stories(after=story.name[:-1])

    @pytest.mark.parametrize("after", ["x", "p:", "d:1:2", "\x00", "9" * 1000])
    async def test_what_is_no_place_is_refused(
        self, graph: ContextGraph, story: Story, after: str
    ) -> None:
        """By name, whether or not anything is known of the story."""
        for _ in range(2):
            with pytest.raises(InputError) as caught:
                await graph.records(story.name, after=after)
            assert caught.value.field == "after"
            await graph.record_plan(story.plan("p"))

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_everything_comes_back_once_and_whole(
        self, graph: ContextGraph, story: Story, limit: int
    ) -> None:
        """Plans, then decisions as they were recorded, superseded ones too."""
        plans = [story.plan("p"), story.plan("q")]
        decisions = [
            DecisionRecord(story.decision("p", "T1", "first"), 30),
            DecisionRecord(story.decision("p", "T2", affects=("T1",)), 20),
            DecisionRecord(story.decision("p", "T1", "second", text="lone \ud83d"), 10),
            DecisionRecord(story.decision("q", "T1"), 10),
        ]
        await graph.record_plan(plans[0])
        for record in decisions[:3]:
            await graph.record_decision(record.decision, record.recorded_ms)
        await graph.record_plan(plans[1])
        await graph.record_decision(decisions[3].decision, decisions[3].recorded_ms)
        found = await history(graph, story.name, limit)
        assert [recorded.record for recorded in found] == [*plans, *decisions]
        assert len({recorded.place for recorded in found}) == len(found)
        first = decisions[0].decision.decision_id
        assert [one.supersedes for one in found] == [(), (), (), (), (first,), ()]

    async def test_what_is_recorded_between_two_pages_is_on_a_later_one(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Whoever reads slowly misses no decision."""
        await graph.record_plan(story.plan("p"))
        await graph.record_decision(story.decision("p", "T1"), 10)
        first = await graph.records(story.name, limit=2)
        assert len(first) == 2
        late = story.decision("p", "T2")
        await graph.record_decision(late, 5)
        rest = await graph.records(story.name, after=first[-1].place)
        assert [recorded.record for recorded in rest] == [DecisionRecord(late, 5)]

    async def test_a_history_recorded_again_makes_the_same_story(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Under another name, since this graph has that one already."""
        await graph.record_plan(story.plan("p"))
        await graph.record_decision(story.decision("p", "T1", "a"), 10)
        await graph.record_decision(story.decision("p", "T1", "b", affects=("T2",)), 20)
        copy = Story()
        await graph.record_plan(copy.plan("p"))
        for recorded in await graph.records(story.name):
            if isinstance(recorded.record, DecisionRecord):
                name = recorded.record.decision.decision_id.rpartition("/")[2]
                affects = recorded.record.decision.affects
                again = copy.decision("p", "T1", name, affects=affects)
                await graph.record_decision(again, recorded.record.recorded_ms)
        ours = await graph.neighbourhood(story.query("q", "T2"))
        theirs = await graph.neighbourhood(copy.query("q", "T2"))
        assert ours.revision == theirs.revision
        for kind in ("affecting", "siblings", "timeline"):
            titles = [[d.decision_id[-1] for d in getattr(n, kind)] for n in (ours, theirs)]
            assert titles[0] == titles[1]

    async def test_records_restored_together_are_as_if_each_was_recorded(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Superseded ones, citing and affecting ones, known and repeated ones among them."""
        first = story.decision("p", "T1", "a", affects=("T9",))
        second = story.decision("p", "T1", "b", affects=("T9",), cited=(first.decision_id,))
        records: list[Record] = [
            DecisionRecord(story.decision("q", "T1"), 5),
            story.plan("p"),
            DecisionRecord(first, 10, replace(as_recorded(first), title="clean", by="R 1")),
            DecisionRecord(second, 20, replace(as_recorded(second), title="clean", by="R 1")),
            DecisionRecord(story.decision("p", "T2"), 30),
            story.plan("p"),
            DecisionRecord(second, 40),
            story.plan("q"),
        ]
        await graph.record_decision(story.decision("p", "T2"), 7)
        assert await graph.restore(records) == 6
        assert await graph.restore(records) == 6 == await graph.revision(story.name)
        kept = await history(graph, story.name, 3)
        assert [recorded.record for recorded in kept] == [
            story.plan("p"),
            story.plan("q"),
            DecisionRecord(story.decision("p", "T2"), 7),
            DecisionRecord(story.decision("q", "T1"), 5),
            DecisionRecord(first, 10),
            DecisionRecord(second, 20),
        ]
        assert kept[-1].supersedes == (first.decision_id,)
        found = await graph.neighbourhood(story.query("r", "T9", told_by="R 1"))
        assert [told.title for told in found.affecting] == ["clean"]
        assert found.affecting[0].decision_id == second.decision_id

    async def test_restoring_is_whole_or_not_at_all(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """Nothing of a batch is kept of which one record is refused; nothing is no error."""
        assert await graph.restore([]) == 0
        dangling = story.plan("q", Task("T1", "One", "DEV", depends_on=("T0",)))
        with pytest.raises(PlanError):
            await graph.restore([DecisionRecord(story.decision("p", "T1"), 5), dangling])
        with pytest.raises(InputError):
            await graph.restore([story.plan("p"), Story().plan("p")])
        assert await graph.revision(story.name) == 0

    async def test_many_records_are_restored_at_once(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """More than one statement would take; each has a revision of its own."""
        made = [DecisionRecord(story.decision("p", f"T{n % 700}", f"{n}"), n) for n in range(1300)]
        assert await graph.restore(made) == 1300
        found = await graph.neighbourhood(story.query("q", "T1", limit=100))
        assert [told.decision_id.rpartition("/")[2] for told in found.siblings] == [
            str(number) for number in range(1299, 1199, -1)
        ]

    async def test_pruning_drops_what_is_superseded_and_old_and_changes_no_pack(
        self, graph: ContextGraph, story: Story
    ) -> None:
        """The current decision of a task stays, however old."""
        await graph.record_plan(story.plan("p"))
        for at, name in ((10, "a"), (20, "b"), (30, "c")):
            await graph.record_decision(story.decision("p", "T1", name), at)
        await graph.record_decision(story.decision("p", "T2", "old"), 5)
        before = await graph.neighbourhood(story.query("q", "T1"))
        assert await graph.prune(story.name, 20) == 1
        assert await graph.decision(story.decision("p", "T1", "a").decision_id) is None
        assert await graph.prune(story.name, 10**15) == 1
        assert await graph.prune(story.name, 10**15) == 0
        left = await history(graph, story.name, 2)
        names = [r.record.decision.decision_id[-1] for r in left if _is_decision(r)]  # type: ignore[union-attr]  # of decisions only
        assert names == ["c", "d"]
        assert [recorded.supersedes for recorded in left] == [(), (), ()]
        assert await graph.neighbourhood(story.query("q", "T1")) == before
        await graph.record_decision(story.decision("p", "T1", "e"), 40)
        assert await graph.prune(story.name, 10**15) == 1

    async def test_stories_are_listed_page_by_page(self, graph: ContextGraph) -> None:
        """Each once, whoever writes meanwhile."""
        ours = [Story() for _ in range(5)]
        await asyncio.gather(*(graph.record_plan(one.plan("p")) for one in ours))
        found: list[str] = []
        while page := await graph.stories(after=found[-1] if found else "", limit=2):
            assert len(page) <= 2
            found += page
        assert len(set(found)) == len(found)
        assert {one.name for one in ours} <= set(found)


def _is_decision(recorded: Recorded) -> bool:
    return not isinstance(recorded.record, PlanRecord)
