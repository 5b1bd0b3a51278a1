"""Dead letters that the bus itself writes: what it could not hand on, or gave up."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from fleet_adapters.nats._pull import Received
from fleet_core.domain.events import DEAD, Event, to_cloudevent

_SHOWN_BYTES = 64 * 1024


def given_up(event: Event, durable: str, reason: str, attempts: int, now_ms: int) -> Event:
    """The letter of an event that was handed out and never settled; as `consume.bury` writes it."""
    data = {
        "event": to_cloudevent(event),
        "durable": durable,
        "reason": reason,
        "attempts": attempts,
    }
    return Event(f"dead:{durable}:{event.event_id}", f"{DEAD}.{event.subject}", data, now_ms)


def unreadable(got: Received, stream: str, durable: str, reason: str, now_ms: int) -> Event:
    """The letter of a message that is no event of ours: its bytes, shortened, and the reason."""
    subject, raw = got.msg.subject, got.msg.data
    stamp = datetime.fromtimestamp(got.time_ns / 1e9, UTC)
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{stream}:{got.sequence}",
        "source": "/nats",
        "type": subject,
        "time": stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/octet-stream",
        "data_base64": base64.b64encode(raw[:_SHOWN_BYTES]).decode(),
    }
    data = {
        "event": event,
        "durable": durable,
        "reason": reason,
        "attempts": got.deliveries,
        "bytes": len(raw),
    }
    identity = f"dead:{durable}:{stream}:{got.sequence}"
    return Event(identity, f"{DEAD}.{subject}", data, now_ms)
