"""W3C trace context of what is going on now, and who is told of each piece of work that ended.

A context travels with tasks, RPCs, events and HTTP calls. Unless a recorder is set (`recording`),
spans are not made: what came from outside is handed on as it is, and nothing else is done.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from fleet_core.errors import FleetError

HEADER = "traceparent"
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
Value = str | int | float | bool


class Kind(StrEnum):
    """What a span is of: work of one's own, a call made or taken, an event sent or received."""

    INTERNAL = "internal"
    CLIENT = "client"
    SERVER = "server"
    PRODUCER = "producer"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work that has ended.

    Attributes:
        name: of few different values; what tells pieces apart is among the attributes.
        traceparent: its own; `parent` is the span that it belongs to, or empty.
        start_ns, end_ns: UTC nanoseconds.
        error: why it failed, as a code or a type; empty where it did not.
    """

    name: str
    kind: Kind
    traceparent: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict, hash=False)
    error: str = ""


class Recorder(Protocol):
    """Takes spans; both methods return at once and never raise."""

    def samples(self, trace_id: str) -> bool:
        """Whether a trace that begins here is to be recorded; 32 hex digits."""

    def ended(self, span: Span) -> None:
        """Take a span of a trace that is recorded."""


_current: ContextVar[str] = ContextVar("fleet_traceparent", default="")
_recorder: ContextVar[Recorder | None] = ContextVar("fleet_recorder", default=None)


def current() -> str:
    """The `traceparent` of what is going on in this task; empty where nothing is traced."""
    return _current.get()


def turn_to(traceparent: str) -> None:
    """Let this task go on with that; for whoever hands out work that others then begin."""
    _current.set(traceparent)


def valid(traceparent: str) -> bool:
    """Whether it is a W3C trace context: no other version's, no id of zeros."""
    found = _FORM.fullmatch(traceparent)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return False
    return bool(found[2].strip("0") and found[3].strip("0"))


def sampled(traceparent: str) -> bool:
    """Whether the trace of a valid context is being recorded, here or where it comes from."""
    return bool(int(traceparent.split("-")[3], 16) & 1)


def child(parent: str = "") -> str:
    """A new span within `parent`, or in a new trace where that is not valid.

    A new trace is sampled where a recorder says so.
    """
    if valid(parent):
        _, trace_id, _, flags = parent.split("-")[:4]
    else:
        trace_id, recorder = os.urandom(16).hex(), _recorder.get()
        flags = "01" if recorder is not None and recorder.samples(trace_id) else "00"
    return f"00-{trace_id}-{os.urandom(8).hex()}-{flags}"


@contextmanager
def within(traceparent: str) -> Iterator[str]:
    """Let `traceparent` be the current one; tasks that begin meanwhile keep it."""
    token = _current.set(traceparent)
    try:
        yield traceparent
    finally:
        _current.reset(token)


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Tell `recorder` of the spans of this task, and of tasks that begin meanwhile."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


def record(span: Span) -> None:
    """Hand a span to the recorder, if there is one and the trace is sampled."""
    recorder = _recorder.get()
    if recorder is not None and sampled(span.traceparent):
        recorder.ended(span)


class Begun:
    """A span under way. What is not recorded takes notes and forgets them.

    Attributes:
        traceparent: its own; of one that is not recorded, what is to be handed on.
    """

    __slots__ = (
        "_attributes",
        "_kind",
        "_name",
        "_parent",
        "_recorder",
        "_start_ns",
        "traceparent",
    )

    def __init__(self, name: str, kind: Kind, parent: str) -> None:
        recorder = _recorder.get()
        self._recorder: Recorder | None = None
        if recorder is None:
            self.traceparent = parent if parent and valid(parent) else ""
            return
        self._parent = parent if valid(parent) else ""
        self.traceparent = child(parent)
        if sampled(self.traceparent):
            self._recorder = recorder
            self._name, self._kind = name, kind
            self._start_ns = time.time_ns()
            self._attributes: dict[str, Value] = {}

    @property
    def recorded(self) -> bool:
        """Whether it is worth while to note anything."""
        return self._recorder is not None

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes."""
        if self._recorder is not None:
            self._attributes.update(attributes)

    def end(self, error: str = "") -> None:
        """It has ended, for good or by an error; only the first end counts."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.ended(
                Span(
                    self._name,
                    self._kind,
                    self.traceparent,
                    self._parent,
                    self._start_ns,
                    time.time_ns(),
                    self._attributes,
                    error,
                )
            )


def begin(name: str, kind: Kind = Kind.INTERNAL, parent: str | None = None) -> Begun:
    """Begin a span within `parent`, or within the current one; the current one stays.

    Whoever begins it ends it.
    """
    return Begun(name, kind, _current.get() if parent is None else parent)


def error_of(failure: BaseException) -> str:
    """What a span that failed by it says: the error's code, or its type."""
    if isinstance(failure, asyncio.CancelledError):
        return "cancelled"
    return failure.code if isinstance(failure, FleetError) else type(failure).__name__


@contextmanager
def span(name: str, kind: Kind = Kind.INTERNAL, parent: str | None = None) -> Iterator[Begun]:
    """A span that is the current one while this is held; an exception is its error."""
    begun = begin(name, kind, parent)
    token = _current.set(begun.traceparent)
    error = ""
    try:
        yield begun
    except BaseException as failure:
        error = error_of(failure)
        raise
    finally:
        _current.reset(token)
        begun.end(error)
