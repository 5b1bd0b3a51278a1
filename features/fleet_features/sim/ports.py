"""Stores and graph as one process sees them: the memory adapters, at the end of a wire."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_core.domain.context import Neighbourhood, NeighbourhoodQuery, PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.history import Record, Recorded
from fleet_core.domain.told import ToldDecision
from fleet_core.errors import Unavailable
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.state_store import Document, Put, StateStore, Write
from fleet_features.sim.auditor import Auditor
from fleet_features.sim.loop import Lane
from fleet_features.sim.trace import short
from fleet_features.sim.wire import Wire


class WiredState(StateStore):
    """A state store as one process sees it."""

    def __init__(self, inner: StateStore, lane: Lane, wire: Wire, auditor: Auditor) -> None:
        self._inner, self._lane, self._wire, self._auditor = inner, lane, wire, auditor

    async def get(self, keys: Sequence[str]) -> Sequence[Document | None]:
        """See the port."""
        what = f"get {short(keys[0]) if keys else 'nothing'}"
        return await self._wire.ask(self._lane, "state", what, lambda: self._inner.get(keys))

    async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
        """See the port."""

        async def commit() -> Sequence[int]:
            versions = await self._inner.commit(writes)
            self._auditor.committed(self._lane, writes)
            return versions

        what = f"commit {written(writes)}"
        try:
            versions = await self._wire.ask(self._lane, "state", what, commit, writes=True)
        except Unavailable:
            self._auditor.calls.disturbed(self._lane)
            raise
        self._auditor.kept(writes, versions)
        return versions

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Document]:
        """See the port."""
        return await self._wire.ask(
            self._lane,
            "state",
            "scan",
            lambda: self._inner.scan(prefix, after=after, limit=limit),
        )


def written(writes: Sequence[Write]) -> str:
    """Writes, for a trace."""
    return ", ".join(_written(write) for write in writes)


def _written(write: Write) -> str:
    sign = "+" if isinstance(write, Put) else "-"
    expected = "" if write.expect is None else f"@{write.expect}"
    return f"{sign}{short(write.key)}{expected}"


class WiredBlobs(BlobStore):
    """A blob store as one process sees it."""

    def __init__(self, inner: BlobStore, lane: Lane, wire: Wire) -> None:
        self._inner, self._lane, self._wire = inner, lane, wire

    async def put(self, data: bytes) -> str:
        """See the port."""
        what = f"blob of {len(data)} bytes"
        return await self._wire.ask(
            self._lane, "blobs", what, lambda: self._inner.put(data), writes=True
        )

    async def get(self, ref: str) -> bytes:
        """See the port."""
        return await self._wire.ask(self._lane, "blobs", "get", lambda: self._inner.get(ref))


class WiredGraph(ContextGraph):
    """The graph as one process sees it."""

    def __init__(self, inner: ContextGraph, lane: Lane, wire: Wire) -> None:
        self._inner, self._lane, self._wire = inner, lane, wire

    async def record_plan(self, record: PlanRecord) -> int:
        """See the port."""
        what = f"record plan {short(record.plan_id)}"
        return await self._wire.ask(
            self._lane, "graph", what, lambda: self._inner.record_plan(record), writes=True
        )

    async def record_decision(
        self, decision: Decision, recorded_ms: int, told: ToldDecision | None = None
    ) -> int:
        """See the port."""
        what = f"record decision of {decision.task_id} by {decision.winner}"
        return await self._wire.ask(
            self._lane,
            "graph",
            what,
            lambda: self._inner.record_decision(decision, recorded_ms, told),
            writes=True,
        )

    async def neighbourhood(self, query: NeighbourhoodQuery) -> Neighbourhood:
        """See the port."""
        return await self._wire.ask(
            self._lane, "graph", "read", lambda: self._inner.neighbourhood(query)
        )

    async def decision(self, decision_id: str) -> Decision | None:
        """See the port."""
        return await self._wire.ask(
            self._lane, "graph", "read", lambda: self._inner.decision(decision_id)
        )

    async def plan(self, plan_id: str) -> PlanRecord | None:
        """See the port."""
        return await self._wire.ask(self._lane, "graph", "read", lambda: self._inner.plan(plan_id))

    async def revision(self, story: str) -> int:
        """See the port."""
        return await self._wire.ask(
            self._lane, "graph", "read", lambda: self._inner.revision(story)
        )

    async def stories(self, *, after: str = "", limit: int = 1000) -> Sequence[str]:
        """See the port."""
        return await self._wire.ask(
            self._lane, "graph", "read", lambda: self._inner.stories(after=after, limit=limit)
        )

    async def records(self, story: str, *, after: str = "", limit: int = 200) -> Sequence[Recorded]:
        """See the port."""
        return await self._wire.ask(
            self._lane,
            "graph",
            "read",
            lambda: self._inner.records(story, after=after, limit=limit),
        )

    async def restore(self, records: Sequence[Record]) -> int:
        """See the port."""
        return await self._wire.ask(
            self._lane, "graph", "restore", lambda: self._inner.restore(records), writes=True
        )

    async def prune(self, story: str, before_ms: int) -> int:
        """See the port."""
        return await self._wire.ask(
            self._lane, "graph", "prune", lambda: self._inner.prune(story, before_ms), writes=True
        )
