"""What a reduction asks the outside to do, once it is saved. Each is idempotent by content."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_core.domain.events import Event
from fleet_core.domain.job import AgentJob


@dataclass(frozen=True, slots=True)
class GetPack:
    """Ask the hydrator for the deliberation's context pack."""


@dataclass(frozen=True, slots=True)
class SubmitJobs:
    """Hand a step's jobs to the executor."""

    step: int
    jobs: tuple[AgentJob, ...]


@dataclass(frozen=True, slots=True)
class CancelJobs:
    """Stop jobs whose results nobody waits for any more."""

    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish an event of the deliberation."""

    event: Event


Command = GetPack | SubmitJobs | CancelJobs | Publish
