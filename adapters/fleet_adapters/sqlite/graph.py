"""The context graph in an SQLite file.

Every part of a neighbourhood is a range of one covering index, so its price depends on how much
it returns and not on how much is kept. Decisions never change; those read last are kept decoded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from fleet_adapters.sqlite import _history
from fleet_adapters.sqlite._file import File
from fleet_adapters.sqlite._mapping import dump, load, to_bytes
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery, PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.history import Recorded
from fleet_core.domain.plan import require_relations
from fleet_core.ports.context_graph import ContextGraph

T = TypeVar("T")

_REMEMBERED = 512
_RISE = (
    "INSERT INTO story(name, revision) VALUES (?, 1)"
    " ON CONFLICT(name) DO UPDATE SET revision = revision + 1"
)
_ANCESTOR = "SELECT id FROM decision WHERE plan_id = ? AND task_id = ? AND superseded_by IS NULL"
_AFFECTING = (
    "SELECT decision FROM affects WHERE story = ? AND task_id = ? AND recorded_ms < ?"
    " AND plan_id <> ? ORDER BY recorded_ms DESC, decision_id DESC"
)
_SIBLINGS = (
    "SELECT id FROM decision WHERE story = ? AND role = ? AND recorded_ms < ? AND plan_id <> ?"
    " AND superseded_by IS NULL ORDER BY recorded_ms DESC, decision_id DESC LIMIT ?"
)
_TIMELINE = (
    "SELECT id FROM decision WHERE story = ? AND recorded_ms < ? AND plan_id <> ?"
    " AND superseded_by IS NULL ORDER BY recorded_ms DESC, decision_id DESC LIMIT ?"
)


class SqliteContextGraph(ContextGraph):
    """Several processes of one host may share the graph."""

    def __init__(self, file: File) -> None:
        self._writer = file.writer
        self._path = file.path
        self._decoded: dict[int, Decision] = {}

    async def record_plan(self, record: PlanRecord) -> int:
        """Keep a plan; see the port."""
        require_relations(record.plan, source=f"plan {record.plan_id}")
        return await self._writer.submit(lambda cursor: _record_plan(cursor, record))

    async def record_decision(self, decision: Decision, recorded_ms: int) -> int:
        """Keep a decision; see the port."""
        document = dump(to_data(decision))
        return await self._writer.submit(
            lambda cursor: _record_decision(cursor, decision, recorded_ms, document)
        )

    async def neighbourhood(self, query: NeighbourhoodQuery) -> Neighbourhood:
        """What bears on a task; see the port."""
        return await self._writer.read(
            _in_snapshot(lambda cursor: self._neighbourhood(cursor, query))
        )

    async def decision(self, decision_id: str) -> Decision | None:
        """A decision by id."""

        def find(cursor: sqlite3.Cursor) -> Decision | None:
            row = cursor.execute(
                "SELECT id FROM decision WHERE decision_id = ?", (to_bytes(decision_id),)
            ).fetchone()
            return self._decisions(cursor, [row[0]])[0] if row else None

        return await self._writer.read(_in_snapshot(find))

    async def plan(self, plan_id: str) -> PlanRecord | None:
        """A recorded plan by id."""
        return await self._writer.read(
            _in_snapshot(lambda cursor: _history.plan(cursor, self._path, plan_id))
        )

    async def revision(self, story: str) -> int:
        """The story's revision; 0 where nothing is known of it."""
        return await self._writer.read(lambda cursor: _story(cursor, to_bytes(story))[1])

    async def stories(self, *, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Names of stories; see the port."""
        return await self._writer.read(lambda cursor: _history.stories(cursor, after, limit))

    async def records(self, story: str, *, after: str = "", limit: int = 200) -> Sequence[Recorded]:
        """A story's records; see the port."""
        return await self._writer.read(
            _in_snapshot(lambda cursor: _history.records(cursor, self._path, story, after, limit))
        )

    async def prune(self, story: str, before_ms: int) -> int:
        """Drop superseded decisions; see the port."""
        dropped = await self._writer.submit(lambda cursor: _history.prune(cursor, story, before_ms))
        self._decoded.clear()
        return dropped

    def _neighbourhood(self, cursor: sqlite3.Cursor, query: NeighbourhoodQuery) -> Neighbourhood:
        story, revision = _story(cursor, to_bytes(query.story))
        plan, task, before = to_bytes(query.plan_id), to_bytes(query.task_id), query.before_ms
        if not revision:
            return Neighbourhood(0)
        ancestors = [
            found
            for ancestor in query.ancestors
            for found in _ids(cursor, _ANCESTOR, (plan, to_bytes(ancestor)))
        ]
        affecting = _ids(cursor, _AFFECTING, (story, task, before, plan))
        taken = set(affecting)
        siblings = _rest(
            cursor, _SIBLINGS, (story, to_bytes(query.role), before, plan), taken, query.limit
        )
        taken.update(siblings)
        timeline = _rest(cursor, _TIMELINE, (story, before, plan), taken, query.limit)
        return Neighbourhood(
            revision,
            self._decisions(cursor, ancestors),
            self._decisions(cursor, affecting),
            self._decisions(cursor, siblings),
            self._decisions(cursor, timeline),
        )

    def _decisions(self, cursor: sqlite3.Cursor, ids: Iterable[int]) -> tuple[Decision, ...]:
        found = []
        for number in ids:
            decision = self._decoded.get(number)
            if decision is None:
                row = cursor.execute(
                    "SELECT document FROM decision WHERE id = ?", (number,)
                ).fetchone()
                decision = from_data(Decision, load(row[0]), source=f"{self._path}: decision")
                if len(self._decoded) >= _REMEMBERED:
                    del self._decoded[next(iter(self._decoded))]
                self._decoded[number] = decision
            found.append(decision)
        return tuple(found)


def _in_snapshot(query: Callable[[sqlite3.Cursor], T]) -> Callable[[sqlite3.Cursor], T]:
    def run(cursor: sqlite3.Cursor) -> T:
        cursor.execute("BEGIN")
        try:
            return query(cursor)
        finally:
            cursor.execute("COMMIT")

    return run


def _ids(cursor: sqlite3.Cursor, query: str, values: tuple[object, ...]) -> list[int]:
    return [row[0] for row in cursor.execute(query, values).fetchall()]


def _rest(
    cursor: sqlite3.Cursor, query: str, values: tuple[object, ...], taken: set[int], limit: int
) -> list[int]:
    found = _ids(cursor, query, (*values, limit + len(taken)))
    return [number for number in found if number not in taken][:limit]


def _story(cursor: sqlite3.Cursor, name: bytes) -> tuple[int, int]:
    row = cursor.execute("SELECT id, revision FROM story WHERE name = ?", (name,)).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def _risen(cursor: sqlite3.Cursor, name: bytes) -> tuple[int, int]:
    cursor.execute(_RISE, (name,))
    return _story(cursor, name)


def _record_plan(cursor: sqlite3.Cursor, record: PlanRecord) -> int:
    plan, plan_id, name = record.plan, to_bytes(record.plan_id), to_bytes(record.plan.story)
    if cursor.execute("SELECT 1 FROM plan WHERE plan_id = ?", (plan_id,)).fetchone():
        return _story(cursor, name)[1]
    story, revision = _risen(cursor, name)
    cursor.execute(
        "INSERT INTO plan(plan_id, story, approved_ms, title, description) VALUES (?, ?, ?, ?, ?)",
        (plan_id, story, record.approved_ms, to_bytes(plan.title), to_bytes(plan.description)),
    )
    row = cursor.lastrowid
    for number, task in enumerate(plan.tasks):
        task_id = to_bytes(task.task_id)
        cursor.execute(
            "INSERT INTO task(plan, task_id, number, role, title, document)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (row, task_id, number, to_bytes(task.role), to_bytes(task.title), dump(to_data(task))),
        )
        for dependency in dict.fromkeys(task.depends_on):
            cursor.execute(
                "INSERT INTO depends_on(plan, task_id, dependency) VALUES (?, ?, ?)",
                (row, task_id, to_bytes(dependency)),
            )
    return revision


def _record_decision(
    cursor: sqlite3.Cursor, decision: Decision, recorded_ms: int, document: bytes
) -> int:
    decision_id, name = to_bytes(decision.decision_id), to_bytes(decision.story)
    plan, task = to_bytes(decision.plan_id), to_bytes(decision.task_id)
    if cursor.execute("SELECT 1 FROM decision WHERE decision_id = ?", (decision_id,)).fetchone():
        return _story(cursor, name)[1]
    story, revision = _risen(cursor, name)
    earlier = _ids(cursor, _ANCESTOR, (plan, task))
    cursor.execute(
        "INSERT INTO decision(decision_id, story, plan_id, task_id, role, recorded_ms, document)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (decision_id, story, plan, task, to_bytes(decision.role), recorded_ms, document),
    )
    row = cursor.lastrowid
    for superseded in earlier:
        cursor.execute("UPDATE decision SET superseded_by = ? WHERE id = ?", (row, superseded))
        cursor.execute("DELETE FROM affects WHERE decision = ?", (superseded,))
    for affected in dict.fromkeys(decision.affects):
        cursor.execute(
            "INSERT INTO affects(story, task_id, recorded_ms, decision_id, plan_id, decision)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (story, to_bytes(affected), recorded_ms, decision_id, plan, row),
        )
    return revision
