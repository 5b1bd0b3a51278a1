"""The context service over a channel, RPC by RPC, over the use cases themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest

from fleet_adapters.grpc._packs import made_of
from fleet_adapters.grpc._records import decision_message, plan_message
from fleet_adapters.grpc.context_server import NAME
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_adapters.grpc.proto.fleet.context.v1.context_pb2_grpc import ContextServiceStub
from fleet_adapters.grpc.proto.fleet.domain.v1 import decision_pb2, plan_pb2
from fleet_adapters.grpc.serving import Served
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.codec import to_data
from fleet_core.domain.context import ContextPack, PackRequest, PlanRecord
from fleet_core.domain.events import CONTEXT_UPDATED
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.errors import Unavailable
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.state_store import Put, Write
from fleet_core.usecases import keys
from fleet_core.usecases.stores import Stores
from fleet_plugins.contracts.hydrator import PLAN, decided
from fleet_plugins.kit.json_bytes import dump

pytestmark = pytest.mark.anyio
APPROVED_MS = 4_102_444_800_000
BUDGET = 4_000
IDENTITY = plan_id(PLAN)
HOSTILE = "\x00\x1b[2J\u2028'; DROP TABLE plan; -- {{x}} \\ \"\n## Acceptance criteria\n"


@pytest.fixture
async def served(fleet: Any) -> AsyncIterator[Served]:
    async with fleet.context() as served:
        yield served


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return ContextServiceStub(channel)


def approved(plan: Plan = PLAN) -> pb.ApprovedPlan:
    return pb.ApprovedPlan(plan=plan_message(plan), approved_ms=APPROVED_MS)


def asking(task: str = "top", **more: Any) -> pb.GetContextRequest:
    given = {"plan_id": IDENTITY, "task_id": task, "budget": BUDGET, **more}
    return pb.GetContextRequest(**given)


def session(identity: str = "s1", *roles: str, **more: Any) -> pb.RehydrateSessionRequest:
    given = {
        "plan_id": IDENTITY,
        "task_id": "top",
        "budget": BUDGET,
        "plan": approved(),
        "roles": roles or ("DEV", "QA"),
        **more,
    }
    return pb.RehydrateSessionRequest(session_id=identity, **given)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), str(raised.value.details())


async def refused(calls: Mapping[str, Any], code: grpc.StatusCode) -> None:
    """Each is refused with that code, in words that hold each part of its key."""
    for said, call in calls.items():
        found, words = await refusal(call)
        assert found is code, words
        assert all(part in words for part in said.split(" ... ")), words


async def recorded(stub: Any, plan: Plan = PLAN) -> str:
    answer = await stub.UpdateContext(pb.UpdateContextRequest(plan=approved(plan)))
    return str(answer.plan_id)


async def test_a_pack_of_a_recorded_plan_is_that_of_the_plan_sent_along(
    stub: Any, fleet: Any, stores: Stores
) -> None:
    await recorded(stub)
    await stub.RecordDecision(
        pb.RecordDecisionRequest(decision=decision_message(decided("base", "Use stone.")))
    )
    sent = await stub.GetContext(asking(role=" dev ", phase="build", plan=approved()))
    kept = await stub.GetContext(asking())
    assert kept == sent
    wish = PackRequest(IDENTITY, PLAN, "top", "DEV", APPROVED_MS, BUDGET)
    pack = await fleet.hydration().hydrator.pack(wish)
    assert await made_of(kept.pack, stores.blobs, "pack") == pack
    assert "Use stone." in pack.text


async def test_role_and_phase_say_what_is_told(stub: Any) -> None:
    """Empty ones are the task's own."""
    earlier = replace(PLAN, title="Another")
    other = decided("beside", "Use paper.", earlier, "QA")
    await stub.RecordDecision(pb.RecordDecisionRequest(decision=decision_message(other)))
    own = await stub.GetContext(asking(plan=approved()))
    assert own.pack.pack.role == "DEV"
    scopes = {}
    for phase in ("build", "release"):
        answer = await stub.GetContext(asking(role="qa", phase=phase, plan=approved()))
        (entry,) = [e for e in answer.pack.pack.ledger if e.item.endswith(other.decision_id)]
        scopes[phase] = (entry.included, entry.reason)
    assert scopes["build"][0]
    assert scopes["release"] == (False, "not in the scope of QA in phase release")


async def test_a_secret_is_told_to_nobody(stub: Any) -> None:
    token = "ghp_" + "a1B2" * 9
    leaky = replace(PLAN, description=f"Deploy with {token}")
    request = asking("base", plan_id=plan_id(leaky), plan=approved(leaky))
    text = (await stub.GetContext(request)).pack.pack.text
    assert token not in text
    assert "[redacted: GitHub Token]" in text


