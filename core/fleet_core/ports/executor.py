"""Executor: takes a step's agent jobs and sees that each ends in exactly one journaled result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fleet_core.domain.job import AgentJob, Outcome


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a job is: `accepted`, `running` or `done`; `outcome` once done."""

    job_id: str
    deliberation_id: str
    agent_id: str
    phase: str
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class ClusterStats:
    """What the runner has and uses: job slots, and how many wait. Measured, never assumed."""

    runner: str
    slots: int
    running: int
    waiting: int
    nodes: int = 1


class Executor(Protocol):
    """Results are published as `agent.results.{task}`; submitting returns before they are there."""

    @abstractmethod
    async def submit(self, jobs: Sequence[AgentJob]) -> None:
        """Accept jobs; idempotent per job id.

        A job already journaled has its result published again; one already accepted goes on.

        Raises:
            Unavailable: none was accepted, or acceptance is unknown; submit again.
        """

    @abstractmethod
    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:
        """Stop the named jobs of a deliberation, or all; each ends `cancelled`. How many it hit."""

    @abstractmethod
    async def status(self, deliberation_id: str) -> Sequence[JobStatus]:
        """Its jobs over all its steps, in order of acceptance; empty where it has none."""

    @abstractmethod
    async def active(self) -> Sequence[JobStatus]:
        """Jobs accepted and not yet done, over all deliberations."""

    @abstractmethod
    async def stats(self) -> ClusterStats:
        """The runner's figures now."""
