"""Every subject, stream and durable of the fleet, and the envelope that travels on them.

This is the one place where they are defined. Envelopes are CloudEvents 1.0 in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fleet_core.errors import DecodeError

MAX_INLINE_BYTES = 256 * 1024  # a larger payload travels as a blob reference


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a family of subjects is kept; `max_age_s` in seconds, 0 for ever."""

    name: str
    subjects: str
    max_age_s: int
    work_queue: bool = False
    memory: bool = False


_DAY = 24 * 3600
STREAMS = (
    Stream("PLANNING_EVENTS", "planning.>", 30 * _DAY),
    Stream("ORCHESTRATOR_EVENTS", "orchestration.>", 7 * _DAY),
    Stream("CONTEXT_EVENTS", "context.>", 7 * _DAY),
    Stream("AGENT_RESULTS", "agent.results.>", 3600),
    Stream("VLLM_STREAMING", "vllm.streaming.>", 600, memory=True),
    Stream("AGENT_JOBS", "agent.jobs.>", 7 * _DAY, work_queue=True),
    Stream("DEAD_LETTERS", "dead.>", 30 * _DAY),
)

PLAN_APPROVED = "planning.plan.approved"
PLAN_CANCELLED = "planning.plan.cancelled"
DELIBERATION = "orchestration.deliberation"
STARTED = f"{DELIBERATION}.started"
ADVANCED = f"{DELIBERATION}.advanced"
DECIDED = f"{DELIBERATION}.decided"
AMENDED = f"{DELIBERATION}.amended"
FAILED = f"{DELIBERATION}.failed"
CANCELLED = f"{DELIBERATION}.cancelled"
COMPLETED = f"{DELIBERATION}.completed"
CONTEXT_UPDATED = "context.updated"
RESULTS = "agent.results"
TOKENS = "vllm.streaming"
DEAD = "dead"


def result_subject(task: str) -> str:
    """Where results of a task are published; `task` is `ids.task_token`."""
    return f"{RESULTS}.{task}"


def token_subject(task: str, agent_id: str) -> str:
    """Where an agent's words are streamed."""
    return f"{TOKENS}.{task}.{agent_id}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        event_id: publishing the same id again has no effect.
        subject: one of the subjects above.
        data: the payload, JSON data.
        time_ms: UTC milliseconds.
        sequence: of a deliberation's events, the state's version; 0 elsewhere.
        traceparent: W3C trace context, or empty.
    """

    event_id: str
    subject: str
    data: Mapping[str, Any] = field(hash=False)
    time_ms: int = 0
    sequence: int = 0
    traceparent: str = ""


@lru_cache(maxsize=4096)
def stream_of(subject: str) -> Stream:
    """The stream that holds a subject.

    Raises:
        KeyError: no stream does; publishing it would lose it.
    """
    for stream in STREAMS:
        if matches(stream.subjects, subject):
            return stream
    raise KeyError(subject)


def matches(pattern: str, subject: str) -> bool:
    """NATS subject matching: `*` stands for one token, a final `>` for one or more."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(given) > index
        if index >= len(given) or part not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def to_cloudevent(event: Event) -> dict[str, Any]:
    """The CloudEvents 1.0 structured form."""
    stamp = datetime.fromtimestamp(event.time_ms / 1000, UTC)
    out: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": "/fleet",
        "type": event.subject,
        "time": stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": event.data,
    }
    if event.sequence:
        out["sequence"] = str(event.sequence)
    if event.traceparent:
        out["traceparent"] = event.traceparent
    return out


def from_cloudevent(data: object, *, source: str = "event") -> Event:
    """An event from its CloudEvents form.

    Raises:
        DecodeError: names the attribute that is missing or wrong.
    """
    if not isinstance(data, dict):
        raise DecodeError("should be a CloudEvents object", source=source)
    for name in ("specversion", "id", "type", "time"):
        if not isinstance(data.get(name), str) or not data[name]:
            raise DecodeError("should be text", source=source, field=name)
    if data["specversion"] != "1.0":
        raise DecodeError("only CloudEvents 1.0 is read", source=source, field="specversion")
    if not isinstance(data.get("data"), dict):
        raise DecodeError("should be a mapping", source=source, field="data")
    try:
        stamp = datetime.fromisoformat(data["time"])
        sequence = int(data.get("sequence", 0))
    except (ValueError, TypeError, OverflowError) as error:
        raise DecodeError(str(error), source=source, field="time or sequence") from None
    if stamp.tzinfo is None:
        raise DecodeError("has no time zone", source=source, field="time")
    return Event(
        data["id"],
        data["type"],
        data["data"],
        round(stamp.timestamp() * 1000),
        sequence,
        str(data.get("traceparent", "")),
    )


def encode(event: Event) -> bytes:
    """The envelope as UTF-8 JSON; lone surrogates, which models do send, travel escaped."""
    data = to_cloudevent(event)
    try:
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(data, separators=(",", ":")).encode()


def decode(raw: bytes, *, source: str = "event") -> Event:
    """An event from UTF-8 JSON; DecodeError where it is not one."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}", source=source) from None
    return from_cloudevent(data, source=source)
