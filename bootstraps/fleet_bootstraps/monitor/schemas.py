"""JSON schemas of what the API gives; `api.py` says which operation gives which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT: Mapping[str, Any] = {"type": "string"}
NUMBER: Mapping[str, Any] = {"type": "integer"}
TRUTH: Mapping[str, Any] = {"type": "boolean"}
ANY: Mapping[str, Any] = {}
OBJECT: Mapping[str, Any] = {"type": "object"}


def obj(**members: Any) -> dict[str, Any]:
    """An object with exactly these members."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def some(**members: Any) -> dict[str, Any]:
    """An object with at least these members."""
    return {"type": "object", "properties": members, "required": list(members)}


def array(of: Mapping[str, Any]) -> dict[str, Any]:
    """An array."""
    return {"type": "array", "items": of}


def null_or(given: Mapping[str, Any]) -> dict[str, Any]:
    """That, or null where it is not known."""
    return {"anyOf": [given, {"type": "null"}]}


def ref(name: str) -> dict[str, Any]:
    """A schema of `COMPONENTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


COMPONENTS: Mapping[str, Any] = {
    "Error": obj(error=obj(code=TEXT, message=TEXT, hint=TEXT)),
    "Done": some(carried_out=TRUTH, said=TEXT),
    "Session": obj(
        look=TRUTH,
        act=TRUTH,
        asks_for_a_token=TRUTH,
        asks_for_an_admin_token=TRUTH,
        can_act=TRUTH,
        why_not=TEXT,
        source=TEXT,
        name=TEXT,
    ),
    "Part": obj(
        kind=TEXT,
        name=TEXT,
        state={"enum": ["ready", "not ready", "unknown"]},
        address=TEXT,
        reason=TEXT,
        figures=OBJECT,
    ),
    "Lease": obj(
        tokens=NUMBER,
        spent_tokens=NUMBER,
        reserved_tokens=NUMBER,
        overrun_tokens=NUMBER,
        micro_usd=NUMBER,
        spent_micro_usd=NUMBER,
        deadline_ms=NUMBER,
        exhausted=TRUTH,
    ),
    "DeliberationRow": obj(
        deliberation_id=TEXT,
        plan_id=TEXT,
        task=TEXT,
        attempt=NUMBER,
        state=TEXT,
        version=NUMBER,
        started_ms=NUMBER,
        changed_ms=NUMBER,
        complete=TRUTH,
        trouble=TEXT,
        title=null_or(TEXT),
        role=null_or(TEXT),
        story=null_or(TEXT),
        protocol=null_or(TEXT),
        agents=array(TEXT),
        step=null_or(TEXT),
        answered=null_or(NUMBER),
        asked=null_or(NUMBER),
        winner=null_or(TEXT),
        standing=null_or(TEXT),
        decision=null_or(TEXT),
        reason=null_or(TEXT),
        failed_jobs=null_or(NUMBER),
        calls=null_or(NUMBER),
        lease=null_or(ref("Lease")),
        ended_ms=null_or(NUMBER),
    ),
    "TaskRow": obj(
        task=TEXT,
        title=TEXT,
        role=TEXT,
        depends_on=array(TEXT),
        state=TEXT,
        attempt=NUMBER,
        deliberation_id=null_or(TEXT),
        winner=TEXT,
        standing=TEXT,
        recorded=TRUTH,
        reason=TEXT,
    ),
    "PlanRow": some(
        plan_id=TEXT,
        attempt=NUMBER,
        story=TEXT,
        title=TEXT,
        approved_ms=NUMBER,
        state={"enum": ["running", "decided", "undecided", "refused"]},
        reason=TEXT,
        tasks=array(ref("TaskRow")),
    ),
    "Agent": obj(
        agent=TEXT,
        number=NUMBER,
        role=TEXT,
        persona=TEXT,
        binding=TEXT,
        model=TEXT,
        temperature={"type": "number"},
        top_p={"type": "number"},
        max_tokens=NUMBER,
        seed=null_or(NUMBER),
    ),
    "Node": obj(
        id=TEXT, kind=TEXT, title=TEXT, role=TEXT, standing=TEXT, at_ms=NUMBER, winner=TEXT
    ),
    "Relation": obj(kind=TEXT, source=TEXT, target=TEXT),
    "Letter": obj(
        position=TEXT,
        time_ms=NUMBER,
        subject=TEXT,
        event_id=TEXT,
        durable=TEXT,
        reason=TEXT,
        attempts=NUMBER,
        envelope=OBJECT,
        unreadable=TEXT,
        fate=TEXT,
        became=TEXT,
        settled=TRUTH,
    ),
}
