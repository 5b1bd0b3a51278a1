"""The context graph on a Neo4j server.

A story's node is held by one transaction at a time, so writers of a story take turns, each read is
of one state, and a revision rises with its write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from fleet_adapters.neo4j import _around, _history
from fleet_adapters.neo4j import _cypher as cypher
from fleet_adapters.neo4j._errors import ReadOnly
from fleet_adapters.neo4j._link import Link, Transaction, Work
from fleet_adapters.neo4j._mapping import (
    decision_row,
    dependency_rows,
    dissent_rows,
    evidence_rows,
    identity,
    kept,
    plan_document,
    plan_summary,
    task_row,
    to_decision,
)
from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery, PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.history import Recorded
from fleet_core.domain.plan import require_relations
from fleet_core.domain.told import ToldDecision
from fleet_core.ports.context_graph import ContextGraph

T = TypeVar("T")

_BATCH = 500  # rows of one UNWIND


class Neo4jContextGraph(ContextGraph):
    """Any number of processes on any number of hosts may share the graph."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def record_plan(self, record: PlanRecord) -> int:
        """Keep a plan; see the port."""
        require_relations(record.plan, source=f"plan {record.plan_id}")
        plan, story = record.plan, identity(record.plan.story)
        place = {"story": story, "plan_id": identity(record.plan_id)}
        tasks = [task_row(number, task) for number, task in enumerate(plan.tasks)]
        document, summary = plan_document(record), plan_summary(record)

        async def work(transaction: Transaction) -> int:
            if await transaction.value(cypher.PLAN_KNOWN, **place):
                return await _held(transaction, story, plan.story)
            revision = await _locked(transaction, story, plan.story)
            if await transaction.value(cypher.PLAN_KNOWN, **place):  # another was faster
                return revision
            revision += 1
            await transaction.run(
                cypher.PLAN,
                **place,
                revision=revision,
                title=kept(plan.title),
                description=kept(plan.description),
                approved_ms=record.approved_ms,
                document=document,
                summary=summary,
            )
            for rows in _batches(tasks):
                await transaction.run(cypher.TASKS, **place, rows=rows)
            for dependencies in _batches(dependency_rows(plan)):
                await transaction.run(cypher.DEPENDENCIES, **place, rows=dependencies)
            return revision

        return await self._link.write(work)

    async def record_decision(
        self, decision: Decision, recorded_ms: int, told: ToldDecision | None = None
    ) -> int:
        """Keep a decision; see the port."""
        row = decision_row(decision, recorded_ms, told)
        story, known = row["story"], {"decision_id": row["decision_id"]}
        place = {"story": story, "plan_id": row["plan_id"], "task_id": row["task_id"]}
        around = {
            "affects": [identity(task_id) for task_id in dict.fromkeys(decision.affects)],
            "cited": [identity(earlier) for earlier in dict.fromkeys(decision.cited)],
            "evidence": evidence_rows(decision),
            "dissent": dissent_rows(decision),
        }

        async def work(transaction: Transaction) -> int:
            if await transaction.value(cypher.DECISION_KNOWN, **known):
                return await _held(transaction, story, decision.story)
            revision = await _locked(transaction, story, decision.story)
            if await transaction.value(cypher.DECISION_KNOWN, **known):  # another was faster
                return revision
            revision += 1
            superseded = [
                found["decision_id"] for found in await transaction.run(cypher.SUPERSEDE, **place)
            ]
            await transaction.run(
                cypher.DECISION, row=row, revision=revision, superseded=superseded, **around
            )
            return revision

        return await self._link.write(work)

    async def neighbourhood(self, query: NeighbourhoodQuery) -> Neighbourhood:
        """What bears on a task; see the port."""
        where = self._link.where

        def found(*, held: bool) -> Work[Neighbourhood]:
            return lambda transaction: _around.neighbourhood(transaction, where, query, held=held)

        try:
            return await self._link.write(found(held=True))
        except ReadOnly:  # nobody writes, so it is of one state in any case
            return await self._link.read(found(held=False))

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


async def _held(transaction: Transaction, story: str, name: str) -> int:
    """The revision once the last write is there in full; 0 where nothing is known of the story."""
    return await transaction.value(cypher.HOLD, story=story, name=kept(name)) or 0


async def _locked(transaction: Transaction, story: str, name: str) -> int:
    """As `_held`, of a story that is made where it is not known."""
    revision: int = await transaction.value(cypher.LOCK, story=story, name=kept(name))
    return revision


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]
