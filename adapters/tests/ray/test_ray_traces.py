"""A trace goes on in the worker, and the worker's spans come home: it reaches no collector."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from fleet_adapters.ray.plugin import RaySettings
from fleet_adapters.ray.runner import RayRunner
from fleet_core.domain.model_call import Completion, ModelRequest
from fleet_core.ports.model import CallBudget, OnText
from fleet_core.testing.jobs import a_job
from fleet_core.testing.saying import ObedientModel
from fleet_plugins.kit import trace

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
Opened = Callable[[RaySettings], AbstractAsyncContextManager[RayRunner]]


class Hearing(ObedientModel):
    """Notes which trace context each call came with."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        self.heard.append(budget.headers.get(trace.HEADER, ""))
        return await super().complete(request, budget, on_text)


class Kept:
    def __init__(self) -> None:
        self.spans: list[trace.Span] = []

    def samples(self, trace_id: str) -> bool:
        return True

    def ended(self, span: trace.Span) -> None:
        self.spans.append(span)


async def test_the_worker_and_its_model_call_are_spans_of_the_callers_trace(
    phone: Any, opened: Opened, clustered: RaySettings
) -> None:
    phone.model = model = Hearing()
    kept = Kept()
    with trace.recording(kept):
        async with opened(clustered) as runner:
            with trace.span("caller") as caller:
                assert (await runner.run(a_job())).outcome == "ok"
            assert (await runner.run(a_job(2))).outcome == "ok"

    call, worker, outer = kept.spans
    assert (call.name, worker.name, outer.name) == ("model default", "ray worker", "caller")
    assert outer.traceparent == caller.traceparent
    assert worker.parent == outer.traceparent
    assert call.parent == worker.traceparent
    assert worker.attributes["process.pid"] == phone.pids[-1] != os.getpid()
    assert worker.start_ns <= call.start_ns <= call.end_ns <= worker.end_ns
    assert model.heard == [call.traceparent, ""]  # the second belongs to no trace
