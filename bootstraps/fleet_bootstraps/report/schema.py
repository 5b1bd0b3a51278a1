"""The published schema of `report.json`."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def report_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a run's report."""
    path = resources.files("fleet_bootstraps.report") / "report.schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema
