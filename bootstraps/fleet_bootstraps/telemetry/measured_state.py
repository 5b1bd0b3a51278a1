"""Times what a state store is asked, and counts what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_bootstraps.telemetry.meters import Meters
from fleet_bootstraps.telemetry.timing import storing
from fleet_core.ports.state_store import Document, StateStore, Write

_JOURNAL = "journal/"


class MeasuredState(StateStore):
    """A store, and its metrics.

    Journaled results that are found are counted, too, where jobs are executed: they are looked
    for only to answer a job that was submitted again.
    """

    def __init__(self, wrapped: StateStore, meters: Meters) -> None:
        self.wrapped = wrapped
        self._meters = meters

    async def get(self, keys: Sequence[str]) -> Sequence[Document | None]:
        """See the port."""
        with storing(self._meters, "get"):
            found = await self.wrapped.get(keys)
        if self._meters.executes:
            hits = sum(d is not None and d.key.startswith(_JOURNAL) for d in found)
            if hits:
                self._meters.journal_hits.inc(hits)
        return found

    async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
        """See the port."""
        with storing(self._meters, "commit"):
            return await self.wrapped.commit(writes)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Document]:
        """See the port."""
        with storing(self._meters, "scan"):
            return await self.wrapped.scan(prefix, after=after, limit=limit)
