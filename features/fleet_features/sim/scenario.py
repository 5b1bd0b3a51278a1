"""What is asked of the fleet in a run: plans, councils, protocol, leases, and what users do."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleet_core.domain.council import Agent, Council, agent_id
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.model_call import Binding, Price, Sampling
from fleet_core.domain.plan import CheckSpec, Plan, Task
from fleet_core.domain.plan_run import Terms
from fleet_core.usecases.deliberate import DeliberateSettings
from fleet_features.sim.protocols import STRATEGIES

ROLES = ("DEV", "QA")


@dataclass(frozen=True, slots=True)
class Deed:
    """Something a user does.

    Attributes:
        kind: `cancel` or `extend` a deliberation, `cancel-plan`, `again`: approve a plan afresh,
            `nonsense`: approve a plan without saying which.
        at_s: virtual seconds from the start.
        pick: which of what there is by then, as a share.
    """

    kind: str
    at_s: float
    pick: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """Drawn once from the seed.

    Attributes:
        big: some answers are too large to travel in a message.
        joined: bus and state store are one server with transactions over both.
        keeps_jobs: of each executor, whether it takes up what another one had accepted.
    """

    plans: tuple[Plan, ...]
    councils: Mapping[str, Council]
    protocol: ProtocolSpec
    terms: Terms
    driving: DeliberateSettings
    claim_ttl_ms: int
    deeds: tuple[Deed, ...]
    big: bool
    joined: bool
    keeps_jobs: tuple[bool, bool]


def drawn(luck: random.Random) -> Scenario:
    """Small plans and small leases, so that a run is quick and ends at every limit."""
    price = luck.choice([Price(), Price(100_000, 300_000)])
    binding = Binding(model="drawn", structured=luck.random() < 0.8, price=price)
    sampling = Sampling(max_tokens=64, seed=luck.choice([None, None, 7]))
    councils = {
        role: _council(role, luck.choice([1, 2, 2, 3]), binding, sampling) for role in ROLES
    }
    judge = Agent("judge", 0, "JUDGE", "", replace(binding, structured=True), sampling)
    protocol = ProtocolSpec(
        luck.choice(list(STRATEGIES)),
        rounds=luck.choice([1, 1, 2]),
        samples=luck.choice([1, 2, 3]),
        quorum=luck.choice([0.0, 0.3, 0.5]),
        step_ms=luck.choice([800, 3_000, 10_000]),
        judge=luck.choice([None, judge]),
    )
    terms = Terms(
        tokens=luck.choice([400, 1_500, 4_000, 60_000, 60_000, 60_000]),
        micro_usd=luck.choice([0, 0, 2_000]) if price.answer else 0,
        ms=1_000 if luck.random() < 0.03 else luck.choice([10_000, 30_000, 60_000]),
        pack_tokens=10 if luck.random() < 0.03 else 4_400,
    )
    kinds = ["cancel", "extend", "extend", "cancel-plan", "again", "nonsense"]
    deeds = [Deed(luck.choice(kinds), luck.random() * 6, luck.random()) for _ in range(3)]
    return Scenario(
        tuple(_plan(n, luck) for n in range(luck.choice([1, 1, 2, 3]))),
        councils,
        protocol,
        terms,
        DeliberateSettings(sweep_ms=500, again_ms=luck.choice([3_000, 8_000])),
        luck.choice([3_000, 6_000]),
        tuple(deeds[: luck.choice([0, 0, 1, 2, 3])]),
        big=luck.random() < 0.03,
        joined=luck.random() < 0.3,
        keeps_jobs=luck.choice([(True, True), (True, True), (True, False), (False, False)]),
    )


def _council(role: str, seats: int, binding: Binding, sampling: Sampling) -> Council:
    numbers = range(1, seats + 1)
    named = [(agent_id(role, n), n, role, f"Persona {n}.") for n in numbers]
    return Council(role, tuple(Agent(*each, binding, sampling) for each in named))


def _plan(number: int, luck: random.Random) -> Plan:
    tasks: list[Task] = []
    for n in range(luck.choice([1, 1, 2, 3, 4] if not number else [1, 2])):
        needs = tuple(t.task_id for t in tasks if luck.random() < 0.5)
        checks = luck.choice([(), (CheckSpec("python"),), (CheckSpec("python", required=True),)])
        protocol = luck.choice(["", "", "vote"])
        tasks.append(
            Task(
                f"t{n}",
                f"Task {n}",
                luck.choice(ROLES),
                "Do it.",
                ("It is done.",),
                depends_on=needs,
                checks=checks,
                protocol=protocol,
            )
        )
    return Plan("story", f"Plan {number}", tuple(tasks))
