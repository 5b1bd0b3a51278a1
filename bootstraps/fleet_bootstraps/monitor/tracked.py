"""What is known of one deliberation: its state as far as the log tells it, and why not further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_bootstraps.monitor.folding import Strategies, carries_input, folded
from fleet_bootstraps.monitor.gist import UNKNOWN, Gist, gist_of
from fleet_core.domain.deliberation import FINAL, Deliberation
from fleet_core.domain.events import Event
from fleet_core.errors import InputError

_FINAL = frozenset(phase.value for phase in FINAL)
EARLY_KEPT = 64  # events that came before the one they follow


@dataclass(slots=True)
class Tracked:
    """One deliberation.

    Attributes:
        before: a position of the log before its first event.
        position: of its newest event.
        sequence: the newest version that was heard of.
        phase: as the newest event says it.
        state: folded; None where it cannot be, or is not held any more.
        trouble: why the state is missing, or older than `sequence`.
        let_go: the state is not held any more; it can be had again from the log.
        started_ms, changed_ms: UTC milliseconds of its first and newest event.
    """

    deliberation_id: str
    plan_id: str
    task_id: str
    attempt: int
    before: int
    started_ms: int
    changed_ms: int = 0
    position: int = 0
    sequence: int = 0
    phase: str = "pending"
    state: Deliberation | None = None
    trouble: str = ""
    let_go: bool = False
    _kept: Gist = UNKNOWN
    _early: dict[int, Event] = field(default_factory=dict)

    @property
    def gist(self) -> Gist:
        """What lists show of the state, held or not."""
        return gist_of(self.state) if self.state is not None else self._kept

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.phase not in _FINAL

    @property
    def why(self) -> str:
        """Why there is no state of the newest version; empty where there is, or could be had."""
        if self.trouble or self.complete or self.let_go:
            return self.trouble
        version = self.state.version if self.state is not None else 0
        return f"version {version + 1} is not in what is kept of the log"

    @property
    def complete(self) -> bool:
        """Whether the state is that of the newest version."""
        return self.state is not None and self.state.version == self.sequence

    def take(self, event: Event, position: int, strategies: Strategies) -> None:
        """Take an event, its references fetched; what is known already changes nothing."""
        self.position = position
        self.changed_ms = max(self.changed_ms, event.time_ms)
        if event.sequence > self.sequence:
            self._kept = UNKNOWN  # of a state that was let go of and is past now
            self.sequence = event.sequence
            self.phase = _text(event.data, "phase")
        if self.let_go or self.trouble or not carries_input(event):
            return
        self._early[event.sequence] = event
        self._fold(strategies)

    def fail(self, reason: str) -> None:
        """It cannot be folded any further."""
        self.trouble = reason
        self._early.clear()

    def release(self) -> None:
        """Let go of the state; what lists show of it is kept."""
        self._kept = self.gist
        self.state, self.let_go = None, True
        self._early.clear()

    def _fold(self, strategies: Strategies) -> None:
        version = self.state.version if self.state is not None else 0
        for known in [number for number in self._early if number <= version]:
            del self._early[known]
        while (event := self._early.pop(version + 1, None)) is not None:
            try:
                self.state = folded(self.state, event, strategies).state
            except InputError as error:
                self.fail(str(error))
                return
            version += 1
        if len(self._early) > EARLY_KEPT:
            self.fail(f"version {version + 1} is missing in the log")


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value[:200] if isinstance(value, str) else ""
