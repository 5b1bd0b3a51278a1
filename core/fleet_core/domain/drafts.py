"""What a protocol asks for next."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_core.domain.council import Agent
from fleet_core.domain.job import CheckRequest, ModelCall


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A job that a protocol wants; the reducer gives it identity and slice.

    Attributes:
        target, shown: see `deliberation.JobRecord`.
    """

    agent: Agent
    work: ModelCall | CheckRequest
    sample: int = 0
    target: str = ""
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepDraft:
    """Jobs that run side by side."""

    name: str
    round: int
    jobs: tuple[JobDraft, ...]
