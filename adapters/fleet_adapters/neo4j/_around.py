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

_CHARACTERS = 32_000_000  # of what is kept, and as many of titles


class _Lacking(Exception):
    """A decision that was found is not there any more."""

    def __init__(self, decision_id: str) -> None:
        super().__init__(decision_id)
        self.decision_id = decision_id


class Around:
    """Reads neighbourhoods; what it told last is kept, since a decision never changes."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._told: dict[tuple[str, bool], Recent[str, ToldDecision]] = {}

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
        whole = [decision_id for part in parts for decision_id in part]
        found = await self._tell({True: whole, False: row["timeline"]}, by)
        told = iter(found[True])
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
            tuple(found[False]),
        )

    async def _tell(
        self, asked: Mapping[bool, Sequence[str]], by: str
    ) -> dict[bool, list[ToldDecision]]:
        """What is told of decisions; as recorded, where it is not told so.

        Args:
            asked: ids of those that are told whole, and of those that are by title.
            by: the redactor's name.
        """
        kept = {whole: self._told.setdefault((by, whole), Recent(_CHARACTERS)) for whole in asked}
        found = {whole: kept[whole].each(ids) for whole, ids in asked.items()}
        missing = {
            whole: [one for one, told in zip(ids, found[whole], strict=True) if told is None]
            for whole, ids in asked.items()
        }
        read = await _read(self._link, missing, by) if any(missing.values()) else {}
        for whole, ids in missing.items():
            for one in ids:
                kept[whole].put(one, read[one], read[one].characters)
        return {
            whole: [told or read[one] for one, told in zip(ids, found[whole], strict=True)]
            for whole, ids in asked.items()
        }


async def _read(
    link: Link, missing: Mapping[bool, Sequence[str]], by: str
) -> dict[str, ToldDecision]:
    """What is told of decisions by id, whole or by title."""
    whole = missing[True]
    ids = [*whole, *missing[False]]
    ((told,),) = await link.rows(cypher.TOLD, decision_ids=ids, whole=whole, told_by=kept(by))
    found = {decision_id: to_told(head, rest, by) for decision_id, head, rest in told}
    others = [decision_id for decision_id in ids if decision_id not in found]
    if others:
        for row in await link.rows(cypher.DOCUMENTS, decision_ids=others):
            decision_id = row["decision_id"]
            decision = to_decision(row["document"], f"{link.where}: decision {decision_id}")
            told = as_recorded(decision)
            found[decision_id] = told if decision_id in whole else titled(told)
    if lacking := [decision_id for decision_id in ids if decision_id not in found]:
        raise _Lacking(lacking[0])
    return found
