"""The context graph on a Neo4j server.

A story's node is held by one transaction at a time, so writers of a story take turns, each read is
of one state, and a revision rises with its write.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleet_adapters.neo4j import _cypher as cypher
from fleet_adapters.neo4j import _history, _writing
from fleet_adapters.neo4j._around import Around
from fleet_adapters.neo4j._link import Link, Transaction
from fleet_adapters.neo4j._mapping import identity, to_decision
from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery, PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.history import DecisionRecord, Record, Recorded, require_one_story
from fleet_core.domain.plan import require_relations
from fleet_core.domain.told import ToldDecision
from fleet_core.ports.context_graph import ContextGraph


class Neo4jContextGraph(ContextGraph):
    """Any number of processes on any number of hosts may share the graph."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._around = Around(link)

    async def record_plan(self, record: PlanRecord) -> int:
        """Keep a plan; see the port."""
        return await self.restore([record])

    async def record_decision(
        self, decision: Decision, recorded_ms: int, told: ToldDecision | None = None
    ) -> int:
        """Keep a decision; see the port."""
        return await self.restore([DecisionRecord(decision, recorded_ms, told)])

    async def neighbourhood(self, query: NeighbourhoodQuery) -> Neighbourhood:
        """What bears on a task; see the port."""
        return await self._around.neighbourhood(query)

    async def decision(self, decision_id: str) -> Decision | None:
        """A decision by id."""

        async def work(transaction: Transaction) -> Decision | None:
            wanted = [identity(decision_id)]
            rows = await transaction.run(cypher.DOCUMENTS, decision_ids=wanted)
            source = f"{self._link.where}: decision {decision_id}"
            return to_decision(rows[0]["document"], source) if rows else None

        return await self._link.read(work)

    async def plan(self, plan_id: str) -> PlanRecord | None:
        """A recorded plan by id."""
        where = self._link.where
        return await self._link.read(lambda transaction: _history.plan(transaction, where, plan_id))

    async def revision(self, story: str) -> int:
        """The story's revision; 0 where nothing is known of it."""
        return await self._link.read(lambda transaction: _revision(transaction, identity(story)))

    async def stories(self, *, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Names of stories; see the port."""
        return await self._link.read(
            lambda transaction: _history.stories(transaction, after, limit)
        )

    async def records(self, story: str, *, after: str = "", limit: int = 200) -> Sequence[Recorded]:
        """A story's records; see the port."""
        where = self._link.where
        return await self._link.read(
            lambda transaction: _history.records(transaction, where, story, after, limit)
        )

    async def restore(self, records: Sequence[Record]) -> int:
        """Keep records; see the port."""
        story = require_one_story(records)
        for record in records:
            if isinstance(record, PlanRecord):
                require_relations(record.plan, source=f"plan {record.plan_id}")
        if not records:
            return 0
        return await self._link.write(
            lambda transaction: _writing.written(transaction, story, records)
        )

    async def prune(self, story: str, before_ms: int) -> int:
        """Drop superseded decisions, some at a time; see the port."""
        dropped = 0
        while True:
            some = await self._link.write(
                lambda transaction: _history.prune(transaction, story, before_ms)
            )
            dropped += some
            if some < _history.BATCH:
                return dropped


async def _revision(transaction: Transaction, story: str) -> int:
    return await transaction.value(cypher.REVISION, story=story) or 0
