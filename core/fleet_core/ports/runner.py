"""Runner: runs one agent job somewhere."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from fleet_core.domain.job import AgentJob, AgentResult
from fleet_core.ports.executor import ClusterStats
from fleet_core.ports.model import OnText


class Runner(Protocol):
    """Runs jobs, as many at once as it has slots; more wait their turn within their deadline."""

    @abstractmethod
    async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
        """The job's result; a failed call is a failed result, not an exception.

        Cancelling the awaiting task stops the job where it runs, and raises CancelledError.

        Raises:
            Unavailable: the runner itself is away; the job may be run again.
        """

    @abstractmethod
    async def stats(self) -> ClusterStats:
        """Slots, running and waiting jobs now."""
