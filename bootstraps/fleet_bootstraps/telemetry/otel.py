"""The fleet's spans as OpenTelemetry's."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from fleet_bootstraps.telemetry.masks import Masks
from fleet_core.tracing import Kind, Recorder, Span, Value

_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.SERVER: SpanKind.SERVER,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
}


class OtelRecorder(Recorder):
    """Hands spans to an exporter, in batches.

    The sampler, the batches and the resource are as the SDK reads them from `OTEL_*`.

    Args:
        service: `service.name`, unless the environment names another; with `fleet-` before it.
        version: of the fleet.
        exporter: takes them; closed with the recorder.
        environ: what the SDK reads.
        masks: what no span may say.
    """

    def __init__(
        self,
        service: str,
        version: str,
        exporter: SpanExporter,
        environ: Mapping[str, str],
        masks: Masks,
    ) -> None:
        self._resource = _resource(service, version, environ)
        self._processor = BatchSpanProcessor(exporter)
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        self._scope = InstrumentationScope("fleet", version)
        self._masks = masks

    def samples(self, trace_id: str) -> bool:
        """See Recorder."""
        said = self._sampler.should_sample(None, int(trace_id, 16), "fleet")
        return said.decision is Decision.RECORD_AND_SAMPLE

    def ended(self, span: Span) -> None:
        """See Recorder."""
        self._processor.on_end(
            ReadableSpan(
                span.name,
                _context(span.traceparent, remote=False),
                _context(span.parent, remote=True) if span.parent else None,
                self._resource,
                {name: self._masked(value) for name, value in span.attributes.items()},
                kind=_KINDS[span.kind],
                status=Status(StatusCode.ERROR, self._masks.hidden(span.error))
                if span.error
                else Status(),
                start_time=span.start_ns,
                end_time=span.end_ns,
                instrumentation_scope=self._scope,
            )
        )

    def flush(self) -> None:
        """Send what there is. Blocks."""
        self._processor.force_flush()

    def close(self) -> None:
        """Send what is left. Blocks."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # it says no types

    def _masked(self, value: Value) -> Value:
        return self._masks.hidden(value) if isinstance(value, str) else value


def _context(traceparent: str, *, remote: bool) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")[:4]
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), remote, TraceFlags(int(flags, 16) & TraceFlags.SAMPLED)
    )


def _resource(service: str, version: str, environ: Mapping[str, str]) -> Resource:
    own = {"service.version": version, "service.instance.id": str(uuid.uuid4())}
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create(own if named else {**own, "service.name": f"fleet-{service}"})