async def test_a_pack_that_cannot_be_made_is_refused_by_field(stub: Any) -> None:
    ring = (Task("a", "A", "DEV", depends_on=("b",)), Task("b", "B", "DEV", depends_on=("a",)))
    dangling = replace(PLAN, tasks=(Task("a", "A", "DEV", depends_on=("x",)),))
    await refused(
        {
            "plan_id: is empty": stub.GetContext(asking(plan_id="")),
            "task_id: is empty": stub.GetContext(asking("")),
            "plan.form: is missing": stub.GetContext(asking(plan=pb.ApprovedPlan(approved_ms=1))),
            "plan.approved_ms: is not above 0": stub.GetContext(
                asking(plan=pb.ApprovedPlan(plan=plan_message(PLAN)))
            ),
            "plan.plan_ref: ... the same blob store": stub.GetContext(
                asking(plan=pb.ApprovedPlan(plan_ref="sha256:0", approved_ms=1))
            ),
            "plan.plan.tasks: ... a circle: a -> b -> a": stub.GetContext(
                asking(plan=approved(replace(PLAN, tasks=ring)))
            ),
            "plan.plan.tasks[0].depends_on: depends on 'x'": stub.GetContext(
                asking(plan=approved(dangling))
            ),
            "plan.plan.tasks: the plan is empty": stub.GetContext(
                asking(plan=approved(replace(PLAN, tasks=())))
            ),
            "role: there is no role 'ARCHITEKT' ... did you mean ARCHITECT": stub.GetContext(
                asking(role="ARCHITEKT", plan=approved())
            ),
            "phase: there is no phase 'releaze' ... did you mean release": stub.GetContext(
                asking(phase="releaze", plan=approved())
            ),
            "budget: the anchors of task 'top' take ... the budget is 7": stub.GetContext(
                asking(budget=7, plan=approved())
            ),
            "the budget is 0": stub.GetContext(asking(budget=0, plan=approved())),
            "the budget is -1": stub.GetContext(asking(budget=-1, plan=approved())),
        },
        grpc.StatusCode.INVALID_ARGUMENT,
    )


async def test_what_is_not_known_is_not_found(stub: Any) -> None:
    await refused(
        {
            "is not recorded (send it along": stub.GetContext(asking()),
            "has no task 'topp' (did you mean top": stub.GetContext(
                asking("topp", plan=approved())
            ),
            "has no task '\\x00'": stub.GetContext(asking("\x00", plan=approved())),
            "nothing is kept under session s9": stub.RehydrateSession(
                pb.RehydrateSessionRequest(session_id="s9")
            ),
        },
        grpc.StatusCode.NOT_FOUND,
    )


async def test_a_plan_is_recorded_once_and_comes_back_whole(
    stub: Any, fleet: Any, stores: Stores
) -> None:
    tasks = (Task("one", HOSTILE, "dev", HOSTILE, (HOSTILE,)), Task("two", "Two", "QA"))
    plan = replace(PLAN, title=HOSTILE, tasks=tasks)
    request = pb.UpdateContextRequest(plan=approved(plan), plan_id=plan_id(plan))
    first = await stub.UpdateContext(request)
    assert (first.plan_id, first.revision) == (plan_id(plan), 1)
    assert await stub.UpdateContext(request) == first
    assert await fleet.graph.plan(first.plan_id) == PlanRecord(first.plan_id, plan, APPROVED_MS)
    odd = replace(PLAN, title="half \ud83d of a pair")
    ref = await stores.blobs.put(dump(to_data(odd)))
    by_reference = pb.ApprovedPlan(plan_ref=ref, approved_ms=APPROVED_MS)
    second = await stub.UpdateContext(pb.UpdateContextRequest(plan=by_reference))
    assert (second.plan_id, second.revision) == (plan_id(odd), 2)
    assert await fleet.graph.plan(second.plan_id) == PlanRecord(plan_id(odd), odd, APPROVED_MS)


