"""A story's history as records, and as lines of JSON that carry it from one graph to another.

The first line says what it is: `{"fleet_story": 1, "story": "..."}`. Each other line is one record:
`{"plan": {...}}` or `{"decision": {...}, "recorded_ms": ...}`, in the order in which they were
recorded, plans first. Recorded again in that order, they make the same story.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.context import PlanRecord
from fleet_core.domain.decision import Decision
from fleet_core.domain.told import ToldDecision
from fleet_core.errors import DecodeError, InputError

FORMAT = 1
MAX = 2**62
"""Above the number of every plan."""
_HEAD = "fleet_story"
_PLACE = re.compile(r"(?:([pd]):([0-9]{1,18}))?")


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision, current or superseded.

    Attributes:
        recorded_ms: when, UTC milliseconds.
        told: what later tasks are told of it; it is made again for another graph, and so is never
            read back.
    """

    decision: Decision
    recorded_ms: int
    told: ToldDecision | None = None


Record = PlanRecord | DecisionRecord


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record and its place in the history of its story; what comes after it has a later one.

    Attributes:
        supersedes: of a decision, the ids of those whose place it took and that are still kept.
    """

    place: str
    record: Record
    supersedes: tuple[str, ...] = ()


def place_of(record: Record, number: int) -> str:
    """A place that sorts a story's plans before its decisions, each by their number."""
    return f"{'p' if isinstance(record, PlanRecord) else 'd'}:{number}"


def passed(place: str) -> tuple[int, int]:
    """The numbers of the last plan and of the last decision up to a place of `place_of`.

    Where it is a decision's, all plans are passed.

    Raises:
        InputError: it is no such place.
    """
    found = _PLACE.fullmatch(place)
    if found is None:
        raise InputError(
            "is no place in a history", "give the place of the last record", field="after"
        )
    number = int(found[2] or 0)
    return (MAX, number) if found[1] == "d" else (number, 0)


def story_of(record: Record) -> str:
    """The story that a record belongs to."""
    return record.plan.story if isinstance(record, PlanRecord) else record.decision.story


def require_one_story(records: Sequence[Record]) -> str:
    """The story that all of them belong to; empty where there are none.

    Raises:
        InputError: they belong to several.
    """
    stories = {story_of(record) for record in records}
    if len(stories) > 1:
        first, second, *_ = sorted(stories)
        raise InputError(
            f"records of several stories, {first!r} and {second!r}", "restore one after the other"
        )
    return next(iter(stories), "")


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
