"""What a run submits: small plans that are the same in every run but for the name of their story.

The story's name is in no prompt, so the answers, and with them the decisions, are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fleet_core.domain.plan import Plan, Task, validated
from fleet_features.profiles import ROLES

_KINDS = ("peer-review", "vote", "pair", "peer-review", "pair", "vote", "pair", "peer-review")
TERMS: Mapping[str, Any] = {f"councils.{role}.size": 2 for role in ROLES}
"""Councils of two: a peer review is seven calls, a vote two."""


def plans(story: str) -> Sequence[Plan]:
    """Eight plans of eleven tasks; no two tasks have the same id."""
    return [_plan(f"{story}-{n}", kind, n) for n, kind in enumerate(_KINDS, start=1)]


def _plan(story: str, kind: str, number: int) -> Plan:
    first = "vote" if kind == "pair" else kind
    tasks = [
        Task(f"a{number}", f"Choose the shape of part {number}", "DEV", protocol=first),
    ]
    if kind == "pair":
        tasks.append(
            Task(
                f"b{number}",
                f"Say how part {number} is tested",
                "QA",
                depends_on=(f"a{number}",),
                protocol="peer-review",
            )
        )
    return validated(Plan(story, f"Part {number} of a notebook", tuple(tasks)), roles=ROLES)
