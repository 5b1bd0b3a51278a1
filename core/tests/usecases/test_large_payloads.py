"""What is too large for an event travels as a reference, and nobody downstream is the poorer."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.deliberation import Phase, ProtocolSpec
from fleet_core.domain.events import DELIBERATION, MAX_INLINE_BYTES, RESULTS, Event
from fleet_core.domain.model_call import Completion, ModelRequest
from fleet_core.domain.plan import Plan, Task
from fleet_core.domain.plan_run import TaskState
from fleet_core.ports.model import CallBudget, OnText
from fleet_core.testing.playing import folded, seats
from fleet_core.testing.process import STRATEGIES, HashModel, World, process
from fleet_core.usecases.payload import opened
from fleet_core.usecases.stores import Stores

pytestmark = pytest.mark.anyio


class Talkative(HashModel):
    """Writes a solution that no event can hold."""

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        done = await super().complete(request, budget, on_text)
        said = json.loads(done.text)
        said["solution"] = said["solution"] + " and so on" * (MAX_INLINE_BYTES // 10)
        return replace(done, text=json.dumps(said))


def clock() -> int:
    return time.time_ns() // 1_000_000


async def test_a_huge_answer_is_decided_recorded_and_folded() -> None:
    stores = Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)
    councils = {"DEV": seats("DEV", 1)}
    protocol = ProtocolSpec("vote")
    graph = InMemoryContextGraph()
    world = World(stores, graph, councils, protocol=protocol, model=Talkative())
    plan = Plan("story", "Large", (Task("large", "Say a lot", "DEV"),))
    async with process(world, "one") as ours, asyncio.timeout(20):
        await ours.plans.approve(plan)
        seen = stores.bus.replay(["context.updated"], follow=True)
        await anext(seen)
        (found,) = [s async for s in stores.bus.replay([f"{DELIBERATION}.completed"])]
        identity = str(found.event.data["deliberation_id"])
        state = await ours.deliberate.get(identity)
        run = await ours.plans.get(str(found.event.data["plan_id"]))

    assert state.phase is Phase.DECIDED
    assert run.tasks[0].state is TaskState.DECIDED
    assert state.decision is not None
    kept = await graph.decision(state.decision.decision_id)
    assert kept is not None
    assert kept.text == state.decision.text
    log = [s.event async for s in stores.bus.replay([f"{DELIBERATION}.>", f"{RESULTS}.>"])]
    for event in log:
        assert len(json.dumps(event.data)) <= MAX_INLINE_BYTES
    whole = [
        Event(e.event_id, e.subject, await opened(e.data, stores.blobs), e.time_ms, e.sequence)
        for e in log
        if e.subject.startswith(DELIBERATION)
    ]
    assert folded(whole, STRATEGIES["vote"]) == state