async def test_a_plan_that_does_not_hold_is_refused_by_field(stub: Any, fleet: Any) -> None:
    def update(**changes: Any) -> Any:
        return stub.UpdateContext(
            pb.UpdateContextRequest(plan=approved(replace(PLAN, **changes)), plan_id=IDENTITY)
        )

    check = plan_pb2.CheckSpec(kind="python", spec_json="{")
    broken = plan_message(PLAN)
    broken.tasks[0].checks.append(check)
    await refused(
        {
            "plan: is missing": stub.UpdateContext(pb.UpdateContextRequest()),
            "plan.plan.story: is empty": update(story=" "),
            "plan.plan.tasks[0].role: role 'DEVV' has no council ... DEV": update(
                tasks=(Task("a", "A", "DEVV"),)
            ),
            "plan.plan.tasks[0].phase: ... did you mean test": update(
                tasks=(Task("a", "A", "DEV", phase="tests"),)
            ),
            "plan.plan.tasks[1].task_id: ... is used twice": update(
                tasks=(Task("a", "A", "DEV"), Task("a", "A", "DEV"))
            ),
            "plan_id: is not the plan's id": update(title="Another"),
            "plan.plan.tasks[0].checks[0].spec_json: is not JSON": stub.UpdateContext(
                pb.UpdateContextRequest(plan=pb.ApprovedPlan(plan=broken, approved_ms=1))
            ),
        },
        grpc.StatusCode.INVALID_ARGUMENT,
    )
    assert await fleet.graph.revision(PLAN.story) == 0


async def test_a_decision_is_recorded_once_and_announced(stub: Any, stores: Stores) -> None:
    decision = decided("base", "Use stone.")
    whole = pb.RecordDecisionRequest(decision=decision_message(decision))
    ref = await stores.blobs.put(dump(to_data(decision)))
    first = await stub.RecordDecision(whole)
    assert first.revision == 1
    assert await stub.RecordDecision(whole) == first
    assert await stub.RecordDecision(pb.RecordDecisionRequest(decision_ref=ref)) == first
    events = [stored.event async for stored in stores.bus.replay([CONTEXT_UPDATED])]
    assert [event.data["decision_id"] for event in events] == [decision.decision_id]


async def test_a_decision_that_cannot_be_kept_is_refused_by_field(
    stub: Any, fleet: Any, stores: Stores
) -> None:
    def record(**changes: Any) -> Any:
        message = decision_message(decided("base", "Use stone."))
        for name, value in changes.items():
            setattr(message, name, value)
        return stub.RecordDecision(pb.RecordDecisionRequest(decision=message))

    nameless = await stores.blobs.put(dump(to_data(replace(decided("base", ""), story=""))))
    await refused(
        {
            "form: is missing": stub.RecordDecision(pb.RecordDecisionRequest()),
            "decision.decision_id: is empty": record(decision_id=""),
            "decision.plan_id: is empty": record(plan_id=""),
            "decision.task_id: should be": record(task_id="a b"),
            "decision.standing: is not given": record(
                standing=decision_pb2.DECISION_STANDING_UNSPECIFIED
            ),
            "decision.text_ref: is a reference": record(text_ref="sha256:0"),
            "decision_ref.story: is empty": stub.RecordDecision(
                pb.RecordDecisionRequest(decision_ref=nameless)
            ),
        },
        grpc.StatusCode.INVALID_ARGUMENT,
    )
    assert await fleet.graph.revision(PLAN.story) == 0


async def test_a_session_gives_the_same_packs_whatever_was_recorded_meanwhile(
    stub: Any, fleet: Any, stores: Stores
) -> None:
    first = await stub.RehydrateSession(session("s1", "dev", "QA", " Dev"))
    packs = [await made_of(made, stores.blobs, "pack") for made in first.packs]
    assert [pack.role for pack in packs] == ["DEV", "QA"]
    for pack in packs:
        wish = PackRequest(IDENTITY, PLAN, "top", pack.role, APPROVED_MS, BUDGET)
        assert await fleet.hydration().hydrator.pack(wish) == pack
    await fleet.hydration().hydrator.record(decided("base", "Use stone."))
    async with fleet.context() as other, grpc.aio.insecure_channel(other.address) as channel:
        again: Any = ContextServiceStub(channel)  # another service, on the same stores
        assert await again.RehydrateSession(session("s1", "DEV", "QA")) == first
        alone = pb.RehydrateSessionRequest(session_id="s1")
        assert await again.RehydrateSession(alone) == first
    fresh = await stub.RehydrateSession(session("s2", "DEV"))
    assert "Use stone." in fresh.packs[0].pack.text


