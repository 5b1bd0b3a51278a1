"""Councils: who sits for which role, kept in the state store across restarts.

A plan takes its councils with it when it is approved: what changes here is seen by plans that are
approved afterwards, and never by one under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fleet_core.domain.council import Agent, Council, role_name
from fleet_core.domain.model_call import Binding
from fleet_core.domain.seating import Seat, checked_role, departed, joined, rebound, seated
from fleet_core.errors import AlreadyExists, Conflict, NotFound
from fleet_core.ports.state_store import Delete, Document, Put, StateStore
from fleet_core.usecases import keys
from fleet_core.usecases.documents import dump_object, load_object


class Councils:
    """Reads and writes `council/{ROLE}`, by compare-and-set.

    Args:
        state: where they are kept.
        configured: councils of the profile by role; one that is not kept yet stands as configured.
        bindings: the profile's model bindings by name. Agents keep the name of theirs, so that a
            model that the profile has changed since is the one they speak through; without any,
            nobody can be seated.
    """

    def __init__(
        self,
        state: StateStore,
        configured: Mapping[str, Council],
        bindings: Mapping[str, Binding] | None = None,
    ) -> None:
        self._state = state
        self._configured = {role_name(role): council for role, council in configured.items()}
        self._bindings = bindings or {}

    async def all(self) -> dict[str, Council]:
        """Every council by role, kept ones before configured ones, in the order of roles."""
        found = dict(self._configured)
        after = ""
        while page := await self._state.scan(keys.COUNCIL, after=after):
            kept = [self._read(document) for document in page]
            found |= {council.role: council for council in kept}
            after = page[-1].key
        return dict(sorted(found.items()))

    async def create(self, role: str, seats: Sequence[Seat]) -> Council:
        """Keep a new council; it takes the place of one that is only configured.

        Raises:
            AlreadyExists: one is kept for that role.
            InputError: names the field that is wrong.
        """
        council = seated(role, seats, self._bindings)
        key = keys.council(council.role)
        try:
            await self._state.commit([Put(key, dump_object(council), expect=0)])
        except Conflict:
            raise AlreadyExists(
                f"role {council.role} has a council already",
                "register and unregister its agents, or delete it first",
            ) from None
        return council

    async def delete(self, role: str) -> Council | None:
        """Drop a kept council; returns the configured one of that role, which stands again.

        Raises:
            NotFound: none is kept for that role.
        """
        role = checked_role(role)
        key = keys.council(role)
        while True:
            (document,) = await self._state.get([key])
            if document is None:
                hint = (
                    "one of the profile goes with the profile" if role in self._configured else ""
                )
                raise NotFound(f"no council of its own is kept for role {role}", hint)
            try:
                await self._state.commit([Delete(key, document.version)])
            except Conflict:
                continue
            return self._configured.get(role)

    async def register(self, role: str, seat: Seat) -> Agent:
        """Give one more agent a seat; a configured council is kept from then on, with it.

        Raises:
            NotFound: the role has no council.
            AlreadyExists: an agent of that id sits there.
            InputError: names the field that is wrong, or there are too many agents.
        """
        council = await self._change(role, lambda found: joined(found, seat, self._bindings))
        return council.agents[-1]

    async def unregister(self, role: str, agent_id: str) -> Council:
        """Take an agent's seat; returns the council as it is then.

        Raises:
            NotFound: the role has no council, or no agent of that id sits there.
            InputError: it is the only one.
        """
        return await self._change(role, lambda found: departed(found, agent_id))

    async def _change(self, role: str, change: Callable[[Council], Council]) -> Council:
        """Keep what `change` makes of it; whoever loses the compare-and-set does it again."""
        role = checked_role(role)
        key = keys.council(role)
        while True:
            (document,) = await self._state.get([key])
            found = self._configured.get(role) if document is None else self._read(document)
            if found is None:
                raise NotFound(f"role {role} has no council", "create it first")
            changed = change(found)
            version = 0 if document is None else document.version
            try:
                await self._state.commit([Put(key, dump_object(changed), version)])
            except Conflict:
                continue
            return changed

    def _read(self, document: Document) -> Council:
        return rebound(load_object(Council, document), self._bindings)
