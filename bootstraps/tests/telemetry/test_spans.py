"""What the standard variables ask for, and what a collector is sent."""

from __future__ import annotations

import asyncio
import gzip
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleet_bootstraps.telemetry import spans
from fleet_bootstraps.telemetry.masks import Masks
from fleet_bootstraps.telemetry.spans import span_recorder, wanted
from fleet_core import tracing
from fleet_core.errors import PluginError, ProfileError

pytestmark = pytest.mark.anyio
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "exporter"),
    [
        ({}, ""),
        ({"OTEL_SERVICE_NAME": "mine"}, ""),
        ({ENDPOINT: "http://h:4318"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:4318/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", ENDPOINT: "http://h:4318"}, ""),
        ({"OTEL_SDK_DISABLED": "true", ENDPOINT: "http://h:4318"}, ""),
    ],
)
async def test_the_environment_says_whether_there_are_traces(
    environ: dict[str, str], exporter: str
) -> None:
    assert wanted(environ) == exporter


async def test_what_cannot_be_done_is_refused_by_the_variables_name() -> None:
    with pytest.raises(ProfileError, match=r"OTEL_TRACES_EXPORTER.*'zipkin'"):
        wanted({"OTEL_TRACES_EXPORTER": "zipkin"})
    with pytest.raises(ProfileError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL.*'grpc'"):
        wanted({ENDPOINT: "http://h:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


async def test_without_the_package_one_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(PluginError, match=r"swe-ai-fleet\[telemetry\]"):
        async with span_recorder("executor", {"OTEL_TRACES_EXPORTER": "otlp"}, Masks()):
            pass


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector that keeps what it is sent."""
    sent: list[ExportTraceServiceRequest] = []

    async def take(request: web.Request) -> web.Response:
        raw = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        sent.append(ExportTraceServiceRequest.FromString(raw))
        return web.Response(body=b"", content_type="application/x-protobuf")

    app = web.Application()
    app.add_routes([web.post("/v1/traces", take)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", sent
    finally:
        await runner.cleanup()


async def test_a_collector_is_sent_the_spans_when_a_service_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masks = Masks()
    masks.remember("s3cr3t-value")
    async with collector() as (url, sent):
        environ = {ENDPOINT: url, "OTEL_RESOURCE_ATTRIBUTES": "deployment=test"}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        async with span_recorder("executor", environ, masks) as recorder:
            assert recorder is not None
            with tracing.recording(recorder), tracing.span("outer", tracing.Kind.SERVER) as outer:
                outer.note({"said": "with s3cr3t-value", "tries": 2})
                with pytest.raises(ProfileError), tracing.span("inner"):
                    raise ProfileError("no")
    (request,) = sent
    (told,) = request.resource_spans
    about = {a.key: a.value.string_value for a in told.resource.attributes}
    assert about["service.name"] == "fleet-executor"
    assert about["deployment"] == "test"
    inner, outer_ = told.scope_spans[0].spans
    assert (inner.name, outer_.name) == ("inner", "outer")
    assert inner.parent_span_id == outer_.span_id
    assert inner.trace_id == outer_.trace_id == bytes.fromhex(outer.traceparent.split("-")[1])
    assert (inner.status.code, inner.status.message) == (2, "profile")
    assert {a.key: a.value.string_value or a.value.int_value for a in outer_.attributes} == {
        "said": "with ***",
        "tries": 2,
    }


async def test_a_share_of_traces_is_sampled_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    async with collector() as (url, sent):
        monkeypatch.setenv(ENDPOINT, url)
        async with span_recorder("executor", {ENDPOINT: url}, Masks()) as recorder:
            with tracing.recording(recorder):
                for _ in range(200):
                    with tracing.span("outer"), tracing.span("inner"):
                        pass
    found = [s for r in sent for t in r.resource_spans for s in t.scope_spans[0].spans]
    by_trace: dict[bytes, set[str]] = {}
    for span in found:
        by_trace.setdefault(span.trace_id, set()).add(span.name)
    assert 50 < len(by_trace) < 150
    assert all(names == {"inner", "outer"} for names in by_trace.values())


async def test_a_collector_that_is_away_keeps_no_service_from_ending(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spans, "_FLUSH_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # whom it connects is never answered
        environ = {ENDPOINT: f"http://127.0.0.1:{mute.getsockname()[1]}"}
        monkeypatch.setenv(ENDPOINT, environ[ENDPOINT])
        async with asyncio.timeout(5):
            async with span_recorder("executor", environ, Masks()) as recorder:
                with tracing.recording(recorder), tracing.span("work"):
                    pass
    assert "not all spans were sent within 0.1 s" in caplog.text
