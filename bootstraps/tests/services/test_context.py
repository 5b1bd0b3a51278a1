"""`fleet serve context`: over a real bus and real stores, in this process and as one of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from fleet_adapters.scripted.answering import HashedAnswers
from fleet_adapters.scripted.server import serve
from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import Profile, bound
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.services.context import context_service
from fleet_bootstraps.services.executor import executor_service
from fleet_bootstraps.services.orchestrator import orchestrator_service
from fleet_bootstraps.stack.nats import nats_server
from fleet_core.domain.context import ContextPack, PackRequest, PlanRecord
from fleet_core.domain.events import COMPLETED, CONTEXT_UPDATED
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.errors import ProfileError, Unavailable
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.usecases.approvals import approval
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
LIMIT_S = 60
BELOW = (PortName.BUS, PortName.STATE, PortName.BLOBS)
SETS: Mapping[str, Any] = {
    "tokens.use": "memory",
    "state.use": "sqlite",
    "blobs.use": "sqlite",
    "graph.use": "sqlite",
    "runner.use": "local",
    "deliberation.protocol": "vote",
    "councils.DEV.size": 1,
    "councils.QA.size": 1,
    "services.context.listen": "127.0.0.1:0",
    "services.executor.listen": "127.0.0.1:0",
    "services.orchestrator.listen": "127.0.0.1:0",
}


@pytest.fixture
async def nats_url(tmp_path: Path) -> AsyncIterator[str]:
    async with nats_server(tmp_path / "nats") as url:
        yield url


@pytest.fixture
async def sets(nats_url: str) -> AsyncIterator[dict[str, Any]]:
    """Of a fleet whose model answers by hash."""
    async with serve(HashedAnswers()) as model:
        base = {"model.base_url": model.base_url, "model.model": "scripted"}
        yield {**SETS, "bus.servers": f'["{nats_url}"]', **base}


def bound_of(sets: Mapping[str, Any], **more: Any) -> Profile:
    listed = [f"{key}={value}" for key, value in {**sets, **more}.items()]
    return bound("fleet", layered("fleet", {}, listed), Registry.discovered())


def told(address: str) -> dict[str, str]:
    return {"hydrator.address": f'["{address}"]'}


@pytest.fixture
def here(tmp_path: Path) -> FactoryContext:
    return FactoryContext(system_clock, secrets_from({}), tmp_path)


def a_plan() -> Plan:
    tasks = (
        Task("base", "Lay the base", "DEV"),
        Task("top", "Test it", "QA", depends_on=("base",)),
    )
    return Plan(f"story-{uuid.uuid4().hex}", "Two things", tasks)


async def pack_of(profile: Profile, here: FactoryContext, plan: Plan) -> ContextPack:
    only = (PortName.BLOBS, PortName.HYDRATOR)
    async with opened_ports(profile, here, only=only) as ports:
        request = PackRequest(plan_id(plan), plan, "top", "QA", 4_102_444_800_000, 4_000)
        pack: ContextPack = await ports[PortName.HYDRATOR].pack(request)
        return pack


async def until_recorded(graph: ContextGraph, plan: Plan) -> PlanRecord:
    async with asyncio.timeout(LIMIT_S):
        while (found := await graph.plan(plan_id(plan))) is None:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.02)
    return found


async def completed(bus: EventBus, plan: Plan) -> list[str]:
    """What became of each of its tasks, once all have ended."""
    found: list[str] = []
    async with asyncio.timeout(LIMIT_S):
        async for stored in bus.replay([COMPLETED], follow=True):
            if stored.event.data["plan_id"] == plan_id(plan):
                found.append(stored.event.data["phase"])
            if len(found) == len(plan.tasks):
                return found
    raise AssertionError


async def test_an_approved_plan_is_recorded_without_being_asked(
    sets: dict[str, Any], here: FactoryContext
) -> None:
    profile, plan = bound_of(sets), a_plan()
    async with (
        context_service(profile, here),
        opened_ports(profile, here, only=(*BELOW, PortName.GRAPH)) as ports,
    ):
        event = approval(plan, 1, system_clock())
        await ports[PortName.BUS].publish([event])
        record = await until_recorded(ports[PortName.GRAPH], plan)
    assert record == PlanRecord(plan_id(plan), plan, event.time_ms)


async def test_a_plan_goes_through_services_and_one_roles_decision_into_the_next_ones_pack(
    sets: dict[str, Any], here: FactoryContext, tmp_path: Path
) -> None:
    """The orchestrator opens neither graph nor model, and keeps its files elsewhere."""
    plan = a_plan()
    profile = bound_of(sets)
    async with context_service(profile, here) as context, executor_service(profile, here) as other:
        sets |= told(context.address) | {"executor.address": f'["{other.address}"]'}
        theirs = bound_of(sets, **{"model.base_url": "http://127.0.0.1:9", "graph.path": "none"})
        opened: list[str] = []
        async with (
            orchestrator_service(
                theirs, here, observe_ports=lambda _event, detail: opened.append(detail["adapter"])
            ),
            opened_ports(profile, here, only=(*BELOW, PortName.GRAPH)) as ports,
        ):
            await ports[PortName.BUS].publish([approval(plan, 1, system_clock())])
            assert await completed(ports[PortName.BUS], plan) == ["decided", "decided"]
            updated = [
                s.event.data["decision_id"]
                async for s in ports[PortName.BUS].replay([CONTEXT_UPDATED])
                if s.event.data["task_id"] == "base"
            ]
            decision = await ports[PortName.GRAPH].decision(updated[0])
            pack = await pack_of(theirs, here, plan)
            assert decision.text in pack.text
        assert not {name for name in opened if name.startswith(("graph.", "model."))}
        assert not (tmp_path / "none").exists()


async def test_a_restarted_service_gives_the_same_pack(
    sets: dict[str, Any], here: FactoryContext
) -> None:
    profile, plan = bound_of(sets), a_plan()
    packs = []
    for _ in range(2):
        async with context_service(profile, here) as served:
            packs.append(await pack_of(bound_of(sets, **told(served.address)), here, plan))
    assert packs[0] == packs[1]
    with pytest.raises(Unavailable, match=f"context service at {served.address}"):
        await pack_of(bound_of(sets, **told(served.address)), here, plan)


async def test_only_the_default_model_is_opened(
    sets: dict[str, Any], here: FactoryContext, tmp_path: Path
) -> None:
    other = {"models.other.use": "scripted", "models.other.script": str(tmp_path / "missing.yaml")}
    async with context_service(bound_of(sets, **other), here) as served:
        assert served.address


async def test_a_profile_that_services_cannot_share_is_refused(here: FactoryContext) -> None:
    profile = bound("scripted", layered("scripted", {}, []), Registry.discovered())
    with pytest.raises(ProfileError, match=r"graph\.memory cannot be shared"):
        async with context_service(profile, here):
            pass


async def test_a_token_guards_it(sets: dict[str, Any], here: FactoryContext) -> None:
    guarded = bound_of(sets, **{"services.context.token": "CONTEXT_PHRASE"})
    ours = replace(here, secret=secrets_from({"CONTEXT_PHRASE": "s3cret", "OTHER": "another"}))
    async with context_service(guarded, ours) as served:
        right = told(served.address) | {"hydrator.token": "CONTEXT_PHRASE"}
        assert (await pack_of(bound_of(sets, **right), ours, a_plan())).role == "QA"
        for wrong in ({}, {"hydrator.token": "OTHER"}):
            with pytest.raises(Unavailable, match="refuses us"):
                await pack_of(bound_of(sets, **told(served.address), **wrong), ours, a_plan())


@asynccontextmanager
async def said_by(started: subprocess.Popen[str]) -> AsyncIterator[dict[str, Any]]:
    """What it announces; it is stopped by SIGTERM in the end, and must end with 0."""

    def announced() -> Any:
        assert started.stdout is not None
        said = ""
        for line in started.stdout:
            said += line
            if line == "}\n":
                return json.loads(said)
        raise AssertionError(said)

    with anyio.fail_after(LIMIT_S):
        yield await anyio.to_thread.run_sync(announced)
    started.send_signal(signal.SIGTERM)
    await anyio.to_thread.run_sync(started.communicate)
    assert started.returncode == 0


async def test_as_a_process_it_serves_packs_and_is_watched(
    sets: dict[str, Any],
    here: FactoryContext,
    home: Path,
    process: Callable[..., subprocess.Popen[str]],
) -> None:
    given = {**sets, "services.context.metrics": "127.0.0.1:0"}
    words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    async with said_by(process("serve", "context", "--json", *words)) as up:
        assert up["service"] == "context"
        profile = bound_of(sets, **told(up["address"]))
        pack = await pack_of(profile, replace(here, home=home), a_plan())
        assert pack.role == "QA"
        for page, part in (("readyz", ""), ("metrics", "fleet.context.v1.ContextService")):
            url = f"http://{up['metrics']}/{page}"
            with await anyio.to_thread.run_sync(urllib.request.urlopen, url) as got:
                assert got.status == 200
                assert part in got.read().decode()
