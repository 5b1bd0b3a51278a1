"""What the file knows around a task.

Every part is a range of one covering index, and then the rows of what is told and was not told
lately; so its price depends on how much it returns and not on how much is kept.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from fleet_adapters.sqlite._mapping import TEXT, load, to_bytes, to_text
from fleet_core.domain.codec import from_data
from fleet_core.domain.context import EarlierPlan, Neighbourhood, NeighbourhoodQuery
from fleet_core.domain.decision import Decision, DecisionStanding
from fleet_core.domain.told import ToldDecision, as_recorded, titled
from fleet_core.recent import Recent

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
_CHARACTERS = 32_000_000  # of what is kept, and as many of titles
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


class Around:
    """Reads neighbourhoods; what it told last is kept, since a decision never changes.

    It is kept by the number of its row, which no other decision is given: only what is superseded
    is pruned, and that is never the newest row.

    Args:
        path: the file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: dict[tuple[str, bool], Recent[int, ToldDecision]] = {}

    def neighbourhood(self, cursor: sqlite3.Cursor, query: NeighbourhoodQuery) -> Neighbourhood:
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
        timeline = _rest(cursor, TIMELINE, (number, before, plan), taken, query.titles)
        plans = cursor.execute(_PLANS, (before, number, before, plan, query.limit)).fetchall()
        by = query.told_by
        whole = iter(self._tell(cursor, [*ancestors, *affecting, *siblings], by, whole=True))
        return Neighbourhood(
            revision,
            tuple(islice(whole, len(ancestors))),
            tuple(islice(whole, len(affecting))),
            tuple(islice(whole, len(siblings))),
            tuple(EarlierPlan(to_text(row[0]), to_text(row[1]), row[2], row[3]) for row in plans),
            tuple(self._tell(cursor, timeline, by, whole=False)),
        )

    def _tell(
        self, cursor: sqlite3.Cursor, numbers: Sequence[int], by: str, *, whole: bool
    ) -> list[ToldDecision]:
        """What is told of decisions by their rows; as recorded, where it is not told so."""
        told = self._of(by, whole=whole)
        found = told.each(numbers)
        missing = [number for number, one in zip(numbers, found, strict=True) if one is None]
        read = dict(_read(cursor, self._path, missing, by, whole=whole)) if missing else {}
        for number, one in read.items():
            told.put(number, one, one.characters)
        return [one or read[number] for number, one in zip(numbers, found, strict=True)]

    def _of(self, by: str, *, whole: bool) -> Recent[int, ToldDecision]:
        return self._told.setdefault((by, whole), Recent(_CHARACTERS))


def _ids(cursor: sqlite3.Cursor, query: str, values: tuple[object, ...]) -> list[int]:
    return [row[0] for row in cursor.execute(query, values).fetchall()]


def _rest(
    cursor: sqlite3.Cursor, query: str, values: tuple[object, ...], taken: set[int], limit: int
) -> list[int]:
    found = _ids(cursor, query, (*values, limit + len(taken)))
    return [number for number in found if number not in taken][:limit]


def _read(
    cursor: sqlite3.Cursor, path: Path, numbers: Sequence[int], by: str, *, whole: bool
) -> Iterator[tuple[int, ToldDecision]]:
    lacking = set(numbers)
    query = _WHOLE if whole else _TITLES
    for row in cursor.execute(query, (json.dumps(numbers), to_bytes(by))).fetchall():
        number, decision_id, task_id, title, standing, rationale, text = row
        lacking.discard(number)
        yield (
            number,
            ToldDecision(
                decision_id.decode(*TEXT),
                task_id.decode(*TEXT),
                title.decode(*TEXT),
                _STANDINGS[standing],
                rationale.decode(*TEXT),
                text.decode(*TEXT),
                by,
            ),
        )
    for number in lacking:
        (document,) = cursor.execute(_DOCUMENT, (number,)).fetchone()
        source = f"{path}: decision {number}"
        told = as_recorded(from_data(Decision, load(document), source=source))
        yield number, told if whole else titled(told)
