"""A job's trace goes on over the queue."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_adapters.nats.executor_server import serve_executor
from fleet_adapters.nats.settings import NatsExecutorSettings
from fleet_bootstraps.stack.nats import nats_server
from fleet_core.testing.jobs import HeldRunner, a_job
from fleet_core.testing.process import Silence
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.kit import trace

pytestmark = pytest.mark.anyio


class Kept:
    def __init__(self) -> None:
        self.spans: list[trace.Span] = []

    def samples(self, trace_id: str) -> bool:
        return True

    def ended(self, span: trace.Span) -> None:
        self.spans.append(span)


def now() -> int:
    return time.time_ns() // 1_000_000


async def test_jobs_of_two_submitters_stay_in_the_trace_of_each(
    opener: Any, tmp_path: Path
) -> None:
    stores = Stores(InMemoryEventBus(now), InMemoryStateStore(now), InMemoryBlobStore(), now)
    kept, theirs = Kept(), Kept()
    async with nats_server(tmp_path / "server") as url:
        opener.url = url
        client = await opener.open("executor", {PortName.BLOBS: stores.blobs})
        with trace.recording(kept):
            callers = []
            for number in (1, 3):
                with trace.span("caller") as caller:
                    callers.append(caller.traceparent)
                    await client.submit([a_job(number), a_job(number + 1)])
        await client.submit([a_job(5)])  # in no trace
        execute = Execute(HeldRunner(), stores, Silence(), ExecuteSettings("one", 3_000))
        ctx = FactoryContext(now, str, tmp_path, log=logging.getLogger("fleet.nats"))
        with trace.recording(theirs):
            async with (
                execute.running(),
                serve_executor(execute, stores.blobs, NatsExecutorSettings((url,)), ctx),
                asyncio.timeout(20),
            ):
                while await client.active():  # noqa: ASYNC110 -- nobody tells
                    await asyncio.sleep(0.02)
        await opener.close()

    sent = [span for span in kept.spans if span.kind is trace.Kind.PRODUCER]
    assert [span.parent for span in sent] == callers
    taken = {span.traceparent: span for span in theirs.spans if span.name == "consume agent.jobs"}
    jobs = [span for span in theirs.spans if span.name == "job propose"]
    found = sorted(taken[job.parent].parent for job in jobs)
    assert found == sorted(["", *(span.traceparent for span in sent for _ in range(2))])
