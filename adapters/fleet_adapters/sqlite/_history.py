"""What the file has kept of a story, page by page."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fleet_adapters.sqlite._mapping import load, to_bytes, to_text
from fleet_core.domain.codec import from_data
from fleet_core.domain.context import PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.history import MAX, DecisionRecord, Record, Recorded, passed, place_of
from fleet_core.domain.plan import Plan, Task

_PLAN = (
    "SELECT plan.id, plan_id, approved_ms, title, description, story.name"
    " FROM plan JOIN story ON story.id = plan.story WHERE plan_id = ?"
)
_STORIES = "SELECT name FROM story WHERE name > ? ORDER BY name LIMIT ?"
_PLANS = (
    "SELECT id, plan_id, approved_ms, title, description FROM plan"
    " WHERE story = ? AND id > ? ORDER BY id LIMIT ?"
)
_TASKS = "SELECT document FROM task WHERE plan = ? ORDER BY number"
_DECISIONS = (
    "SELECT id, recorded_ms, document FROM decision WHERE story = ? AND id > ? ORDER BY id LIMIT ?"
)
_SUPERSEDED = "SELECT decision_id FROM decision WHERE superseded_by = ? ORDER BY id"
_OLD = "story = ? AND superseded_by IS NOT NULL AND recorded_ms < ?"


def plan(cursor: sqlite3.Cursor, path: Path, plan_id: str) -> PlanRecord | None:
    """A plan by id, whole."""
    row = cursor.execute(_PLAN, (to_bytes(plan_id),)).fetchone()
    return None if row is None else _plan(cursor, path, to_text(row[5]), row[:5])


def stories(cursor: sqlite3.Cursor, after: str, limit: int) -> list[str]:
    """Names of stories, in the order of their bytes."""
    return [to_text(row[0]) for row in cursor.execute(_STORIES, (to_bytes(after), limit))]


def records(
    cursor: sqlite3.Cursor, path: Path, story: str, after: str, limit: int
) -> list[Recorded]:
    """Plans, then decisions, in the order of their rows; places are `p:ROW` and `d:ROW`."""
    plans, decisions = passed(after)
    row = cursor.execute("SELECT id FROM story WHERE name = ?", (to_bytes(story),)).fetchone()
    if row is None:
        return []
    rows = cursor.execute(_PLANS, (row[0], plans, limit)).fetchall() if plans < MAX else []
    found = [_recorded(_plan(cursor, path, story, plan), plan[0]) for plan in rows]
    wanted = (row[0], decisions, limit - len(found))
    for place, recorded_ms, document in cursor.execute(_DECISIONS, wanted).fetchall():
        decision = from_data(Decision, load(document), source=f"{path}: decision {place}")
        rows = cursor.execute(_SUPERSEDED, (place,)).fetchall()
        superseded = tuple(to_text(row[0]) for row in rows)
        found.append(_recorded(DecisionRecord(decision, recorded_ms), place, superseded))
    return found


def prune(cursor: sqlite3.Cursor, story: str, before_ms: int) -> int:
    """Drop superseded decisions; how many."""
    row = cursor.execute("SELECT id FROM story WHERE name = ?", (to_bytes(story),)).fetchone()
    if row is None:
        return 0
    return cursor.execute(f"DELETE FROM decision WHERE {_OLD}", (row[0], before_ms)).rowcount  # noqa: S608 -- a constant


def _recorded(record: Record, row: int, supersedes: tuple[str, ...] = ()) -> Recorded:
    return Recorded(place_of(record, row), record, supersedes)


def _plan(
    cursor: sqlite3.Cursor, path: Path, story: str, row: tuple[int, bytes, int, bytes, bytes]
) -> PlanRecord:
    number, plan_id, approved_ms, title, description = row
    tasks = tuple(
        from_data(Task, load(document), source=f"{path}: plan {number}")
        for (document,) in cursor.execute(_TASKS, (number,)).fetchall()
    )
    plan = Plan(story, to_text(title), tasks, to_text(description))
    return PlanRecord(to_text(plan_id), plan, approved_ms)
