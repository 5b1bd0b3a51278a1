"""The context graph in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from fleet_adapters.sqlite import _around, _history
from fleet_adapters.sqlite._file import File
from fleet_adapters.sqlite._mapping import dump, load, to_bytes
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery, PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.history import DecisionRecord, Record, Recorded, require_one_story
from fleet_core.domain.plan import require_relations
from fleet_core.domain.told import ToldDecision
from fleet_core.ports.context_graph import ContextGraph

T = TypeVar("T")

_RISE = (
    "INSERT INTO story(name, revision) VALUES (?, 1)"
    " ON CONFLICT(name) DO UPDATE SET revision = revision + 1"
)
_CURRENT = "SELECT id FROM decision WHERE plan_id = ? AND task_id = ? AND superseded_by IS NULL"
_TELL = (
    "INSERT INTO told(decision, by, decision_id, task_id, standing, title, rationale, text)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class SqliteContextGraph(ContextGraph):
    """Several processes of one host may share the graph."""

    def __init__(self, file: File) -> None:
        self._writer = file.writer
        self._path = file.path
        self._around = _around.Around(file.path)

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
        return await self._writer.read(
            _in_snapshot(lambda cursor: self._around.neighbourhood(cursor, query))
        )

    async def decision(self, decision_id: str) -> Decision | None:
        """A decision by id."""

        def find(cursor: sqlite3.Cursor) -> Decision | None:
            row = cursor.execute(
                "SELECT document FROM decision WHERE decision_id = ?", (to_bytes(decision_id),)
            ).fetchone()
            source = f"{self._path}: decision {decision_id}"
            return from_data(Decision, load(row[0]), source=source) if row else None

        return await self._writer.read(_in_snapshot(find))

    async def plan(self, plan_id: str) -> PlanRecord | None:
        """A recorded plan by id."""
        return await self._writer.read(
            _in_snapshot(lambda cursor: _history.plan(cursor, self._path, plan_id))
        )

    async def revision(self, story: str) -> int:
        """The story's revision; 0 where nothing is known of it."""
        return await self._writer.read(lambda cursor: _around.story(cursor, to_bytes(story))[1])

    async def stories(self, *, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Names of stories; see the port."""
        return await self._writer.read(lambda cursor: _history.stories(cursor, after, limit))

    async def records(self, story: str, *, after: str = "", limit: int = 200) -> Sequence[Recorded]:
        """A story's records; see the port."""
        return await self._writer.read(
            _in_snapshot(lambda cursor: _history.records(cursor, self._path, story, after, limit))
        )

    async def restore(self, records: Sequence[Record]) -> int:
        """Keep records; see the port."""
        story = require_one_story(records)
        writes = [_written(record) for record in records]

        def write(cursor: sqlite3.Cursor) -> int:
            for one in writes:
                one(cursor)
            return _around.story(cursor, to_bytes(story))[1]

        return await self._writer.submit(write)

    async def prune(self, story: str, before_ms: int) -> int:
        """Drop superseded decisions; see the port."""
        return await self._writer.submit(lambda cursor: _history.prune(cursor, story, before_ms))


def _in_snapshot(query: Callable[[sqlite3.Cursor], T]) -> Callable[[sqlite3.Cursor], T]:
    def run(cursor: sqlite3.Cursor) -> T:
        cursor.execute("BEGIN")
        try:
            return query(cursor)
        finally:
            cursor.execute("COMMIT")

    return run


def _written(record: Record) -> Callable[[sqlite3.Cursor], None]:
    """What writes a record; what can be done beforehand is done."""
    if isinstance(record, PlanRecord):
        require_relations(record.plan, source=f"plan {record.plan_id}")
        return lambda cursor: _record_plan(cursor, record)
    document = dump(to_data(record.decision))
    return lambda cursor: _record_decision(cursor, record, document)


def _risen(cursor: sqlite3.Cursor, name: bytes) -> int:
    cursor.execute(_RISE, (name,))
    return _around.story(cursor, name)[0]


def _record_plan(cursor: sqlite3.Cursor, record: PlanRecord) -> None:
    plan, plan_id, name = record.plan, to_bytes(record.plan_id), to_bytes(record.plan.story)
    if cursor.execute("SELECT 1 FROM plan WHERE plan_id = ?", (plan_id,)).fetchone():
        return
    story = _risen(cursor, name)
    cursor.execute(
        "INSERT INTO plan(plan_id, story, approved_ms, title, description, tasks)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            plan_id,
            story,
            record.approved_ms,
            to_bytes(plan.title),
            to_bytes(plan.description),
            len(plan.tasks),
        ),
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


def _record_decision(cursor: sqlite3.Cursor, record: DecisionRecord, document: bytes) -> None:
    decision, recorded_ms, told = record.decision, record.recorded_ms, record.told
    decision_id, name = to_bytes(decision.decision_id), to_bytes(decision.story)
    plan, task = to_bytes(decision.plan_id), to_bytes(decision.task_id)
    if cursor.execute("SELECT 1 FROM decision WHERE decision_id = ?", (decision_id,)).fetchone():
        return
    story = _risen(cursor, name)
    earlier = [row[0] for row in cursor.execute(_CURRENT, (plan, task)).fetchall()]
    cursor.execute(
        "INSERT INTO decision(decision_id, story, plan_id, task_id, role, recorded_ms, document)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (decision_id, story, plan, task, to_bytes(decision.role), recorded_ms, document),
    )
    row = cursor.lastrowid
    if told is not None:
        cursor.execute(_TELL, _around.told_row(row, told))
    for superseded in earlier:
        cursor.execute("UPDATE decision SET superseded_by = ? WHERE id = ?", (row, superseded))
        cursor.execute("DELETE FROM affects WHERE decision = ?", (superseded,))
        cursor.execute("DELETE FROM told WHERE decision = ?", (superseded,))
    for affected in dict.fromkeys(decision.affects):
        cursor.execute(
            "INSERT INTO affects(story, task_id, recorded_ms, decision_id, plan_id, decision)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (story, to_bytes(affected), recorded_ms, decision_id, plan, row),
        )
