"""What the server knows around a task: by one statement, by a second what was not told lately.

The first holds the story, so that what it finds is of one state while others write. A decision
never changes, so it may be read afterwards; where it was dropped meanwhile, all is read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from neo4j import Record

from fleet_adapters.neo4j import _cypher as cypher
from fleet_adapters.neo4j._errors import ReadOnly
from fleet_adapters.neo4j._link import Link
from fleet_adapters.neo4j._mapping import identity, kept, to_decision, to_earlier, to_told
from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery
from fleet_core.domain.told import ToldDecision, as_recorded, titled
from fleet_core.errors import StoreError
from fleet_core.recent import Recent

_CHARACTERS = 32_000_000  # of what is kept


class _Lacking(Exception):
    """A decision that was found is not there any more."""

    def __init__(self, decision_id: str) -> None:
        super().__init__(decision_id)
        self.decision_id = decision_id


class Around:
    """Reads neighbourhoods; what it told last is kept, since a decision never changes."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._told: Recent[tuple[str, str, bool], ToldDecision] = Recent(_CHARACTERS)

    async def neighbourhood(self, query: NeighbourhoodQuery) -> Neighbourhood:
        """What bears on a task; see the port."""
        lacking = None
        while True:
            row = await self._row(query)
            if row is None:
                return Neighbourhood(0)
            try:
                return await self._told_of(row, query.told_by)
            except _Lacking as error:
                if error.decision_id == lacking:
                    raise StoreError(
                        f"{self._link.where} has lost the decision {lacking}",
                        "look at who else writes to this database",
                    ) from error
                lacking = error.decision_id

    async def _row(self, query: NeighbourhoodQuery) -> Record | None:
        values: dict[str, Any] = {
            "story": identity(query.story),
            "plan_id": identity(query.plan_id),
            "task_id": identity(query.task_id),
            "ancestors": [identity(ancestor) for ancestor in query.ancestors],
            "role": identity(query.role),
            "before_ms": query.before_ms,
            "limit": query.limit,
            "titles": query.titles,
        }
        try:
            name = kept(query.story)
            rows = await self._link.rows(cypher.NEIGHBOURHOOD_HELD, locks=True, name=name, **values)
        except ReadOnly:  # nobody writes, so it is of one state in any case
            rows = await self._link.rows(cypher.NEIGHBOURHOOD, **values)
        return rows[0] if rows else None

    async def _told_of(self, row: Record, by: str) -> Neighbourhood:
        parts = [row["ancestors"], row["affecting"], row["siblings"]]
        asked = [(decision_id, True) for part in parts for decision_id in part]
        asked += [(decision_id, False) for decision_id in row["timeline"]]
        told = iter(await self._tell(asked, by))
        ancestors, affecting, siblings = (tuple(islice(told, len(part))) for part in parts)
        return Neighbourhood(
            row["revision"],
            ancestors,
            affecting,
            siblings,
            tuple(
                to_earlier(summary, document, decided, f"{self._link.where}: a plan")
                for summary, document, decided in row["plans"]
            ),
            tuple(told),
        )

    async def _tell(self, asked: Sequence[tuple[str, bool]], by: str) -> list[ToldDecision]:
        """What is told of decisions, whole or by title; as recorded, where it is not told so."""
        known = self._told.known((decision_id, by, whole) for decision_id, whole in asked)
        found = {(decision_id, whole): told for (decision_id, _, whole), told in known.items()}
        missing = dict(one for one in asked if one not in found)
        if missing:
            for told, one in await _read(self._link, missing, by):
                found[one] = told
                self._told.put((one[0], by, one[1]), told, told.characters)
        return [found[one] for one in asked]


async def _read(
    link: Link, missing: Mapping[str, bool], by: str
) -> list[tuple[ToldDecision, tuple[str, bool]]]:
    """What is told of decisions by how they are found; whole or not."""
    whole = [decision_id for decision_id, all_of_it in missing.items() if all_of_it]
    rows = await link.rows(cypher.TOLD, decision_ids=list(missing), whole=whole, told_by=kept(by))
    found = {row["decision_id"]: to_told(row["head"], row["rest"], by) for row in rows}
    others = [decision_id for decision_id in missing if decision_id not in found]
    if others:
        for row in await link.rows(cypher.DOCUMENTS, decision_ids=others):
            decision_id = row["decision_id"]
            decision = to_decision(row["document"], f"{link.where}: decision {decision_id}")
            told = as_recorded(decision)
            found[decision_id] = told if missing[decision_id] else titled(told)
    if lacking := [decision_id for decision_id in missing if decision_id not in found]:
        raise _Lacking(lacking[0])
    return [(found[one], (one, all_of_it)) for one, all_of_it in missing.items()]
