"""A fleet of three services on real servers, in this process."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.scripted.answering import HashedAnswers
from fleet_adapters.scripted.server import ScriptedServer, serve
from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import Profile, bound
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.services.context import context_service
from fleet_bootstraps.services.executor import executor_service
from fleet_bootstraps.services.orchestrator import orchestrator_service
from fleet_bootstraps.stack.nats import nats_server
from fleet_bootstraps.telemetry.watching import Watching
from fleet_core.domain.codec import from_data
from fleet_core.domain.events import COMPLETED, CONTEXT_UPDATED, Event, result_subject
from fleet_core.domain.evolve import evolve
from fleet_core.domain.ids import task_token
from fleet_core.domain.job import AgentJob
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.executor import Executor
from fleet_core.ports.state_store import StateStore
from fleet_core.tracing import Recorder, recording
from fleet_core.usecases.approvals import approval
from fleet_core.usecases.documents import load
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry


@dataclass
class Services:
    """What is running.

    Attributes:
        bus, state, executor: connections of nobody's.
        model: the server that answers.
    """

    bus: EventBus
    state: StateStore
    executor: Executor
    model: ScriptedServer

    async def jobs(self) -> list[AgentJob]:
        """All that were issued, as they are kept."""
        kept = await self.state.scan("jobs/")
        return [from_data(AgentJob, data) for document in kept for data in load(document)]

    async def decided(self, traceparent: str = "") -> list[Event]:
        """Approve a plan of one task, and wait until its decision is recorded."""
        task = Task("one", "Do one thing", "DEV")
        plan = Plan(f"story-{uuid.uuid4().hex}", "One thing", (task,))
        event = evolve(approval(plan, 1, system_clock()), traceparent=traceparent)
        await self.bus.publish([event])
        found: list[Event] = []
        async with asyncio.timeout(60):
            results = result_subject(task_token(plan_id(plan), "one"))
            subjects = ["orchestration.>", "context.>", results]
            replay: Any = self.bus.replay(subjects, follow=True)
            async with aclosing(replay):
                async for stored in replay:
                    if stored.event.data.get("plan_id", plan_id(plan)) == plan_id(plan):
                        found.append(stored.event)
                    if {COMPLETED, CONTEXT_UPDATED} <= {e.subject for e in found}:
                        return found
        raise AssertionError


@pytest.fixture
async def nats_url(tmp_path: Path) -> AsyncIterator[str]:
    """A server of its own for each test: what one leaves unsettled is not another's."""
    async with nats_server(tmp_path / "nats") as url:
        yield url


_OWN = (PortName.BUS, PortName.STATE, PortName.BLOBS, PortName.EXECUTOR)
Started = Callable[..., AbstractAsyncContextManager[Services]]


def profile(home: Path, **sets: Any) -> Profile:
    given = {
        "tokens.use": "memory",
        "state.use": "sqlite",
        "blobs.use": "sqlite",
        "graph.use": "sqlite",
        "runner.use": "local",
        "deliberation.protocol": "vote",
        "services.context.listen": "127.0.0.1:0",
        "services.executor.listen": "127.0.0.1:0",
        "services.orchestrator.listen": "127.0.0.1:0",
        **sets,
    }
    listed = [f"{key}={value}" for key, value in given.items()]
    return bound("fleet", layered("fleet", {}, listed), Registry.discovered())


@pytest.fixture
def services(nats_url: str, tmp_path: Path) -> Started:
    """Starts an executor, a context service, an orchestrator and a model for them.

    Each has a `Watching` of its own, or none, and a recorder of its own, or none, in this order.
    """

    @asynccontextmanager
    async def started(
        *,
        executor: Watching | None = None,
        context: Watching | None = None,
        orchestrator: Watching | None = None,
        recorders: Sequence[Recorder | None] = (None, None, None),
        **sets: Any,
    ) -> AsyncIterator[Services]:
        here = FactoryContext(system_clock, secrets_from({}), tmp_path)
        async with AsyncExitStack() as held:
            model = await held.enter_async_context(serve(HashedAnswers()))
            sets = {
                "bus.servers": f'["{nats_url}"]',
                "model.base_url": model.base_url,
                "model.model": "scripted",
                **sets,
            }

            async def start(service: Any, number: int, watched: Watching | None) -> list[str]:
                own = profile(tmp_path, **sets)
                with recording(recorders[number]):
                    entering = service(own, here, watching=watched)
                    return [(await held.enter_async_context(entering)).address]

            sets["executor.address"] = json.dumps(await start(executor_service, 0, executor))
            sets["hydrator.address"] = json.dumps(await start(context_service, 1, context))
            await start(orchestrator_service, 2, orchestrator)
            ports = await held.enter_async_context(
                opened_ports(profile(tmp_path, **sets), here, only=_OWN)
            )
            yield Services(
                ports[PortName.BUS], ports[PortName.STATE], ports[PortName.EXECUTOR], model
            )

    return started
