"""What the file knows around a task.

Every part is a range of one covering index, and then the rows of what is told; so its price depends
on how much it returns and not on how much is kept.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from fleet_adapters.sqlite._mapping import TEXT, load, to_bytes, to_text
from fleet_core.domain.codec import from_data
from fleet_core.domain.context import EarlierPlan, Neighbourhood, NeighbourhoodQuery
from fleet_core.domain.decision import Decision, DecisionStanding
from fleet_core.domain.told import ToldDecision, as_recorded, titled

ANCESTOR = "SELECT id FROM decision WHERE plan_id = ? AND task_id = ? AND superseded_by IS NULL"
AFFECTING = (
    "SELECT decision FROM affects WHERE story = ? AND task_id = ? AND recorded_ms < ?"
    " AND plan_id <> ? ORDER BY recorded_ms DESC, decision_id DESC LIMIT ?"
)
SIBLINGS = (
    "SELECT id FROM decision WHERE story = ? AND role = ? AND recorded_ms < ? AND plan_id <> ?"
    " AND superseded_by IS NULL ORDER BY recorded_ms DESC, decision_id DESC LIMIT ?"
)
TIMELINE = (
    "SELECT id FROM decision WHERE story = ? AND recorded_ms < ? AND plan_id <> ?"
    " AND superseded_by IS NULL ORDER BY recorded_ms DESC, decision_id DESC LIMIT ?"
)
_PLANS = (
    "SELECT plan_id, title, tasks, (SELECT count(*) FROM decision"
    " WHERE decision.plan_id = plan.plan_id AND superseded_by IS NULL AND recorded_ms < ?)"
    " FROM plan WHERE story = ? AND approved_ms < ? AND plan_id <> ?"
    " ORDER BY approved_ms DESC, plan_id DESC LIMIT ?"
)
_WHOLE = (
    "SELECT decision, decision_id, task_id, title, standing, rationale, text FROM told"
    " WHERE decision IN (SELECT value FROM json_each(?)) AND by = ?"
)
_TITLES = (
    "SELECT decision, decision_id, task_id, title, standing, x'', x'' FROM told"
    " WHERE decision IN (SELECT value FROM json_each(?)) AND by = ?"
)
_DOCUMENT = "SELECT document FROM decision WHERE id = ?"
_STANDINGS = {standing.value: standing for standing in DecisionStanding}


def story(cursor: sqlite3.Cursor, name: bytes) -> tuple[int, int]:
    """A story's row and revision; 0 and 0 where nothing is known of it."""
    row = cursor.execute("SELECT id, revision FROM story WHERE name = ?", (name,)).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def told_row(decision: int | None, told: ToldDecision) -> tuple[object, ...]:
    """The row of what is told of a decision."""
    return (
        decision,
        to_bytes(told.by),
        to_bytes(told.decision_id),
        to_bytes(told.task_id),
        told.standing.value,
        to_bytes(told.title),
        to_bytes(told.rationale),
        to_bytes(told.text),
    )


def neighbourhood(cursor: sqlite3.Cursor, path: Path, query: NeighbourhoodQuery) -> Neighbourhood:
    """What bears on a task; see the port."""
    number, revision = story(cursor, to_bytes(query.story))
    if not revision:
        return Neighbourhood(0)
    plan, task, before = to_bytes(query.plan_id), to_bytes(query.task_id), query.before_ms
    ancestors = [
        found
        for ancestor in query.ancestors
        for found in _ids(cursor, ANCESTOR, (plan, to_bytes(ancestor)))
    ]
    affecting = _ids(cursor, AFFECTING, (number, task, before, plan, query.limit))
    taken = set(affecting)
    role = to_bytes(query.role)
    siblings = _rest(cursor, SIBLINGS, (number, role, before, plan), taken, query.limit)
    taken.update(siblings)
    timeline = _rest(cursor, TIMELINE, (number, before, plan), taken, query.limit)
    plans = cursor.execute(_PLANS, (before, number, before, plan, query.limit)).fetchall()
    found = _told(cursor, path, _WHOLE, [*ancestors, *affecting, *siblings], query.told_by)
    names = _told(cursor, path, _TITLES, timeline, query.told_by)
    return Neighbourhood(
        revision,
        tuple(found[one] for one in ancestors),
        tuple(found[one] for one in affecting),
        tuple(found[one] for one in siblings),
        tuple(EarlierPlan(to_text(row[0]), to_text(row[1]), row[2], row[3]) for row in plans),
        tuple(names[one] if names[one].by else titled(names[one]) for one in timeline),
    )


def _ids(cursor: sqlite3.Cursor, query: str, values: tuple[object, ...]) -> list[int]:
    return [row[0] for row in cursor.execute(query, values).fetchall()]


def _rest(
    cursor: sqlite3.Cursor, query: str, values: tuple[object, ...], taken: set[int], limit: int
) -> list[int]:
    found = _ids(cursor, query, (*values, limit + len(taken)))
    return [number for number in found if number not in taken][:limit]


def _told(
    cursor: sqlite3.Cursor, path: Path, query: str, numbers: Iterable[int], by: str
) -> dict[int, ToldDecision]:
    """What is told of decisions by their rows; as recorded, where it is not told so."""
    wanted = list(numbers)
    rows = cursor.execute(query, (json.dumps(wanted), to_bytes(by))).fetchall()
    found = {
        number: ToldDecision(
            decision_id.decode(*TEXT),
            task_id.decode(*TEXT),
            title.decode(*TEXT),
            _STANDINGS[standing],
            rationale.decode(*TEXT),
            text.decode(*TEXT),
            by,
        )
        for number, decision_id, task_id, title, standing, rationale, text in rows
    }
    for number in wanted:
        if number not in found:
            (document,) = cursor.execute(_DOCUMENT, (number,)).fetchone()
            source = f"{path}: decision {number}"
            found[number] = as_recorded(from_data(Decision, load(document), source=source))
    return found
