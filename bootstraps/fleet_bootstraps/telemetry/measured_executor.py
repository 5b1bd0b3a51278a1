"""Times what an executor is asked, over whatever way it is reached."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_bootstraps.telemetry.meters import Meters
from fleet_bootstraps.telemetry.timing import timed
from fleet_core.domain.job import AgentJob
from fleet_core.ports.executor import ClusterStats, Executor, JobStatus


class MeasuredExecutor(Executor):
    """An executor, and its metrics."""

    def __init__(self, inner: Executor, meters: Meters) -> None:
        self._inner = inner
        self._asked = meters.asked

    async def submit(self, jobs: Sequence[AgentJob]) -> None:
        """See the port."""
        with timed(self._asked, "submit"):
            await self._inner.submit(jobs)

    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:
        """See the port."""
        with timed(self._asked, "cancel"):
            return await self._inner.cancel(deliberation_id, job_ids)

    async def status(self, deliberation_id: str) -> Sequence[JobStatus]:
        """See the port."""
        with timed(self._asked, "status"):
            return await self._inner.status(deliberation_id)

    async def active(self) -> Sequence[JobStatus]:
        """See the port."""
        with timed(self._asked, "active"):
            return await self._inner.active()

    async def stats(self) -> ClusterStats:
        """See the port."""
        with timed(self._asked, "stats"):
            return await self._inner.stats()
