"""From a message that anybody may have published to an event, or the reason why it is none."""

from __future__ import annotations

from typing import Any

from fleet_adapters.nats._pull import Received
from fleet_core.domain.events import DEAD, Event, decode
from fleet_core.errors import DecodeError

_DEEPEST = 100
"""Of nesting: what is read must be written again, into a dead letter if need be."""
_LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999


def read(got: Received, max_bytes: int) -> Event:
    """The event in a message.

    Raises:
        DecodeError: it is none, or none that could be handed on; says why.
    """
    subject, raw = got.msg.subject, got.msg.data
    source = f"message {got.sequence} on {subject}"
    if len(raw) > max_bytes and not subject.startswith(f"{DEAD}."):
        raise DecodeError(f"has {len(raw)} bytes, more than {max_bytes}", source=source)
    event = decode(raw, source=source)
    if event.subject != subject:
        raise DecodeError(f"says {event.subject[:200]!r}", source=source, field="type")
    if not 0 <= event.time_ms <= _LATEST_MS:
        raise DecodeError("is before 1970 or after 9999", source=source, field="time")
    if raw.count(b"{") + raw.count(b"[") > _DEEPEST and _depth(event.data) > _DEEPEST:
        raise DecodeError(f"is nested deeper than {_DEEPEST}", source=source, field="data")
    return event


def _depth(data: Any) -> int:
    """How deeply it is nested, as far as it matters."""
    depth, level = 0, [data]
    while level and depth <= _DEEPEST:
        depth += 1
        inner = [v.values() if isinstance(v, dict) else v for v in level]
        level = [v for values in inner for v in values if isinstance(v, dict | list)]
    return depth