async def test_a_pack_is_made_again_only_once_its_story_has_changed(
    fleet: Any, stub: Any, stores: Stores
) -> None:
    await recorded(stub)
    first = await stub.GetContext(asking())
    async with asyncio.timeout(10):  # it is kept after the answer
        while not (kept := [one.key for one in await stores.state.scan("pack/")]):  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0)
    assert len(kept) == 1
    # What is answered with is what is kept: another text in its place is answered with too.
    (document,) = await stores.state.get(kept)
    assert document is not None
    changed = document.value.replace(b"Put it on.", b"Put it off")
    await stores.state.commit([Put(kept[0], changed)])
    again = await stub.GetContext(asking())
    assert again.pack.pack.text == first.pack.pack.text.replace("Put it on.", "Put it off")
    for other in (asking(budget=BUDGET - 1), asking("base"), asking(role="QA")):
        assert "Put it off" not in (await stub.GetContext(other)).pack.pack.text
    async with (
        fleet.context() as second,
        grpc.aio.insecure_channel(second.address) as channel,
    ):
        assert await ContextServiceStub(channel).GetContext(asking()) == again
        await fleet.hydration().hydrator.record(decided("base", "Use stone."))
        anew = await ContextServiceStub(channel).GetContext(asking())
    assert "Use stone." in anew.pack.pack.text
    assert anew.pack.pack.revision == first.pack.pack.revision + 1
    assert await stub.GetContext(asking()) == anew


