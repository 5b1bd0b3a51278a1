"""What the server knows around a task, by one statement; by a second one what is told otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from fleet_adapters.neo4j import _cypher as cypher
from fleet_adapters.neo4j._link import Transaction
from fleet_adapters.neo4j._mapping import identity, kept, to_decision, to_earlier, to_told
from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery
from fleet_core.domain.told import ToldDecision, as_recorded, titled
from fleet_core.errors import StoreError


async def neighbourhood(
    transaction: Transaction, where: str, query: NeighbourhoodQuery, *, held: bool
) -> Neighbourhood:
    """What bears on a task; see the port.

    Args:
        transaction: it is read in.
        where: the server, for messages.
        query: what is asked.
        held: whether to hold the story, so that it is of one state while others write.
    """
    rows = await transaction.run(
        cypher.NEIGHBOURHOOD_HELD if held else cypher.NEIGHBOURHOOD,
        story=identity(query.story),
        name=kept(query.story),
        plan_id=identity(query.plan_id),
        task_id=identity(query.task_id),
        ancestors=[identity(ancestor) for ancestor in query.ancestors],
        role=identity(query.role),
        before_ms=query.before_ms,
        told_by=kept(query.told_by),
        limit=query.limit,
    )
    if not rows:
        return Neighbourhood(0)
    (row,) = rows
    whole = [row["ancestors"], row["affecting"], row["siblings"]]
    others = (entry[0] for entry in chain(*whole, row["timeline"]) if entry[1] is None)
    recorded = await _as_recorded(transaction, where, others)
    by = query.told_by
    ancestors, affecting, siblings = (
        tuple(
            recorded[found] if head is None else to_told(head, rest, by)
            for found, head, rest in part
        )
        for part in whole
    )
    timeline = (
        titled(recorded[found]) if head is None else to_told(head, None, by)
        for found, head in row["timeline"]
    )
    return Neighbourhood(
        row["revision"],
        ancestors,
        affecting,
        siblings,
        tuple(
            to_earlier(summary, document, decided, f"{where}: a plan")
            for summary, document, decided in row["plans"]
        ),
        tuple(timeline),
    )


async def _as_recorded(
    transaction: Transaction, where: str, decision_ids: Iterable[str]
) -> Mapping[str, ToldDecision]:
    wanted = list(decision_ids)
    if not wanted:
        return {}
    found: dict[str, Any] = {}
    for row in await transaction.run(cypher.DOCUMENTS, decision_ids=wanted):
        decision_id = row["decision_id"]
        decision = to_decision(row["document"], f"{where}: decision {decision_id}")
        found[decision_id] = as_recorded(decision)
    if lacking := [decision_id for decision_id in wanted if decision_id not in found]:
        raise StoreError(
            f"{where} has lost the decision {lacking[0]}",
            "look at who else writes to this database",
        )
    return found
