"""What a deliberation is reduced from. Each input carries its own `now_ms` (UTC ms)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fleet_core.domain.context import ContextPack
from fleet_core.domain.council import Council
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.job import AgentResult, Failure
from fleet_core.domain.lease import Lease
from fleet_core.domain.plan import Task


@dataclass(frozen=True, slots=True)
class Start:
    """The task is put to the council."""

    KIND: ClassVar[str] = "start"
    now_ms: int
    plan_id: str
    story: str
    attempt: int
    task: Task
    council: Council
    protocol: ProtocolSpec
    lease: Lease
    known_tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackReady:
    """The hydrator answered."""

    KIND: ClassVar[str] = "pack"
    now_ms: int
    pack: ContextPack


@dataclass(frozen=True, slots=True)
class PackRefused:
    """The hydrator refused for good, e.g. the anchors do not fit the budget."""

    KIND: ClassVar[str] = "pack-refused"
    now_ms: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class ResultArrived:
    """A job ended."""

    KIND: ClassVar[str] = "result"
    now_ms: int
    result: AgentResult


@dataclass(frozen=True, slots=True)
class Due:
    """A recorded deadline has come."""

    KIND: ClassVar[str] = "due"
    now_ms: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody cancelled the deliberation."""

    KIND: ClassVar[str] = "cancel"
    now_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Extend:
    """Somebody raised the lease: more tokens, more money, a later deadline."""

    KIND: ClassVar[str] = "extend"
    now_ms: int
    tokens: int = 0
    micro_usd: int = 0
    deadline_ms: int = 0


Input = Start | PackReady | PackRefused | ResultArrived | Due | Cancel | Extend
