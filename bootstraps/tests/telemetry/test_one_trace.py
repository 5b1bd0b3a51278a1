"""All that is done for a task is one trace: from its approval, over NATS and gRPC, to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from fleet_bootstraps.telemetry.masks import Masks
from fleet_bootstraps.telemetry.otel import OtelRecorder
from fleet_bootstraps.telemetry.watching import Watching
from fleet_core.domain.events import COMPLETED, CONTEXT_UPDATED, Event

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PLANNING = "b7ad6b7169203331"
PARENT = f"00-{TRACE_ID}-{PLANNING}-01"


class Tree:
    """Spans by their ids."""

    def __init__(self, spans: list[ReadableSpan]) -> None:
        self.spans = {span_id(span): span for span in spans}
        assert len(self.spans) == len(spans)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans.values() if span.name == name]

    def above(self, span: ReadableSpan) -> list[str]:
        """The names of what it belongs to, nearest first."""
        names = []
        while (up := parent_id(span)) in self.spans:
            span = self.spans[up]
            names.append(span.name)
        assert up == PLANNING, f"{span.name} hangs on {up}, which is nowhere"
        return names


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def parent_id(span: ReadableSpan) -> str:
    return f"{span.parent.span_id:016x}" if span.parent is not None else ""


def service(span: ReadableSpan) -> object:
    return span.resource.attributes["service.name"]


@asynccontextmanager
async def traced(
    services: Callable[..., AbstractAsyncContextManager[Any]], **sets: str
) -> AsyncIterator[tuple[Any, list[Event], InMemorySpanExporter]]:
    """What one task left, once all of it has ended."""
    exporter = InMemorySpanExporter()
    recorders = [
        OtelRecorder(name, "0", exporter, {}, Masks())
        for name in ("executor", "context", "orchestrator")
    ]
    async with services(
        executor=Watching(traced=True),
        context=Watching(traced=True),
        orchestrator=Watching(traced=True),
        recorders=recorders,
        **sets,
    ) as running:
        events = await running.decided(PARENT)
        async with asyncio.timeout(10):  # until the last of it is settled
            while f"consume {CONTEXT_UPDATED}" not in flushed(  # noqa: ASYNC110 -- nobody tells
                recorders, exporter
            ):
                await asyncio.sleep(0.02)
    for recorder in recorders:
        recorder.close()
    yield running, events, exporter


async def test_a_task_of_many_steps_is_one_tree_too(
    services: Callable[..., AbstractAsyncContextManager[Any]],
) -> None:
    sets = {"deliberation.protocol": "peer-review"}
    async with traced(services, **sets) as (running, _, exporter):
        calls = [asked.traceparent for asked in running.model.seen]
    tree = Tree(list(exporter.get_finished_spans()))
    for span in tree.spans.values():
        tree.above(span)
    steps = {span.name.partition(" ")[2] for span in tree.spans.values() if span.name[:4] == "job "}
    assert steps == {"propose", "critique", "revise", "judge"}
    models = tree.named("model default")
    assert sorted(calls) == sorted(f"00-{TRACE_ID}-{span_id(span)}-01" for span in models)
    # Each step comes from a result of the step before.
    critique = tree.above(tree.named("job critique")[0])
    assert critique[2:5] == ["consume agent.results", "publish agent.results", "job propose"]
    revise = tree.above(tree.named("job revise")[0])
    assert revise[2:5] == ["consume agent.results", "publish agent.results", "job critique"]


async def test_one_task_is_one_tree(
    services: Callable[..., AbstractAsyncContextManager[Any]],
) -> None:
    async with traced(services) as (running, events, exporter):
        calls = {asked.traceparent for asked in running.model.seen}
    tree = Tree(list(exporter.get_finished_spans()))
    assert {f"{span.context.trace_id:032x}" for span in tree.spans.values() if span.context} == {
        TRACE_ID
    }
    chains = {span.name: tree.above(span) for span in tree.spans.values()}

    approved = tree.named("consume planning.plan.approved")
    assert {span.attributes["fleet.durable"] for span in approved if span.attributes} == {
        "plans",
        "hydrate",
    }
    assert all(parent_id(span) == PLANNING for span in approved)

    models = tree.named("model default")
    assert len(models) == 3  # a council of three, one sample each
    assert calls == {f"00-{TRACE_ID}-{span_id(span)}-01" for span in models}
    rpc = "fleet.executor.v1.ExecutorService/ExecuteDeliberation"
    assert chains["model default"] == ["job propose", rpc, rpc, "consume planning.plan.approved"]
    job = tree.named("job propose")[0]
    server = tree.spans[parent_id(job)]
    client = tree.spans[parent_id(server)]
    assert (server.kind, client.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert [service(span) for span in (models[0], job, server, client)] == [
        "fleet-executor",
        "fleet-executor",
        "fleet-executor",
        "fleet-orchestrator",
    ]

    packs = tree.named("fleet.context.v1.ContextService/GetContext")
    assert [service(span) for span in sorted(packs, key=lambda span: span.kind.value)] == [
        "fleet-context",
        "fleet-orchestrator",
    ]
    assert {chain[-1] for chain in (tree.above(span) for span in packs)} == {
        "consume planning.plan.approved"
    }
    (recording,) = tree.named(f"publish {CONTEXT_UPDATED}")
    assert service(recording) == "fleet-context"

    assert chains["publish agent.results"][0] == "job propose"
    assert chains["consume agent.results"][:2] == ["publish agent.results", "job propose"]
    assert chains[f"publish {COMPLETED}"][0] == "consume agent.results"
    assert chains[f"consume {COMPLETED}"][0] == f"publish {COMPLETED}"
    assert chains[f"publish {CONTEXT_UPDATED}"][0] == f"consume {COMPLETED}"
    assert chains[f"consume {CONTEXT_UPDATED}"][0] == f"publish {CONTEXT_UPDATED}"
    assert len(tree.named("consume agent.results")) == 3

    # The events carry it, so that others can join in.
    told = {f"00-{TRACE_ID}-{span_id(span)}-01" for span in tree.spans.values()}
    assert {event.traceparent for event in events} <= told


def flushed(recorders: list[OtelRecorder], exporter: InMemorySpanExporter) -> set[str]:
    for recorder in recorders:
        recorder.flush()
    return {span.name for span in exporter.get_finished_spans()}


async def test_where_nothing_records_no_event_and_no_call_carries_a_trace_of_ours(
    services: Callable[..., AbstractAsyncContextManager[Any]],
) -> None:
    async with services() as running:
        events = await running.decided()
    assert {event.traceparent for event in events} == {""}
    assert all(asked.traceparent[-2:] == "00" for asked in running.model.seen)  # not sampled
