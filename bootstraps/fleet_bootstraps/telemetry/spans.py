"""Spans to OpenTelemetry, as the standard variables `OTEL_*` say; without them, nothing."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import fleet_core
from fleet_bootstraps.telemetry.masks import Masks
from fleet_core.errors import PluginError, ProfileError
from fleet_core.tracing import Recorder

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_log = logging.getLogger("fleet.telemetry")
_FLUSH_S = 5.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_ONLY = "http/protobuf"


def wanted(environ: Mapping[str, str]) -> str:
    """Which exporter the environment asks for: `otlp`, `console`, or empty for none.

    `OTEL_TRACES_EXPORTER` says it; where it does not, an OTLP endpoint that is set means `otlp`.

    Raises:
        ProfileError: it asks for one that there is not.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    name = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if name == "none":
        return ""
    if not name:
        name = "otlp" if any(environ.get(variable) for variable in _ENDPOINTS) else ""
    if name not in ("", "otlp", "console"):
        raise ProfileError(
            f"there is no exporter {name!r}",
            "use otlp, console or none",
            field="OTEL_TRACES_EXPORTER",
        )
    protocol = next((environ[p] for p in _PROTOCOLS if environ.get(p)), _ONLY)
    if name == "otlp" and protocol != _ONLY:
        raise ProfileError(f"{protocol!r} is not spoken", f"use {_ONLY}", field=_PROTOCOLS[1])
    return name


@asynccontextmanager
async def span_recorder(
    service: str, environ: Mapping[str, str], masks: Masks
) -> AsyncIterator[Recorder | None]:
    """A recorder for as long as the context is held; None where no exporter is asked for.

    Spans are sent in batches from a thread. What is left is sent in the end, for five seconds at
    most: a collector that is away does not keep a service from ending.

    Raises:
        ProfileError: the variables ask for what there is not.
        PluginError: OpenTelemetry is not installed.
    """
    name = wanted(environ)
    if not name:
        yield None
        return
    try:
        exporter = _exporter(name)
        from fleet_bootstraps.telemetry.otel import OtelRecorder  # noqa: PLC0415 -- only where asked
    except ImportError as error:
        raise PluginError(
            f"traces need the module {error.name}, which is not installed",
            "pip install 'swe-ai-fleet[telemetry]', or set OTEL_TRACES_EXPORTER=none",
        ) from None
    recorder = OtelRecorder(service, fleet_core.__version__, exporter, environ, masks)
    try:
        yield recorder
    finally:
        if not await _flushed(recorder.close):
            exporter.shutdown()  # so that it does not try again


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 -- as asked

        return ConsoleSpanExporter(out=sys.stderr)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 -- as asked
        OTLPSpanExporter,
    )

    return OTLPSpanExporter()


async def _flushed(close: Callable[[], None]) -> bool:
    """Whether it came to its end in time."""
    # In a thread of its own: those of the loop would be waited for at the process's end.
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        try:
            close()
        finally:
            with suppress(RuntimeError):  # the loop has not waited for us
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, daemon=True, name="last-spans").start()
    try:
        async with asyncio.timeout(_FLUSH_S):
            await done.wait()
    except TimeoutError:
        _log.warning("not all spans were sent within %g s", _FLUSH_S)
        return False
    return True
