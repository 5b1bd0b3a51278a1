"""What an approval holds; everybody who acts on one reads it by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet_core.domain.codec import from_data
from fleet_core.domain.plan import Plan, plan_id
from fleet_core.errors import DecodeError


def approved_plan(data: Mapping[str, Any], source: str) -> tuple[str, Plan]:
    """The plan of an approval, and its id.

    Raises:
        DecodeError: it holds no plan, or another than its id says.
    """
    if "plan" not in data:
        raise DecodeError(
            "the approval names a plan and does not hold it",
            "send the whole plan, or a blob reference to it",
            source=source,
            field="plan",
        )
    plan = from_data(Plan, data["plan"], source=source, at="plan")
    identity = from_data(str, data.get("plan_id"), source=source, at="plan_id")
    if identity != plan_id(plan):
        raise DecodeError(
            f"is not the plan's id, which is {plan_id(plan)}", source=source, field="plan_id"
        )
    return identity, plan
