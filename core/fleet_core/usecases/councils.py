"""Councils: who sits for which role, kept in the state store across restarts."""

from __future__ import annotations

from collections.abc import Mapping

from fleet_core.domain.council import Council, role_name
from fleet_core.errors import Conflict, NotFound
from fleet_core.ports.state_store import Delete, Put, StateStore
from fleet_core.usecases import keys
from fleet_core.usecases.documents import dump_object, load_object


class Councils:
    """Reads and writes `council/{ROLE}`.

    Args:
        state: where they are kept.
        configured: councils of the profile by role; one that is not kept yet stands as configured.
    """

    def __init__(self, state: StateStore, configured: Mapping[str, Council]) -> None:
        self._state = state
        self._configured = {role_name(role): council for role, council in configured.items()}

    async def all(self) -> dict[str, Council]:
        """Every council by role, kept ones before configured ones, in the order of roles."""
        kept = [load_object(Council, d) for d in await self._state.scan(keys.COUNCIL)]
        found = self._configured | {council.role: council for council in kept}
        return dict(sorted(found.items()))

    async def create(self, council: Council) -> None:
        """Keep a new council. Conflict where the role has one that is kept already."""
        key = keys.council(council.role)
        try:
            await self._state.commit([Put(key, dump_object(council), expect=0)])
        except Conflict:
            raise Conflict(
                f"role {council.role} has a council already", "delete it first", key=key
            ) from None

    async def delete(self, role: str) -> None:
        """Drop a kept council; a configured one of that role stands again. NotFound where none."""
        key = keys.council(role_name(role))
        (document,) = await self._state.get([key])
        if document is None:
            raise NotFound(f"role {role_name(role)} has no council of its own")
        await self._state.commit([Delete(key, document.version)])
