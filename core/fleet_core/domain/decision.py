"""Decisions: what a deliberation ends in, and what later tasks are told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fleet_core.domain.job import Evidence


class DecisionStanding(StrEnum):
    """What a decision rests on."""

    VERIFIED = "verified"  # the winner's checks passed
    UNVERIFIED = "unverified"  # none ran
    REFUTED = "refuted"  # a check of the winner ran and failed


@dataclass(frozen=True, slots=True)
class Alternative:
    """A candidate that did not win, and why; `agents` are its authors."""

    agents: tuple[str, ...]
    title: str
    reason: str
    text_hash: str


@dataclass(frozen=True, slots=True)
class Dissent:
    """A ranker or agent that preferred another candidate, and its reason in its own words."""

    by: str
    preferred: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The record of one decided task.

    Attributes:
        decision_id: content id of deliberation and winner; recording it twice changes nothing.
        winner: agent id of the author (the lowest seat, where several wrote the same text).
        text: the winning proposal, whole.
        rule: the rung that settled the order (`evidence`, `judge`, `ballots`, `content`).
        affects: ids of tasks of the plan that the winner says it affects.
        incomplete: agents that had not answered when it was decided; () for a full council.
        decided_ms: UTC milliseconds.
        cited: ids of the earlier decisions that the winner used, by the rule of `domain/citing`.
    """

    decision_id: str
    deliberation_id: str
    story: str
    plan_id: str
    task_id: str
    role: str
    title: str
    rationale: str
    text: str
    winner: str
    standing: DecisionStanding
    rule: str
    decided_ms: int
    evidence: tuple[Evidence, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    dissent: tuple[Dissent, ...] = ()
    affects: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    cited: tuple[str, ...] = ()
