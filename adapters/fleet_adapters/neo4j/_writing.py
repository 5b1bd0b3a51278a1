"""Records into a story, as many statements for some hundred of them as for one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, LiteralString, TypeVar

from fleet_adapters.neo4j import _cypher as cypher
from fleet_adapters.neo4j._link import Transaction
from fleet_adapters.neo4j._mapping import (
    cited_rows,
    decision_row,
    dependency_rows,
    identity,
    kept,
    plan_row,
)
from fleet_core.domain.context import PlanRecord
from fleet_core.domain.history import DecisionRecord, Record

R = TypeVar("R")

_BATCH = 500  # rows of one UNWIND


async def written(transaction: Transaction, name: str, records: Sequence[Record]) -> int:
    """Keep what is not known yet, in its order; the revision that the story has then."""
    story = identity(name)
    plans, decisions = _each_once(records)
    (held,) = await transaction.run(
        cypher.LOCK,
        story=story,
        name=kept(name),
        plan_ids=list(plans),
        decision_ids=list(decisions),
    )
    new_plans = _but(plans, held["plans"])
    new_decisions = _but(decisions, held["decisions"])
    revision: int = held["revision"]
    new = {id(one) for one in (*new_plans, *new_decisions)}
    numbers: dict[int, int] = {}
    for record in records:
        if id(record) in new and id(record) not in numbers:
            numbers[id(record)] = revision = revision + 1
    place = {"story": story, "revision": revision}
    await _plans(transaction, place, new_plans, numbers)
    for some in _apart(new_decisions):
        await _decisions(transaction, place, some, numbers)
    cited = [row for record in new_decisions for row in cited_rows(record.decision)]
    await _rows(transaction, cypher.WRITE_CITED, cited)
    return revision


def _but(records: Mapping[str, R], known: Sequence[str]) -> list[R]:
    left = set(records).difference(known)
    return [record for found, record in records.items() if found in left]


def _each_once(
    records: Sequence[Record],
) -> tuple[dict[str, PlanRecord], dict[str, DecisionRecord]]:
    """The first record of each plan and of each decision, by how it is found."""
    plans: dict[str, PlanRecord] = {}
    decisions: dict[str, DecisionRecord] = {}
    for record in records:
        if isinstance(record, PlanRecord):
            plans.setdefault(identity(record.plan_id), record)
        else:
            decisions.setdefault(identity(record.decision.decision_id), record)
    return plans, decisions


async def _plans(
    transaction: Transaction,
    place: Mapping[str, Any],
    records: Sequence[PlanRecord],
    numbers: Mapping[int, int],
) -> None:
    rows = [plan_row(record, numbers[id(record)]) for record in records]
    dependencies = [row for record in records for row in dependency_rows(record)]
    await _rows(transaction, cypher.WRITE_PLANS, rows, **place)
    await _rows(transaction, cypher.WRITE_DEPENDENCIES, dependencies, story=place["story"])


async def _decisions(
    transaction: Transaction,
    place: Mapping[str, Any],
    records: Sequence[DecisionRecord],
    numbers: Mapping[int, int],
) -> None:
    """Keep decisions of different tasks; each takes the place of the task's current one."""
    rows = [decision_row(record) for record in records]
    superseded: dict[tuple[str, str], list[str]] = {}
    places = [{"plan_id": r["node"]["plan_id"], "task_id": r["node"]["task_id"]} for r in rows]
    for found in await transaction.run(cypher.SUPERSEDE, story=place["story"], places=places):
        task = (found["plan_id"], found["task_id"])
        superseded.setdefault(task, []).append(found["decision_id"])
    for row, record in zip(rows, records, strict=True):
        node = row["node"]
        node["revision"] = numbers[id(record)]
        row["superseded"] = superseded.get((node["plan_id"], node["task_id"]), [])
    await _rows(transaction, cypher.WRITE_DECISIONS, rows, **place)


def _apart(records: Iterable[DecisionRecord]) -> Iterator[list[DecisionRecord]]:
    """The records in their order, parted where one is of a task that the part has already."""
    part: list[DecisionRecord] = []
    places: set[tuple[str, str]] = set()
    for record in records:
        place = (record.decision.plan_id, record.decision.task_id)
        if place in places or len(part) == _BATCH:
            yield part
            part, places = [], set()
        part.append(record)
        places.add(place)
    if part:
        yield part


async def _rows(
    transaction: Transaction, statement: LiteralString, rows: Sequence[Any], **values: Any
) -> None:
    for start in range(0, len(rows), _BATCH):
        await transaction.run(statement, rows=rows[start : start + _BATCH], **values)
