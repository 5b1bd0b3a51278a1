"""Constraints and indexes, and the version of what is kept; made when the graph is opened.

Each migration is a list of statements that may be run again; the version is written after them, so
one that was cut short, or run by two at once, is run again from its beginning.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, LiteralString

from fleet_adapters.neo4j._errors import AlreadyMade
from fleet_adapters.neo4j._link import Link, Transaction
from fleet_core.errors import StoreError

_INDEXES_S = 300.0

_VERSION: LiteralString = "MATCH (kept:FleetSchema {id: 'graph'}) RETURN kept.version AS version"
_RISE: LiteralString = """
MERGE (kept:FleetSchema {id: 'graph'})
SET kept.version = CASE WHEN coalesce(kept.version, 0) < $version
  THEN $version ELSE kept.version END
"""
_AWAIT: LiteralString = "CALL db.awaitIndexes($seconds)"

_FIRST: tuple[LiteralString, ...] = (
    """CREATE CONSTRAINT fleet_schema IF NOT EXISTS
       FOR (kept:FleetSchema) REQUIRE kept.id IS UNIQUE""",
    """CREATE CONSTRAINT fleet_story IF NOT EXISTS
       FOR (story:Story) REQUIRE story.story IS UNIQUE""",
    """CREATE CONSTRAINT fleet_plan IF NOT EXISTS
       FOR (plan:Plan) REQUIRE (plan.story, plan.plan_id) IS UNIQUE""",
    """CREATE CONSTRAINT fleet_task IF NOT EXISTS
       FOR (task:Task) REQUIRE (task.story, task.plan_id, task.task_id) IS UNIQUE""",
    """CREATE CONSTRAINT fleet_agent IF NOT EXISTS
       FOR (agent:Agent) REQUIRE (agent.story, agent.agent_id) IS UNIQUE""",
    """CREATE CONSTRAINT fleet_decision IF NOT EXISTS
       FOR (decision:Decision) REQUIRE decision.decision_id IS UNIQUE""",
    """CREATE CONSTRAINT fleet_current IF NOT EXISTS
       FOR (decision:Decision)
       REQUIRE (decision.current_story, decision.plan_id, decision.task_id) IS UNIQUE""",
    """CREATE INDEX fleet_role IF NOT EXISTS FOR (decision:Decision) ON
       (decision.current_story, decision.role, decision.recorded_ms, decision.decision_id)""",
    """CREATE INDEX fleet_timeline IF NOT EXISTS FOR (decision:Decision) ON
       (decision.current_story, decision.recorded_ms, decision.decision_id)""",
    """CREATE INDEX fleet_plan_id IF NOT EXISTS FOR (plan:Plan) ON (plan.plan_id)""",
    """CREATE INDEX fleet_plans IF NOT EXISTS FOR (plan:Plan) ON (plan.story, plan.revision)""",
    """CREATE INDEX fleet_decisions IF NOT EXISTS FOR (decision:Decision) ON
       (decision.story, decision.revision)""",
    """CREATE INDEX fleet_affects IF NOT EXISTS FOR ()-[affects:AFFECTS]-() ON
       (affects.current_story, affects.task_id, affects.recorded_ms, affects.decision_id)""",
)
_SECOND: tuple[LiteralString, ...] = (
    """CREATE INDEX fleet_approved IF NOT EXISTS FOR (plan:Plan) ON
       (plan.story, plan.approved_ms, plan.plan_id)""",
)
MIGRATIONS: tuple[tuple[LiteralString, ...], ...] = (_FIRST, _SECOND)
"""By the version that they lead away from; the first makes an empty database ours."""
VERSION = len(MIGRATIONS)


async def prepared(link: Link) -> None:
    """Bring the database to this program's version, where it is older or empty.

    Raises:
        StoreError: it is of a later version, or refuses.
        Unavailable: the server does not answer.
    """
    version = await link.read(_version)
    kept = 0 if version is None else version
    if not isinstance(kept, int) or not 0 <= kept <= VERSION:
        raise StoreError(
            f"the graph on {link.where} has schema version {version!r}, this program reads"
            f" {VERSION}",
            "set database to another one, or use the version of fleet that wrote it",
        )
    for reached, statements in enumerate(MIGRATIONS[kept:], kept + 1):
        for statement in statements:
            with suppress(AlreadyMade):
                await link.write(_one(statement), _INDEXES_S)
        await link.write(_one(_AWAIT, seconds=int(_INDEXES_S)), _INDEXES_S)
        await link.write(_one(_RISE, version=reached))


async def _version(transaction: Transaction) -> Any:
    return await transaction.value(_VERSION)


def _one(text: LiteralString, **values: Any) -> Any:
    async def work(transaction: Transaction) -> None:
        await transaction.run(text, **values)

    return work
