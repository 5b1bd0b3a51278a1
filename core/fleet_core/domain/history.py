"""A story's history as records, and as lines of JSON that carry it from one graph to another.

The first line says what it is: `{"fleet_story": 1, "story": "..."}`. Each other line is one record:
`{"plan": {...}}` or `{"decision": {...}, "recorded_ms": ...}`, in the order in which they were
recorded, plans first. Recorded again in that order, they make the same story.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.context import PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.errors import DecodeError

FORMAT = 1
_HEAD = "fleet_story"


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision, current or superseded, and when it was recorded (UTC milliseconds)."""

    decision: Decision
    recorded_ms: int


Record = PlanRecord | DecisionRecord


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record and its place in the history of its story; what comes after it has a later one."""

    place: str
    record: Record


def story_of(record: Record) -> str:
    """The story that a record belongs to."""
    return record.plan.story if isinstance(record, PlanRecord) else record.decision.story


def head(story: str) -> str:
    """The first line, without its end."""
    return _line({_HEAD: FORMAT, "story": story})


def line(record: Record) -> str:
    """The line of a record, without its end."""
    if isinstance(record, PlanRecord):
        return _line({"plan": to_data(record)})
    return _line({"decision": to_data(record.decision), "recorded_ms": record.recorded_ms})


def read_head(text: str, source: str) -> str:
    """The story that a first line names.

    Raises:
        DecodeError: it is no first line, or of another format.
    """
    data = _object(text, source)
    if data.get(_HEAD) != FORMAT:
        raise DecodeError(
            f"is no story of format {FORMAT}",
            "give a file that `fleet story export` wrote",
            source=source,
            field=_HEAD,
        )
    return from_data(str, data.get("story"), source=source, at="story")


def read_line(text: str, story: str, source: str) -> Record:
    """The record in a line.

    Raises:
        DecodeError: it holds none, or one of another story; names `source` and the field.
    """
    data = _object(text, source)
    record: Record
    if "plan" in data:
        record = from_data(PlanRecord, data["plan"], source=source, at="plan")
    else:
        decision = from_data(Decision, data.get("decision"), source=source, at="decision")
        at = from_data(int, data.get("recorded_ms"), source=source, at="recorded_ms")
        record = DecisionRecord(decision, at)
    if story_of(record) != story:
        raise DecodeError(
            f"belongs to story {story_of(record)!r}, the file to {story!r}", source=source
        )
    return record


def _line(data: dict[str, Any]) -> str:
    # Escaped: a lone surrogate, which a model can write, has no UTF-8.
    return json.dumps(data, separators=(",", ":"))


def _object(text: str, source: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}", source=source) from None
    if not isinstance(data, dict):
        raise DecodeError("should be a JSON object", source=source)
    return data
