"""The context graph in memory."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from fleet_core.domain.context import (
    EarlierPlan,
    Neighbourhood,
    NeighbourhoodQuery,
    PlanRecord,
)
from fleet_core.domain.decision import Decision
from fleet_core.domain.history import (
    DecisionRecord,
    Record,
    Recorded,
    passed,
    place_of,
    require_one_story,
)
from fleet_core.domain.plan import require_relations
from fleet_core.domain.told import ToldDecision, as_recorded, titled
from fleet_core.ports.context_graph import ContextGraph

_Entry = tuple[int, str]  # recorded_ms, decision id: the order of decisions within a story


@dataclass(slots=True)
class _Story:
    revision: int = 0
    plans: dict[str, PlanRecord] = field(default_factory=dict)
    current: dict[tuple[str, str], _Entry] = field(default_factory=dict)  # by plan and task
    order: list[_Entry] = field(default_factory=list)
    recorded: dict[int, _Entry] = field(default_factory=dict)  # all decisions, by when they came
    superseded: dict[str, str] = field(default_factory=dict)  # by what took its place
    came: int = 0


class InMemoryContextGraph(ContextGraph):
    """Keeps stories as long as the object lives; a write is one step of the event loop."""

    def __init__(self) -> None:
        self._stories: dict[str, _Story] = defaultdict(_Story)
        self._decisions: dict[str, Decision] = {}
        self._told: dict[str, ToldDecision] = {}
        self._plans: dict[str, PlanRecord] = {}

    async def record_plan(self, record: PlanRecord) -> int:
        """Keep a plan; see the port."""
        require_relations(record.plan, source=f"plan {record.plan_id}")
        story = self._stories[record.plan.story]
        if record.plan_id not in story.plans:
            story.plans[record.plan_id] = self._plans[record.plan_id] = record
            story.revision += 1
        return story.revision

    async def record_decision(
        self, decision: Decision, recorded_ms: int, told: ToldDecision | None = None
    ) -> int:
        """Keep a decision; see the port."""
        story = self._stories[decision.story]
        if decision.decision_id in self._decisions:
            return story.revision
        self._decisions[decision.decision_id] = decision
        if told is not None:
            self._told[decision.decision_id] = told
        place = (decision.plan_id, decision.task_id)
        earlier = story.current.get(place)
        if earlier is not None:
            story.order.remove(earlier)
            story.superseded[decision.decision_id] = earlier[1]
        entry = (recorded_ms, decision.decision_id)
        story.current[place] = entry
        insort(story.order, entry)
        story.came += 1
        story.recorded[story.came] = entry
        story.revision += 1
        return story.revision

    async def neighbourhood(self, query: NeighbourhoodQuery) -> Neighbourhood:
        """What bears on a task; see the port."""
        story = self._stories.get(query.story)
        if story is None:
            return Neighbourhood(0)
        ancestors = [
            self._decisions[story.current[query.plan_id, task][1]]
            for task in query.ancestors
            if (query.plan_id, task) in story.current
        ]
        others = list(self._others(story, query))
        affecting = list(islice((d for d in others if query.task_id in d.affects), query.limit))
        taken = {d.decision_id for d in affecting}
        siblings = list(
            islice(
                (d for d in others if d.role == query.role and d.decision_id not in taken),
                query.limit,
            )
        )
        taken |= {d.decision_id for d in siblings}
        timeline = islice((d for d in others if d.decision_id not in taken), query.titles)
        return Neighbourhood(
            story.revision,
            self._as_told(ancestors, query),
            self._as_told(affecting, query),
            self._as_told(siblings, query),
            tuple(islice(_earlier(story, query), query.limit)),
            tuple(titled(told) for told in self._as_told(timeline, query)),
        )

    async def decision(self, decision_id: str) -> Decision | None:
        """A decision by id."""
        return self._decisions.get(decision_id)

    async def plan(self, plan_id: str) -> PlanRecord | None:
        """A recorded plan by id."""
        return self._plans.get(plan_id)

    async def revision(self, story: str) -> int:
        """The story's revision; 0 where nothing is known of it."""
        known = self._stories.get(story)
        return known.revision if known else 0

    async def stories(self, *, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Names of stories, in order."""
        return sorted(name for name in self._stories if name > after)[:limit]

    async def records(self, story: str, *, after: str = "", limit: int = 200) -> Sequence[Recorded]:
        """A story's records; see the port."""
        plans, decisions = passed(after)
        known = self._stories.get(story)
        if known is None:
            return []
        found = [
            Recorded(place_of(record, number), record)
            for number, record in enumerate(known.plans.values(), 1)
            if number > plans
        ][:limit]
        later = (item for item in known.recorded.items() if item[0] > decisions)
        for number, (recorded_ms, decision_id) in islice(later, limit - len(found)):
            record = DecisionRecord(self._decisions[decision_id], recorded_ms)
            old = known.superseded.get(decision_id)
            superseded = (old,) if old is not None and old in self._decisions else ()
            found.append(Recorded(place_of(record, number), record, superseded))
        return found

    async def restore(self, records: Sequence[Record]) -> int:
        """Keep records; see the port."""
        story = require_one_story(records)
        for record in records:
            if isinstance(record, PlanRecord):
                require_relations(record.plan, source=f"plan {record.plan_id}")
        for record in records:
            if isinstance(record, PlanRecord):
                await self.record_plan(record)
            else:
                await self.record_decision(record.decision, record.recorded_ms, record.told)
        return await self.revision(story)

    async def prune(self, story: str, before_ms: int) -> int:
        """Drop superseded decisions; see the port."""
        known = self._stories.get(story)
        if known is None:
            return 0
        current = {entry[1] for entry in known.current.values()}
        old = [
            place
            for place, (recorded_ms, decision_id) in known.recorded.items()
            if recorded_ms < before_ms and decision_id not in current
        ]
        for place in old:
            decision_id = known.recorded.pop(place)[1]
            del self._decisions[decision_id]
            self._told.pop(decision_id, None)
        return len(old)

    def _others(self, story: _Story, query: NeighbourhoodQuery) -> Iterator[Decision]:
        for recorded_ms, decision_id in reversed(story.order):
            decision = self._decisions[decision_id]
            if recorded_ms < query.before_ms and decision.plan_id != query.plan_id:
                yield decision

    def _as_told(
        self, decisions: Iterable[Decision], query: NeighbourhoodQuery
    ) -> tuple[ToldDecision, ...]:
        found = []
        for decision in decisions:
            told = self._told.get(decision.decision_id)
            ours = told is not None and told.by == query.told_by
            found.append(told if told is not None and ours else as_recorded(decision))
        return tuple(found)


def _earlier(story: _Story, query: NeighbourhoodQuery) -> Iterator[EarlierPlan]:
    """Plans that were approved before, the latest first."""
    ordered = sorted(story.plans.values(), key=lambda one: (one.approved_ms, one.plan_id))
    for one in reversed(ordered):
        if one.approved_ms >= query.before_ms or one.plan_id == query.plan_id:
            continue
        tasks = one.plan.tasks
        entries = (story.current.get((one.plan_id, task.task_id)) for task in tasks)
        decided = sum(entry is not None and entry[0] < query.before_ms for entry in entries)
        yield EarlierPlan(one.plan_id, one.plan.title, len(tasks), decided)
