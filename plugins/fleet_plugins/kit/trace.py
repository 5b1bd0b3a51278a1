"""W3C trace context of what is going on now; it travels with tasks, RPCs, events and HTTP calls.

Pure but for the ids: whoever exports spans reads the same `traceparent`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "traceparent"
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_current: ContextVar[str] = ContextVar("fleet_traceparent", default="")


def current() -> str:
    """The `traceparent` of what is going on in this task; empty where nothing is traced."""
    return _current.get()


def valid(traceparent: str) -> bool:
    """Whether it is a W3C trace context: no other version's, no id of zeros."""
    found = _FORM.fullmatch(traceparent)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return False
    return bool(found[2].strip("0") and found[3].strip("0"))


def child(parent: str = "") -> str:
    """A new span within `parent`, or within a new sampled trace where that is not valid."""
    if valid(parent):
        _, trace_id, _, flags = parent.split("-")[:4]
    else:
        trace_id, flags = os.urandom(16).hex(), "01"
    return f"00-{trace_id}-{os.urandom(8).hex()}-{flags}"


@contextmanager
def within(traceparent: str) -> Iterator[str]:
    """Let `traceparent` be the current one; tasks that begin meanwhile keep it."""
    token = _current.set(traceparent)
    try:
        yield traceparent
    finally:
        _current.reset(token)
