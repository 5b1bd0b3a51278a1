"""What is shipped as package data: the built-in plans and the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_CASES = ("basic", "medium", "complex", "code", "first")


def builtin_plans() -> tuple[str, ...]:
    """The names of the built-in plans, the simplest test case first."""
    return _CASES


def builtin_plan_path(name: str) -> Path:
    """The file of a built-in plan; KeyError where there is none of that name."""
    if name not in _CASES:
        raise KeyError(name)
    return _FOLDER / "cases" / f"{name}.yaml"


def plan_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a plan file.

    It describes the shape. What refers to something else (roles, dependencies, cycles) is for
    `parse_plan` alone to say.
    """
    schema: dict[str, Any] = json.loads((_FOLDER / "plan.schema.json").read_text(encoding="utf-8"))
    return schema
