"""The header under which an agent job's place travels with its model call.

Scripted answers are keyed by it, never by arrival; any other server ignores it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fleet_core.domain.job import AgentJob
from fleet_core.errors import DecodeError

JOB_HEADER = "x-fleet-job"

_FIELDS: dict[str, type] = {
    "task": str,
    "role": str,
    "agent": int,
    "step": str,
    "round": int,
    "sample": int,
}
_encode: Callable[[object], str] = json.JSONEncoder(separators=(",", ":")).encode


def format_header(job: AgentJob) -> str:
    """Compact ASCII JSON of `task` (the task's id), `role`, `agent`, `step`, `round`, `sample`."""
    key = job.key
    return _encode(
        {
            "task": job.task_id,
            "role": job.role,
            "agent": key.agent,
            "step": key.step,
            "round": key.round,
            "sample": key.sample,
        }
    )


def parse_header(text: str) -> dict[str, Any]:
    """The six fields of a header.

    Raises:
        DecodeError: it is not such a header; names the field.
    """
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise DecodeError("should be a JSON object", source=JOB_HEADER)
    for name, kind in _FIELDS.items():
        if type(data.get(name)) is not kind:
            wanted = "text" if kind is str else "a whole number"
            raise DecodeError(f"should be {wanted}", source=JOB_HEADER, field=name)
    return {name: data[name] for name in _FIELDS}
