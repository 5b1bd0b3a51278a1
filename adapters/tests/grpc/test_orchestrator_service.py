"""The orchestrator service over a channel, RPC by RPC, over the use cases themselves."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

import fleet_core
from fleet_adapters.grpc import _starting
from fleet_adapters.grpc.orchestrator_server import ADMIN, NAME, Orchestrator, serve_orchestrator
from fleet_adapters.grpc.proto.fleet.domain.v1 import deliberation_pb2, plan_pb2
from fleet_adapters.grpc.proto.fleet.orchestrator.v1 import orchestrator_pb2 as pb
from fleet_adapters.grpc.proto.fleet.orchestrator.v1.orchestrator_pb2_grpc import (
    OrchestratorServiceStub,
)
from fleet_adapters.grpc.serving import Served
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_adapters.grpc.telemetry import Figure
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.events import COMPLETED, STARTED
from fleet_core.domain.model_call import Binding, Completion, ModelRequest, Price
from fleet_core.domain.plan import Plan
from fleet_core.domain.plan_run import Terms
from fleet_core.ports.model import CallBudget, OnText
from fleet_core.testing.process import HashModel, Process, World, process
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.plans import Plans
from fleet_core.usecases.stores import Stores

pytestmark = pytest.mark.anyio
ANY_PORT = GrpcServerSettings(listen="127.0.0.1:0", drain_ms=2_000)
BIG = Binding("big", "big-model", price=Price(1, 2))
LIMIT_S = 20


@dataclass
class HeldModel(HashModel):
    """Answers by hash, once it is let."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    text: str = ""

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        await self.go.wait()
        self._delay_ms = 0
        found = await super().complete(request, budget, on_text)
        return replace(found, text=found.text.replace("solution ", f"solution {self.text}"))


def council(*ids: str) -> Council:
    return Council("DEV", tuple(Agent(i, n, "DEV") for n, i in enumerate(ids, 1)))


@pytest.fixture
def model() -> HeldModel:
    held = HeldModel()
    held.go.set()
    return held


@pytest.fixture
def world(stores: Stores, model: HeldModel) -> World:
    return World(
        stores,
        InMemoryContextGraph(),
        {"DEV": council("dev-1", "dev-2", "dev-3")},
        ProtocolSpec("vote"),
        Terms(ms=600_000),
        model,
    )


def orchestrator(world: World, own: Process) -> Orchestrator:
    stores = world.stores
    return Orchestrator(
        own.plans,
        own.deliberate,
        Councils(stores.state, world.councils, {"default": Binding(), "big": BIG}),
        stores.bus,
        stores.state,
        stores.blobs,
        stores.clock,
    )


@asynccontextmanager
async def serve(
    world: World, own: Process, settings: GrpcServerSettings = ANY_PORT, **more: Any
) -> AsyncIterator[Served]:
    secrets = {"TOKEN": "usual", "ADMIN": "special"}
    async with serve_orchestrator(
        orchestrator(world, own), settings, secrets.__getitem__, **more
    ) as served:
        yield served


@pytest.fixture
async def own(world: World) -> AsyncIterator[Process]:
    async with process(world, "one") as own:
        yield own


@pytest.fixture
async def served(world: World, own: Process) -> AsyncIterator[Served]:
    figures = [Figure("loop_lag", 1.5, "ms", {"kind": "max"})]
    async with serve(world, own, figures=lambda: figures) as served:
        yield served


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return OrchestratorServiceStub(channel)


def asked(**task: Any) -> pb.DeliberateRequest:
    given = {"task_id": "t1", "title": "Do it", "role": "dev", **task}
    return pb.DeliberateRequest(story="s", task=plan_pb2.Task(**given))


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), str(raised.value.details())


async def watched(stub: Any, identity: str, after: int = 0) -> list[pb.WatchDeliberationResponse]:
    request = pb.WatchDeliberationRequest(deliberation_id=identity, after=after)
    async with asyncio.timeout(LIMIT_S):
        return [event async for event in stub.WatchDeliberation(request)]


