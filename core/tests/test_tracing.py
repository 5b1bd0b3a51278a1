"""Spans belong to each other across tasks, and nothing is made of them where nobody records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from fleet_adapters.local.plugin import LocalSettings
from fleet_adapters.local.runner import LocalRunner
from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core import tracing
from fleet_core.domain.events import RESULTS, Event
from fleet_core.domain.inputs import Due
from fleet_core.domain.model_call import Completion, ModelRequest
from fleet_core.errors import ModelUnavailable
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.model import CallBudget, Model, ModelHealth, OnText
from fleet_core.ports.state_store import StateStore
from fleet_core.testing.jobs import a_job
from fleet_core.testing.process import Silence
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.inbox import Inbox, Waiting
from fleet_core.usecases.stores import Stores

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Kept:
    """A recorder that keeps everything."""

    takes: bool = True
    spans: list[tracing.Span] = field(default_factory=list)

    def samples(self, trace_id: str) -> bool:
        assert len(trace_id) == 32
        return self.takes

    def ended(self, span: tracing.Span) -> None:
        self.spans.append(span)


def test_spans_within_each_other_are_a_tree() -> None:
    kept = Kept()
    with tracing.recording(kept), tracing.span("outer"), tracing.span("inner"):
        pass
    inner, outer = kept.spans
    assert (inner.name, outer.name) == ("inner", "outer")
    assert inner.parent == outer.traceparent
    assert outer.parent == ""
    assert outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns
    assert tracing.current() == ""


def test_where_nobody_records_a_context_is_handed_on_as_it_came() -> None:
    with tracing.span("unseen", parent=PARENT) as begun:
        assert tracing.current() == PARENT
        assert not begun.recorded
        begun.note({"a": 1})
    with tracing.span("unseen") as begun:
        assert tracing.current() == begun.traceparent == ""
    with tracing.span("unseen", parent="nonsense"):
        assert tracing.current() == ""


def test_a_trace_that_is_not_sampled_stays_unsampled_to_its_leaves() -> None:
    kept = Kept(takes=False)
    with tracing.recording(kept), tracing.span("outer"):
        kept.takes = True  # the root has decided
        with tracing.span("inner"):
            assert tracing.current().endswith("-00")
        with tracing.span("from elsewhere", parent=PARENT[:-2] + "00"):
            pass
    assert kept.spans == []


def test_an_error_is_named_by_its_code_or_its_type() -> None:
    kept = Kept()
    with tracing.recording(kept):
        for error in (ModelUnavailable("away"), KeyError("x"), asyncio.CancelledError()):
            with pytest.raises(type(error)), tracing.span("work"):
                raise error
    assert [span.error for span in kept.spans] == ["model_unavailable", "KeyError", "cancelled"]


@pytest.mark.anyio
async def test_what_waited_is_worked_on_in_the_trace_of_what_came_last() -> None:
    seen: list[tuple[int, str]] = []
    busy, both = asyncio.Event(), asyncio.Event()

    async def work(identity: str, batch: Sequence[Waiting]) -> None:
        seen.append((len(batch), tracing.current()))
        busy.set()
        await both.wait()

    inbox = Inbox(work, lambda _: 0, 0)
    async with asyncio.TaskGroup() as tasks:
        inbox.open(tasks)
        with tracing.within(PARENT):
            inbox.offer("d", Waiting(Due(1)))
        await busy.wait()
        with tracing.within("a"):
            inbox.offer("d", Waiting(Due(2)))
        with tracing.within("b"):
            inbox.offer("d", Waiting(Due(3)))
        inbox.offer("d", Waiting(Due(4)))  # of a sweep, which belongs to no trace
        both.set()
    assert seen == [(1, PARENT), (3, "b")]


class Hearing(Model):
    """Answers, and notes which headers it was to send."""

    def __init__(self) -> None:
        self.headers: list[str] = []
        self.error: ModelUnavailable | None = None

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        self.headers.append(budget.headers.get(tracing.HEADER, ""))
        if self.error is not None:
            raise self.error
        return Completion("said", "stop", 3, 2)

    async def count(self, texts: object) -> list[int]:
        return []

    def tokenizer(self) -> str:
        return "estimate"

    async def health(self) -> ModelHealth:
        return ModelHealth(ready=True, detail="")


async def executed(clock: Callable[[], int], model: Hearing) -> str:
    """Executes one job in PARENT's trace; the trace context that its result was published in."""
    seen: list[str] = []

    class Noting(InMemoryEventBus):
        def joined(self, state: StateStore) -> None:
            return None

        async def publish(self, events: Sequence[Event]) -> None:
            seen.append(tracing.current())
            await super().publish(events)

    stores = Stores(Noting(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)
    runner = LocalRunner({"default": model}, {}, clock, LocalSettings())
    settings = ExecuteSettings("one", 3_000)
    async with Execute(runner, stores, Silence(), settings).running() as execute:
        with tracing.within(PARENT):
            await execute.submit([a_job()])
        async with stores.bus.subscribe(Subscription("test", (f"{RESULTS}.>",))) as results:
            await anext(results)
    return seen[0]


@pytest.mark.anyio
async def test_a_job_is_a_span_its_model_call_is_in_it_and_its_result_comes_from_it(
    clock: Callable[[], int],
) -> None:
    kept, model = Kept(), Hearing()
    with tracing.recording(kept):
        published_in = await executed(clock, model)
    spans = {span.name: span for span in kept.spans}
    assert set(spans) == {"job propose", "model default"}
    job, call = spans["job propose"], spans["model default"]
    assert job.parent == PARENT
    assert call.parent == job.traceparent == published_in
    assert model.headers == [call.traceparent]
    assert job.attributes["fleet.outcome"] == "ok"
    assert call.attributes["gen_ai.usage.output_tokens"] == 2


@pytest.mark.anyio
async def test_a_failed_model_call_is_a_failed_span(clock: Callable[[], int]) -> None:
    kept, model = Kept(), Hearing()
    model.error = ModelUnavailable("away")
    with tracing.recording(kept):
        await executed(clock, model)
    spans = {span.name: span for span in kept.spans}
    assert spans["model default"].error == "model_unavailable"
    assert spans["job propose"].attributes["fleet.outcome"] == "failed"


@pytest.mark.anyio
async def test_unrecorded_a_model_hears_of_the_callers_trace_or_of_none(
    clock: Callable[[], int],
) -> None:
    model = Hearing()
    await executed(clock, model)
    assert model.headers == [PARENT]
