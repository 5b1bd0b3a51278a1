"""How bad a run's world is: drawn once from the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Temper:
    """Shares are of messages or operations; times are virtual seconds.

    Attributes:
        active_s: how long the adversary works; then the fleet is given time to settle.
        lose: a request or an answer is lost on its way.
        repeat: a delivery comes twice.
        slow: a message takes up to a second, or a delivery up to `ack_wait_s`; order goes.
        refuse: a server answers that it is unavailable, and has done nothing.
        linger: a write arrives although its sender was told that nobody knows.
        kill_s, jump_s, outage_s: the mean time between two of them; 0 for none.
        graceful: a service is stopped in order, rather than killed.
        jump_ms: a clock goes wrong by so much at most, either way.
        ack_wait_s: an event that was not acknowledged comes again after so long.
        fail: a model call fails at once.
        hang: a model call never answers.
        drawl_s: a model's longest answer.
        away: the runner loses its worker before or after a call.
        overrun: a model's server bills more than the job's slice.
        calm: nothing goes wrong but the models.
    """

    active_s: float
    lose: float
    repeat: float
    slow: float
    refuse: float
    linger: float
    kill_s: float
    jump_s: float
    outage_s: float
    graceful: float
    jump_ms: int
    ack_wait_s: float
    fail: float
    hang: float
    drawl_s: float
    away: float
    overrun: float
    calm: bool


def drawn(luck: random.Random) -> Temper:
    """Mild and wild in every mixture: each kind of trouble is absent from some runs.

    In one run of twenty nothing goes wrong but the models.
    """
    calm = luck.random() < 0.05
    often = 0.0 if calm else luck.choice([0.3, 1.0, 1.0, 2.0])

    def share(*of: float) -> float:
        return luck.choice([0.0, *of]) * often

    return Temper(
        active_s=luck.choice([5.0, 15.0, 30.0]),
        lose=share(0.01, 0.04, 0.1),
        repeat=share(0.05, 0.2),
        slow=share(0.05, 0.2),
        refuse=share(0.01, 0.05),
        linger=share(0.02, 0.1),
        kill_s=0.0 if calm else luck.choice([0.0, 1.5, 4.0, 10.0]),
        jump_s=0.0 if calm else luck.choice([0.0, 0.0, 4.0, 10.0]),
        outage_s=0.0 if calm else luck.choice([0.0, 0.0, 5.0, 12.0]),
        graceful=luck.choice([0.0, 0.2, 0.5]),
        jump_ms=luck.choice([300, 3_000, 20_000]),
        ack_wait_s=luck.choice([2.0, 5.0, 30.0]),
        fail=luck.choice([0.0, 0.05, 0.2]),
        hang=luck.choice([0.0, 0.02, 0.08]),
        drawl_s=luck.choice([0.05, 0.5, 4.0, 12.0]),
        away=share(0.02, 0.1),
        overrun=luck.choice([0.0, 0.0, 0.05]),
        calm=calm,
    )
