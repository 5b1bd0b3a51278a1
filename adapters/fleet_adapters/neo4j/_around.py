"""What the server knows around a task: by one statement, by a second what was not told lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from fleet_adapters.neo4j import _cypher as cypher
from fleet_adapters.neo4j._link import Transaction
from fleet_adapters.neo4j._mapping import identity, kept, to_decision, to_earlier, to_told
from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery
from fleet_core.domain.told import ToldDecision, as_recorded, titled
from fleet_core.errors import StoreError
from fleet_core.recent import Recent

_CHARACTERS = 32_000_000  # of what is kept


class Around:
    """Reads neighbourhoods; what it told last is kept, since a decision never changes.

    Args:
        where: the server, for messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._told: Recent[tuple[str, str, bool], ToldDecision] = Recent(_CHARACTERS)

    async def neighbourhood(
        self, transaction: Transaction, query: NeighbourhoodQuery, *, held: bool
    ) -> Neighbourhood:
        """What bears on a task; see the port.

        Args:
            transaction: it is read in.
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
            limit=query.limit,
            titles=query.titles,
        )
        if not rows:
            return Neighbourhood(0)
        (row,) = rows
        parts = [row["ancestors"], row["affecting"], row["siblings"]]
        asked = [(decision_id, True) for part in parts for decision_id in part]
        asked += [(decision_id, False) for decision_id in row["timeline"]]
        told = iter(await self._tell(transaction, asked, query.told_by))
        ancestors, affecting, siblings = (tuple(islice(told, len(part))) for part in parts)
        return Neighbourhood(
            row["revision"],
            ancestors,
            affecting,
            siblings,
            tuple(
                to_earlier(summary, document, decided, f"{self._where}: a plan")
                for summary, document, decided in row["plans"]
            ),
            tuple(told),
        )

    async def _tell(
        self, transaction: Transaction, asked: Sequence[tuple[str, bool]], by: str
    ) -> list[ToldDecision]:
        """What is told of decisions, whole or by title; as recorded, where it is not told so."""
        known = self._told.known((decision_id, by, whole) for decision_id, whole in asked)
        found = {(decision_id, whole): told for (decision_id, _, whole), told in known.items()}
        missing = dict(one for one in asked if one not in found)
        if missing:
            for told, one in await _read(transaction, self._where, missing, by):
                found[one] = told
                self._told.put((one[0], by, one[1]), told, told.characters)
        return [found[one] for one in asked]


async def _read(
    transaction: Transaction, where: str, missing: Mapping[str, bool], by: str
) -> list[tuple[ToldDecision, tuple[str, bool]]]:
    """What is told of decisions by how they are found; whole or not."""
    whole = [decision_id for decision_id, all_of_it in missing.items() if all_of_it]
    rows = await transaction.run(
        cypher.TOLD, decision_ids=list(missing), whole=whole, told_by=kept(by)
    )
    found = {row["decision_id"]: to_told(row["head"], row["rest"], by) for row in rows}
    others = [decision_id for decision_id in missing if decision_id not in found]
    if others:
        for row in await transaction.run(cypher.DOCUMENTS, decision_ids=others):
            decision_id = row["decision_id"]
            decision = to_decision(row["document"], f"{where}: decision {decision_id}")
            told = as_recorded(decision)
            found[decision_id] = told if missing[decision_id] else titled(told)
    if lacking := [decision_id for decision_id in missing if decision_id not in found]:
        raise StoreError(
            f"{where} has lost the decision {lacking[0]}",
            "look at who else writes to this database",
        )
    return [(found[one], (one, all_of_it)) for one, all_of_it in missing.items()]
