"""What the server has kept of a story, page by page; their numbers are revisions."""

from __future__ import annotations

from fleet_adapters.neo4j import _cypher as cypher
from fleet_adapters.neo4j._link import Transaction
from fleet_adapters.neo4j._mapping import HASHED, identity, shown, to_decision, to_plan
from fleet_core.domain.context import PlanRecord
from fleet_core.domain.history import MAX, DecisionRecord, Recorded, passed, place_of

BATCH = 1000  # decisions dropped by one statement


async def plan(transaction: Transaction, where: str, plan_id: str) -> PlanRecord | None:
    """A plan by id, whole."""
    found = await transaction.value(cypher.PLAN_DOCUMENT, plan_id=identity(plan_id))
    return None if found is None else to_plan(found, f"{where}: plan {plan_id}")


async def stories(transaction: Transaction, after: str, limit: int) -> list[str]:
    """Names of stories, in the order of how they are found."""
    rows = await transaction.run(cypher.STORIES, after=identity(after), limit=limit)
    return [shown(row["name"]) for row in rows]


async def records(
    transaction: Transaction, where: str, story: str, after: str, limit: int
) -> list[Recorded]:
    """Plans, then decisions, in the order in which they raised the story's revision."""
    plans, decisions = passed(after)
    asked = {"story": identity(story), "limit": limit}
    found: list[Recorded] = []
    if plans < MAX:
        for row in await transaction.run(cypher.PLANS, **asked, after=plans):
            plan = to_plan(row["document"], f"{where}: plan {row['revision']} of {story!r}")
            found.append(Recorded(place_of(plan, row["revision"]), plan))
    asked["limit"] = limit - len(found)
    for row in await transaction.run(cypher.DECISIONS, **asked, after=decisions, hashed=HASHED):
        at = f"{where}: decision {row['revision']} of {story!r}"
        record = DecisionRecord(to_decision(row["document"], at), row["recorded_ms"])
        superseded = tuple(
            shown(decision_id) if document is None else to_decision(document, at).decision_id
            for decision_id, document in row["superseded"]
        )
        found.append(Recorded(place_of(record, row["revision"]), record, superseded))
    return found


async def prune(transaction: Transaction, story: str, before_ms: int) -> int:
    """Drop up to `BATCH` superseded decisions; how many there were."""
    asked = {"story": identity(story), "before_ms": before_ms, "limit": BATCH}
    return int(await transaction.value(cypher.PRUNE, **asked) or 0)