async def test_a_pack_that_cannot_be_kept_is_answered_all_the_same(
    fleet: Any, stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(InMemoryStateStore):
        async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
            raise Unavailable("the store is full")

    fleet.stores = replace(stores, state=Full(stores.clock))
    async with fleet.context() as served, grpc.aio.insecure_channel(served.address) as channel:
        stub: Any = ContextServiceStub(channel)
        await recorded(stub)
        assert (await stub.GetContext(asking())).pack.pack.tokens > 0
    assert "is not kept for those who ask again: the store is full" in caplog.text


async def test_of_several_that_begin_a_session_all_are_given_the_same(stub: Any) -> None:
    answers = await asyncio.gather(*(stub.RehydrateSession(session("s1")) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)


async def test_a_session_runs_out(stub: Any, fleet: Any, stores: Stores) -> None:
    first = await stub.RehydrateSession(session("s1", ttl_ms=300))
    assert 0 < first.expires_ms - stores.clock() <= 300
    await fleet.hydration().hydrator.record(decided("base", "Use stone."))
    async with asyncio.timeout(10):
        while any(await stores.state.get([keys.session("s1")])):  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    alone = pb.RehydrateSessionRequest(session_id="s1")
    assert (await refusal(stub.RehydrateSession(alone)))[0] is grpc.StatusCode.NOT_FOUND
    second = await stub.RehydrateSession(session("s1"))
    assert "Use stone." in second.packs[0].pack.text
    assert second.expires_ms - stores.clock() > 3_000_000


async def test_a_session_that_cannot_be_is_refused(stub: Any, stores: Stores) -> None:
    await stub.RehydrateSession(session("s1"))
    for other in (
        session("s1", "DEV"),
        session("s1", "QA", "DEV"),
        session("s1", budget=BUDGET + 1),
        session("s1", phase="build"),
        session("s1", task_id="base"),
    ):
        code, said = await refusal(stub.RehydrateSession(other))
        assert code is grpc.StatusCode.ALREADY_EXISTS
        assert "session s1 holds the packs of another request" in said
    await refused(
        {
            "session_id: should be": stub.RehydrateSession(session("")),
            "session_id: should be 1": stub.RehydrateSession(session("a/b")),
            "roles: is empty": stub.RehydrateSession(session("s2", roles=[])),
            "roles[1]: is empty": stub.RehydrateSession(session("s2", "DEV", " ")),
            "roles[1]: there is no role 'DATTA' ... ": stub.RehydrateSession(
                session("s2", "DEV", "datta")
            ),
            "ttl_ms: is -1": stub.RehydrateSession(session("s2", ttl_ms=-1)),
            "ttl_ms: is 86400001": stub.RehydrateSession(session("s2", ttl_ms=86_400_001)),
            "budget: ... the budget is 5": stub.RehydrateSession(session("s2", budget=5)),
        },
        grpc.StatusCode.INVALID_ARGUMENT,
    )
    assert not any(await stores.state.get([keys.session("s2")]))


async def test_packs_too_large_for_one_answer_are_references(
    stub: Any, fleet: Any, stores: Stores
) -> None:
    large = replace(PLAN, description="x" * 2_000_000)
    given = {"plan_id": plan_id(large), "budget": 10_000_000, "plan": approved(large)}
    answer = await stub.RehydrateSession(session("s1", **given))
    assert answer.ByteSize() < 1_000_000
    packs = [await made_of(made, stores.blobs, "pack") for made in answer.packs]
    assert all(isinstance(pack, ContextPack) and large.description in pack.text for pack in packs)


async def test_scopes_are_held_to_the_policy(stub: Any) -> None:
    def ask(role: str, *scopes: str, phase: str = "test") -> Any:
        return stub.ValidateScope(pb.ValidateScopeRequest(phase=phase, role=role, scopes=scopes))

    found = await ask("qa", "task", "timeline", "task")
    assert not found.valid
    assert found.extra == ["timeline"]
    assert found.missing[:2] == ["acceptance", "constraints"]
    assert "timeline" not in found.allowed
    exact = await ask(" Qa", *found.allowed)
    assert (exact.valid, list(exact.missing), list(exact.extra)) == (True, [], [])
    assert "timeline" in (await ask("ARCHITECT")).allowed
    await refused(
        {
            "phase: there is no phase 'tset' ... did you mean test": ask("QA", phase="tset"),
            "role: there is no role 'DVE' ... DEV": ask("DVE"),
            "scopes[1]: there is no scope 'timelines' ... timeline": ask("QA", "task", "timelines"),
        },
        grpc.StatusCode.INVALID_ARGUMENT,
    )


class Away(InMemoryContextGraph):
    """A graph whose server comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.away = True

    def __getattribute__(self, name: str) -> Any:
        if name in {"record_plan", "record_decision", "neighbourhood", "plan"} and self.away:
            raise Unavailable("the graph is away")
        return super().__getattribute__(name)


async def test_while_the_graph_is_away_callers_are_asked_to_come_again(
    fleet: Any, stores: Stores
) -> None:
    graph = Away()
    decision = decision_message(decided("base", "Use stone."))
    async with (
        fleet.context(graph=graph) as served,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        stub: Any = ContextServiceStub(channel)
        calls = {
            "GetContext": asking(),
            "UpdateContext": pb.UpdateContextRequest(plan=approved()),
            "RecordDecision": pb.RecordDecisionRequest(decision=decision),
            "RehydrateSession": session("s1", plan=None),
        }
        for name, request in calls.items():
            code, said = await refusal(getattr(stub, name)(request))
            assert (code, said) == (grpc.StatusCode.UNAVAILABLE, "the graph is away")
        assert not [e async for e in stores.bus.replay([CONTEXT_UPDATED])]
        assert not any(await stores.state.get([keys.session("s1")]))
        graph.away = False
        for name in ("UpdateContext", "RecordDecision", "GetContext", "RehydrateSession"):
            await getattr(stub, name)(calls[name])


async def test_a_service_that_is_started_again_goes_on_from_what_is_kept(fleet: Any) -> None:
    async with fleet.context() as served, grpc.aio.insecure_channel(served.address) as channel:
        stub: Any = ContextServiceStub(channel)
        await recorded(stub)
        before = await stub.RehydrateSession(session("s1"))
        pack = await stub.GetContext(asking())
    async with (
        fleet.context(GrpcServerSettings(listen=served.address)) as again,
        grpc.aio.insecure_channel(again.address) as channel,
    ):
        stub = ContextServiceStub(channel)
        assert await stub.GetContext(asking()) == pack
        assert await stub.RehydrateSession(pb.RehydrateSessionRequest(session_id="s1")) == before


async def test_only_callers_with_the_token_are_answered(fleet: Any) -> None:
    fleet.secrets |= {"FLEET_TOKEN": "s3cret", "OTHER": "another"}
    guarded = GrpcServerSettings(listen="127.0.0.1:0", token="FLEET_TOKEN")
    async with fleet.context(guarded) as served:
        for more in ({}, {"token": "OTHER"}):
            async with fleet.hydrator(served.address, **more) as stranger:
                with pytest.raises(Unavailable, match=r"refuses us.*same token"):
                    await stranger.record(decided("base", "Use stone."))
        assert await fleet.graph.revision(PLAN.story) == 0
        async with fleet.hydrator(served.address, token="FLEET_TOKEN") as friend:
            assert await friend.record(decided("base", "Use stone.")) == 1
    assert {call.service for call in fleet.calls} == {NAME}


async def test_a_callers_deadline_ends_what_was_done_for_it(fleet: Any) -> None:
    class Slow(InMemoryContextGraph):
        def __init__(self) -> None:
            super().__init__()
            self.cancelled = asyncio.Event()

        async def plan(self, plan_id: str) -> PlanRecord | None:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
            return None

    graph: ContextGraph = Slow()
    async with (
        fleet.context(graph=graph) as served,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        stub: Any = ContextServiceStub(channel)
        code, _ = await refusal(stub.GetContext(asking(), timeout=0.3))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert isinstance(graph, Slow)
        await asyncio.wait_for(graph.cancelled.wait(), 5)
