"""RPCs as spans."""

from __future__ import annotations

from fleet_adapters.grpc.telemetry import observed, unobserved
from fleet_plugins.kit import trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PATH = "/fleet.executor.v1.ExecutorService/GetStatus"


class Kept:
    def __init__(self) -> None:
        self.spans: list[trace.Span] = []

    def samples(self, trace_id: str) -> bool:
        return True

    def ended(self, span: trace.Span) -> None:
        self.spans.append(span)


def test_an_rpc_is_a_span_with_its_code_within_which_it_is_served() -> None:
    kept = Kept()
    with trace.recording(kept), observed("server", PATH, PARENT, unobserved) as ending:
        within = trace.current()
        ending.code = "UNAVAILABLE"
    (span,) = kept.spans
    assert (span.name, span.kind) == (PATH[1:], trace.Kind.SERVER)
    assert (span.traceparent, span.parent, span.error) == (within, PARENT, "UNAVAILABLE")


def test_health_that_is_asked_again_and_again_begins_no_traces() -> None:
    kept = Kept()
    with trace.recording(kept):
        for parent in ("", PARENT):
            with observed("server", "/grpc.health.v1.Health/Check", parent, unobserved):
                pass
    assert [span.parent for span in kept.spans] == [PARENT]