async def state_of(stub: Any, identity: str) -> deliberation_pb2.Deliberation:
    request = pb.GetDeliberationRequest(deliberation_id=identity)
    found: deliberation_pb2.Deliberation = (await stub.GetDeliberation(request)).deliberation
    return found


async def test_a_task_is_deliberated_from_its_call_to_its_decision(stub: Any) -> None:
    started = await stub.Deliberate(asked())
    assert started.attempt == 1
    assert started.state == plan_pb2.TASK_STATE_RUNNING
    events = await watched(stub, started.deliberation_id)
    assert events[0].subject == STARTED
    assert events[-1].subject == COMPLETED
    assert events[-1].phase == deliberation_pb2.PHASE_DECIDED
    numbers = [e.sequence for e in events]
    assert numbers == sorted(numbers)
    assert [e.position for e in events] == sorted({e.position for e in events})
    assert json.loads(events[-1].data_json)["deliberation_id"] == started.deliberation_id
    found = await state_of(stub, started.deliberation_id)
    assert found.phase == deliberation_pb2.PHASE_DECIDED
    assert found.plan_id == started.plan_id
    assert found.version == events[-1].sequence
    assert [a.agent_id for a in found.council.agents] == ["dev-1", "dev-2", "dev-3"]
    assert found.decision.winner in {"dev-1", "dev-2", "dev-3"}
    assert found.usage.attempts == 3


async def test_the_same_request_finds_the_same_plan_and_fresh_runs_it_again(
    stub: Any, world: World
) -> None:
    first = await stub.Deliberate(asked())
    again = await stub.Deliberate(asked(role="DEV"))
    assert (again.plan_id, again.deliberation_id) == (first.plan_id, first.deliberation_id)
    await watched(stub, first.deliberation_id)
    async with asyncio.timeout(LIMIT_S):
        while (await stub.Deliberate(asked())).state != plan_pb2.TASK_STATE_DECIDED:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    calls = sum(world.runs.values())
    decided = await stub.Deliberate(asked())
    assert (decided.deliberation_id, decided.attempt) == (first.deliberation_id, 1)
    assert sum(world.runs.values()) == calls
    fresh = asked()
    fresh.fresh = True
    async with asyncio.timeout(LIMIT_S):  # settled once its decision is recorded too
        while (second := await stub.Deliberate(fresh)).attempt == 1:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    assert second.plan_id == first.plan_id
    assert second.deliberation_id != first.deliberation_id
    events = await watched(stub, second.deliberation_id)
    assert {json.loads(e.data_json)["attempt"] for e in events} == {2}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.DeliberateRequest(story="s"), "task"),
        (asked(title=" "), "task.title"),
        (asked(task_id="a b"), "task.task_id"),
        (asked(role="devv"), "task.role"),
        (asked(depends_on=["t2"]), "task.depends_on"),
        (asked(protocol="dice"), "task.protocol"),
        (
            asked(checks=[plan_pb2.CheckSpec(kind="python", spec_json="[")]),
            "task.checks[0].spec_json",
        ),
        (pb.DeliberateRequest(task=asked().task), "story"),
    ],
)
async def test_a_task_that_cannot_be_deliberated_is_refused_by_field(
    stub: Any, stores: Stores, request_: pb.DeliberateRequest, field: str
) -> None:
    code, said = await refusal(stub.Deliberate(request_))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said.startswith(f"{field}: ")
    assert [e async for e in stores.bus.replay(["planning.>", "dead.>"])] == []


