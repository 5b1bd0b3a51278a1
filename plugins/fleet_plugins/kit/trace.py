"""W3C trace context for adapters: of RPCs, events and HTTP calls. See `fleet_core.tracing`."""

from __future__ import annotations

from fleet_core.tracing import (
    HEADER,
    Begun,
    Kind,
    Recorder,
    Span,
    begin,
    child,
    current,
    record,
    recording,
    sampled,
    span,
    valid,
    within,
)

__all__ = [
    "HEADER",
    "Begun",
    "Kind",
    "Recorder",
    "Span",
    "begin",
    "child",
    "current",
    "record",
    "recording",
    "sampled",
    "span",
    "valid",
    "within",
]
