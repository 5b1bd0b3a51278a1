"""What becomes of each message and each operation."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from fleet_features.sim.temper import Temper

TIMEOUT_S = 1.0
"""No message is under way for longer, and nobody waits longer for an answer."""
_LATENCY_S = 0.002


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one request.

    Attributes:
        there_s: until the server has it.
        back_s: until the answer is back, from then on.
        outcome: `answered`; `refused`: the server does nothing; `lost`: it never arrives;
            `unheard`: it has its effect, and the answer is lost.
    """

    there_s: float
    back_s: float
    outcome: str = "answered"


@dataclass(slots=True)
class Adversary:
    """Decides, from the seed; peaceful once it has been called off.

    Attributes:
        down: servers that are away now.
    """

    temper: Temper
    luck: random.Random
    active: bool = True
    down: set[str] = field(default_factory=set)

    def hits(self, share: float) -> bool:
        """Whether something of that share happens now."""
        return self.active and share > 0 and self.luck.random() < share

    def latency(self) -> float:
        """Of one message, in virtual seconds."""
        if self.hits(self.temper.slow):
            return self.luck.random() * TIMEOUT_S / 2
        return self.luck.random() * _LATENCY_S

    def request(self, server: str, *, writes: bool = False) -> Fate:
        """What becomes of a request to a server; `writes`: it may arrive after its sender left."""
        there, back = self.latency(), self.latency()
        if server in self.down or self.hits(self.temper.refuse):
            return Fate(there, back, "refused")
        if self.hits(self.temper.lose):
            outcome = "unheard" if self.luck.random() < 0.5 else "lost"
            return Fate(there, self.luck.random() * TIMEOUT_S, outcome)
        if writes and self.hits(self.temper.linger):
            return Fate(TIMEOUT_S * (0.5 + self.luck.random() / 2), -1.0, "unheard")
        return Fate(there, back)

    def deliveries(self) -> list[float]:
        """After how long an event reaches its subscriber: not at all, once, or more often."""
        if self.hits(self.temper.lose):
            return []
        times = 1 + self.hits(self.temper.repeat)
        return [self._arrival() for _ in range(times)]

    def _arrival(self) -> float:
        if self.hits(self.temper.slow):
            return self.luck.random() * self.temper.ack_wait_s
        return self.latency()