class Unheard:
    """Plans whose approvals nobody takes up."""

    def __init__(self, inner: Plans) -> None:
        self._inner = inner

    async def approve(self, plan: Plan, *, fresh: bool) -> None:
        """Into the void."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def test_what_no_orchestrator_takes_up_is_told_in_time(
    world: World, own: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    unheard: Any = Unheard(own.plans)
    parts = replace(orchestrator(world, own), plans=unheard)
    async with (
        serve_orchestrator(parts, ANY_PORT, str) as served,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        stub: Any = OrchestratorServiceStub(channel)
        code, _ = await refusal(stub.Deliberate(asked(), timeout=0.3))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        monkeypatch.setattr(_starting, "_LIMIT_S", 0.05)
        code, said = await refusal(stub.Deliberate(asked()))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "no orchestrator has taken it up yet (ask again" in said


async def test_what_is_not_there_is_not_found(stub: Any) -> None:
    for call in (
        stub.GetDeliberation(pb.GetDeliberationRequest(deliberation_id="x")),
        stub.CancelDeliberation(pb.CancelDeliberationRequest(deliberation_id="x")),
        stub.ExtendLease(pb.ExtendLeaseRequest(deliberation_id="x", tokens=1)),
        stub.WatchDeliberation(pb.WatchDeliberationRequest(deliberation_id="x")).read(),
        stub.DeleteCouncil(pb.DeleteCouncilRequest(role="QA")),
    ):
        assert (await refusal(call))[0] is grpc.StatusCode.NOT_FOUND
    for call in (
        stub.GetDeliberation(pb.GetDeliberationRequest()),
        stub.CancelDeliberation(pb.CancelDeliberationRequest()),
        stub.ExtendLease(pb.ExtendLeaseRequest(tokens=1)),
        stub.WatchDeliberation(pb.WatchDeliberationRequest()).read(),
    ):
        code, said = await refusal(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said.startswith("deliberation_id: ")


async def test_a_deliberation_is_cancelled_and_says_why(stub: Any, model: HeldModel) -> None:
    model.go.clear()
    started = await stub.Deliberate(asked())
    identity = started.deliberation_id
    watching = asyncio.create_task(watched(stub, identity))
    cancel = pb.CancelDeliberationRequest(deliberation_id=identity, reason="changed our minds")
    assert (await stub.CancelDeliberation(cancel)).phase == deliberation_pb2.PHASE_CANCELLED
    assert (await watching)[-1].subject == COMPLETED
    found = await state_of(stub, identity)
    assert (found.failure.code, found.failure.reason) == ("cancelled", "changed our minds")
    assert found.ended_ms
    again = pb.CancelDeliberationRequest(deliberation_id=identity)
    assert (await stub.CancelDeliberation(again)).phase == deliberation_pb2.PHASE_CANCELLED
    extend = pb.ExtendLeaseRequest(deliberation_id=identity, tokens=1)
    code, said = await refusal(stub.ExtendLease(extend))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "it is cancelled" in said


async def test_a_lease_is_raised_and_never_lowered(stub: Any, model: HeldModel) -> None:
    model.go.clear()
    identity = (await stub.Deliberate(asked())).deliberation_id
    before = (await state_of(stub, identity)).lease
    more = pb.ExtendLeaseRequest(
        deliberation_id=identity, tokens=5, deadline_ms=before.deadline_ms + 1
    )
    raised = (await stub.ExtendLease(more)).lease
    assert raised.tokens == before.tokens + 5
    assert raised.deadline_ms == before.deadline_ms + 1
    for wrong, named in (
        (pb.ExtendLeaseRequest(deliberation_id=identity), "tokens"),
        (pb.ExtendLeaseRequest(deliberation_id=identity, tokens=-1), "tokens"),
        (pb.ExtendLeaseRequest(deliberation_id=identity, micro_usd=-1), "micro_usd"),
    ):
        code, said = await refusal(stub.ExtendLease(wrong))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said.startswith(f"{named}: ")
    model.go.set()
    await watched(stub, identity)


async def test_a_watch_goes_on_from_a_position_and_ends_where_nothing_is_left(stub: Any) -> None:
    identity = (await stub.Deliberate(asked())).deliberation_id
    events = await watched(stub, identity)
    assert len(events) > 3
    rest = await watched(stub, identity, after=events[1].position)
    assert [e.event_id for e in rest] == [e.event_id for e in events[2:]]
    assert await watched(stub, identity, after=events[-1].position) == []


async def test_a_watch_tells_of_its_own_deliberation_only(stub: Any, model: HeldModel) -> None:
    model.go.clear()
    names = ("t1", "t2", "t3")
    started = [await stub.Deliberate(asked(task_id=name)) for name in names]
    coming = [asyncio.create_task(watched(stub, s.deliberation_id)) for s in started]
    model.go.set()
    for one, watch in zip(started, coming, strict=True):
        for events in (await watch, await watched(stub, one.deliberation_id)):
            told = {json.loads(e.data_json)["deliberation_id"] for e in events}
            assert told == {one.deliberation_id}


async def rest_of(watching: Any) -> list[pb.WatchDeliberationResponse]:
    found = []
    while (event := await watching.read()) is not grpc.aio.EOF:
        found.append(event)
    return found


async def test_a_watch_ends_when_the_service_stops(
    world: World, own: Process, model: HeldModel
) -> None:
    model.go.clear()
    server = serve(world, own)
    served = await server.__aenter__()
    async with grpc.aio.insecure_channel(served.address) as channel:
        stub: Any = OrchestratorServiceStub(channel)
        identity = (await stub.Deliberate(asked())).deliberation_id
        watching = stub.WatchDeliberation(pb.WatchDeliberationRequest(deliberation_id=identity))
        first = await watching.read()
        assert first.subject == STARTED
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        code, _ = await refusal(asyncio.wait_for(rest_of(watching), LIMIT_S))
        assert code is grpc.StatusCode.UNAVAILABLE
        async with asyncio.timeout(1):  # of the 2 s that the drain would wait
            await stopping


async def test_a_watcher_that_goes_away_leaves_nothing_behind(
    stub: Any, model: HeldModel, stores: Stores
) -> None:
    model.go.clear()
    identity = (await stub.Deliberate(asked())).deliberation_id
    before = len(asyncio.all_tasks())
    watches = [
        stub.WatchDeliberation(pb.WatchDeliberationRequest(deliberation_id=identity))
        for _ in range(20)
    ]
    for watch in watches:
        await watch.read()
    for watch in watches:
        watch.cancel()
    async with asyncio.timeout(LIMIT_S):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    model.go.set()
    await watched(stub, identity)


async def test_councils_are_listed_kept_and_dropped(stub: Any, own: Process, world: World) -> None:
    listed = (await stub.ListCouncils(pb.ListCouncilsRequest())).councils
    assert [(c.role, [a.agent_id for a in c.agents]) for c in listed] == [
        ("DEV", ["dev-1", "dev-2", "dev-3"])
    ]
    specs = [
        pb.AgentSpec(persona="careful", binding="big", temperature=0, seed=0, stop=["END"]),
        pb.AgentSpec(agent_id="ann"),
    ]
    created = await stub.CreateCouncil(pb.CreateCouncilRequest(role=" dev ", agents=specs))
    first, second = created.council.agents
    assert (first.agent_id, first.number, first.role, first.persona) == (
        "dev-1", 1, "DEV", "careful",
    )  # fmt: skip
    assert (first.binding.model, first.binding.price.answer) == ("big-model", 2)
    assert (first.sampling.temperature, first.sampling.top_p) == (0.0, 1.0)
    assert first.sampling.HasField("seed")
    assert list(first.sampling.stop) == ["END"]
    assert (second.agent_id, second.number, second.binding.name) == ("ann", 2, "default")
    listed = (await stub.ListCouncils(pb.ListCouncilsRequest())).councils
    assert listed == [created.council]
    twice = stub.CreateCouncil(pb.CreateCouncilRequest(role="DEV", agents=specs))
    assert (await refusal(twice))[0] is grpc.StatusCode.ALREADY_EXISTS
    started = await stub.Deliberate(asked())
    found = await state_of(stub, started.deliberation_id)
    assert [a.agent_id for a in found.council.agents] == ["dev-1", "ann"]
    await watched(stub, started.deliberation_id)
    again = (await stub.DeleteCouncil(pb.DeleteCouncilRequest(role="dev"))).council
    assert [a.agent_id for a in again.agents] == ["dev-1", "dev-2", "dev-3"]
    qa = pb.CreateCouncilRequest(role="QA", agents=[pb.AgentSpec()])
    assert (await stub.CreateCouncil(qa)).council.agents[0].agent_id == "qa-1"
    gone = await stub.DeleteCouncil(pb.DeleteCouncilRequest(role="QA"))
    assert not gone.HasField("council")


@pytest.mark.parametrize(
    ("role", "agents", "field"),
    [
        ("", [pb.AgentSpec()], "role"),
        ("a/b", [pb.AgentSpec()], "role"),
        ("DEV", [], "agents"),
        ("DEV", [pb.AgentSpec(), pb.AgentSpec(agent_id="a b")], "agents[1].agent_id"),
        ("DEV", [pb.AgentSpec(binding="bigg")], "agents[0].binding"),
        ("DEV", [pb.AgentSpec(temperature=-1)], "agents[0].temperature"),
        ("DEV", [pb.AgentSpec(temperature=float("nan"))], "agents[0].temperature"),
        ("DEV", [pb.AgentSpec(top_p=0)], "agents[0].top_p"),
        ("DEV", [pb.AgentSpec(max_tokens=0)], "agents[0].max_tokens"),
        ("DEV", [pb.AgentSpec(agent_id="a")] * 2, "agents[1].agent_id"),
    ],
)
async def test_a_council_that_cannot_sit_is_refused_by_field(
    stub: Any, role: str, agents: Sequence[pb.AgentSpec], field: str
) -> None:
    call = stub.CreateCouncil(pb.CreateCouncilRequest(role=role, agents=agents))
    code, said = await refusal(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said.startswith(f"{field}: ")


async def test_agents_are_seated_and_leave(stub: Any) -> None:
    spec = pb.AgentSpec(persona="bold", binding="big", max_tokens=9)
    seated = (await stub.RegisterAgent(pb.RegisterAgentRequest(role="dev", agent=spec))).agent
    assert (seated.agent_id, seated.number, seated.persona) == ("dev-4", 4, "bold")
    assert (seated.binding.name, seated.sampling.max_tokens) == ("big", 9)
    leave = pb.UnregisterAgentRequest(role="dev", agent_id="dev-2")
    left = (await stub.UnregisterAgent(leave)).council
    assert [(a.agent_id, a.number) for a in left.agents] == [
        ("dev-1", 1), ("dev-3", 2), ("dev-4", 3),
    ]  # fmt: skip
    assert list((await stub.ListCouncils(pb.ListCouncilsRequest())).councils) == [left]
    started = await stub.Deliberate(asked())
    assert (await state_of(stub, started.deliberation_id)).council == left
    await watched(stub, started.deliberation_id)


@pytest.mark.parametrize(
    ("method", "request_", "code", "said"),
    [
        ("RegisterAgent", pb.RegisterAgentRequest(role="QA"), "NOT_FOUND", "QA"),
        ("RegisterAgent", pb.RegisterAgentRequest(), "INVALID_ARGUMENT", "role: "),
        (
            "RegisterAgent",
            pb.RegisterAgentRequest(role="DEV", agent=pb.AgentSpec(agent_id="dev-1")),
            "ALREADY_EXISTS",
            "dev-1",
        ),
        (
            "RegisterAgent",
            pb.RegisterAgentRequest(role="DEV", agent=pb.AgentSpec(binding="none")),
            "INVALID_ARGUMENT",
            "agent.binding: ",
        ),
        ("UnregisterAgent", pb.UnregisterAgentRequest(role="QA", agent_id="x"), "NOT_FOUND", "QA"),
        (
            "UnregisterAgent",
            pb.UnregisterAgentRequest(role="DEV", agent_id="x"),
            "NOT_FOUND",
            "'x'",
        ),
        (
            "UnregisterAgent",
            pb.UnregisterAgentRequest(role="DEV"),
            "INVALID_ARGUMENT",
            "agent_id: ",
        ),
    ],
)
async def test_a_seat_that_cannot_be_given_or_taken_is_refused(
    stub: Any, method: str, request_: Any, code: str, said: str
) -> None:
    found, message = await refusal(getattr(stub, method)(request_))
    assert found.name == code
    assert said in message


async def test_the_service_says_what_it_is_and_what_it_did(stub: Any, model: HeldModel) -> None:
    model.go.clear()
    identity = (await stub.Deliberate(asked())).deliberation_id
    status = await stub.GetStatus(pb.GetStatusRequest())
    assert (status.version, status.python) == (fleet_core.__version__, platform.python_version())
    assert list(status.protocols) == ["peer-review", "vote"]
    assert (status.open_deliberations, status.open_plans) == (1, 1)
    assert status.started_ms
    model.go.set()
    await watched(stub, identity)
    found = (await stub.GetMetrics(pb.GetMetricsRequest())).metrics
    calls = {m.labels["method"]: m.value for m in found if m.name == "rpc_calls"}
    assert calls["Deliberate"] == calls["GetStatus"] == 1
    assert all(m.labels["service"] == NAME for m in found if m.name == "rpc_calls")
    assert all(m.value > 0 for m in found if m.name == "rpc_ms")
    (lag,) = [m for m in found if m.name == "loop_lag"]
    assert (lag.value, lag.unit, dict(lag.labels)) == (1.5, "ms", {"kind": "max"})
    async with asyncio.timeout(LIMIT_S):
        while (await stub.GetStatus(pb.GetStatusRequest())).open_plans:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)


async def test_what_changes_things_asks_for_the_admin_token_where_there_is_one(
    world: World, own: Process
) -> None:
    settings = replace(ANY_PORT, token="TOKEN", admin_token="ADMIN")
    async with (
        serve(world, own, settings) as served,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        stub: Any = OrchestratorServiceStub(channel)

        async def code_of(method: str, token: str) -> grpc.StatusCode:
            request = getattr(pb, f"{method}Request")()
            metadata = (("authorization", f"Bearer {token}"),)
            try:
                await getattr(stub, method)(request, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        for path in ADMIN:
            method = path.rpartition("/")[2]
            assert await code_of(method, "usual") is grpc.StatusCode.PERMISSION_DENIED
            assert await code_of(method, "x") is grpc.StatusCode.UNAUTHENTICATED
            assert await code_of(method, "special") is grpc.StatusCode.INVALID_ARGUMENT
        assert await code_of("GetStatus", "usual") is grpc.StatusCode.OK
        assert await code_of("GetStatus", "special") is grpc.StatusCode.OK
        assert await code_of("GetStatus", "x") is grpc.StatusCode.UNAUTHENTICATED


async def test_a_state_that_is_larger_than_a_message_is_told_with_references(
    stub: Any, model: HeldModel, stores: Stores
) -> None:
    model.text = "x" * 2 * 1024 * 1024
    identity = (await stub.Deliberate(asked())).deliberation_id
    await watched(stub, identity)
    found = await state_of(stub, identity)
    assert found.ByteSize() < 100_000
    kept = await stores.blobs.get(found.decision.text_ref)
    assert kept.startswith(b"solution xxx")
    for step in found.steps:
        for job in step.jobs:
            assert not job.ended.text
            assert len(await stores.blobs.get(job.ended.text_ref)) > 2 * 1024 * 1024


async def test_texts_that_no_message_holds_are_told_with_question_marks(
    stub: Any, model: HeldModel
) -> None:
    model.text = "\\ud800"  # escaped in the answer's JSON
    identity = (await stub.Deliberate(asked())).deliberation_id
    events = await watched(stub, identity)
    assert events[-1].phase == deliberation_pb2.PHASE_DECIDED
    found = await state_of(stub, identity)
    assert found.decision.text.startswith("solution ?")
