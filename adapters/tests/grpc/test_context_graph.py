"""GetGraph over a channel: a story as nodes and relations."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from fleet_adapters.grpc._records import plan_message
from fleet_adapters.grpc.drawing import opened_drawing
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_adapters.grpc.proto.fleet.context.v1.context_pb2_grpc import ContextServiceStub
from fleet_adapters.grpc.proto.fleet.domain.v1 import graph_pb2
from fleet_adapters.grpc.serving import Served
from fleet_adapters.grpc.settings import GrpcHydratorSettings
from fleet_core.domain.codec import to_data
from fleet_core.domain.decision import Dissent
from fleet_core.domain.job import Evidence, Standing
from fleet_core.domain.plan import plan_id
from fleet_core.errors import NotFound
from fleet_core.usecases.stores import Stores
from fleet_plugins.contracts.hydrator import PLAN, decided
from fleet_plugins.kit.json_bytes import dump

pytestmark = pytest.mark.anyio
IDENTITY = plan_id(PLAN)


@pytest.fixture
async def served(fleet: Any) -> AsyncIterator[Served]:
    async with fleet.context() as served:
        yield served


@pytest.fixture
async def stub(channel: grpc.aio.Channel) -> Any:
    """Of a service that knows one plan."""
    stub: Any = ContextServiceStub(channel)
    plan = pb.ApprovedPlan(plan=plan_message(PLAN), approved_ms=1)
    await stub.UpdateContext(pb.UpdateContextRequest(plan=plan))
    return stub


async def graph_of(stub: Any, story: str, limit: int) -> tuple[dict[str, Any], set[Any], int]:
    """Nodes by id and relations of all pages, and how many pages there were."""
    nodes: dict[str, Any] = {}
    relations: set[Any] = set()
    after, pages = "", 0
    while not pages or after:
        page = await stub.GetGraph(pb.GetGraphRequest(story=story, after=after, limit=limit))
        nodes |= {node.id: node for node in page.nodes}
        relations |= {
            (graph_pb2.RelationKind.Name(r.kind)[14:], r.source, r.target) for r in page.relations
        }
        after, pages = page.next, pages + 1
    return nodes, relations, pages


@pytest.mark.parametrize(("limit", "expected"), [(1, 4), (2, 2), (0, 1)])
async def test_the_graph_of_a_story_comes_page_by_page(
    stub: Any, stores: Stores, limit: int, expected: int
) -> None:
    evidence = Evidence("python", Standing.PASSED, "3 passed", "...")
    first = replace(decided("base", "Use stone."), decision_id="first", affects=("top",))
    second = replace(
        decided("base", "Use steel."),
        decision_id="second",
        title="Steel \ud83d" + "l" * 400,
        evidence=(evidence,),
        dissent=(Dissent("dev-2", ("dev-3",), "Stone lasts."),),
    )
    third = replace(decided("top", "Use glass."), decision_id="third", cited=("second",))
    for decision in (first, second, third):
        ref = await stores.blobs.put(dump(to_data(decision)))
        await stub.RecordDecision(pb.RecordDecisionRequest(decision_ref=ref))
    nodes, relations, pages = await graph_of(stub, PLAN.story, limit)
    assert pages in (expected, expected + 1)  # a full last page cannot know that it is the last
    base, top = f"task:base:{IDENTITY}", f"task:top:{IDENTITY}"
    assert relations >= {
        ("HAS_PLAN", "story", f"plan:{IDENTITY}"),
        ("HAS_TASK", f"plan:{IDENTITY}", top),
        ("DEPENDS_ON", top, base),
        ("DECIDED_BY", base, "decision:first"),
        ("DECIDED_BY", base, "decision:second"),
        ("DECIDED_BY", top, "decision:third"),
        ("SUPERSEDES", "decision:second", "decision:first"),
        ("AFFECTS", "decision:first", top),
        ("CITED", "decision:third", "decision:second"),
        ("SUPPORTED_BY", "decision:second", "evidence:0:second"),
        ("DISSENTED_FROM", "agent:dev-2", "decision:second"),
    }
    assert {end for _, *ends in relations for end in ends} == set(nodes)
    shown = nodes["decision:second"]
    assert shown.title.startswith("Steel \ufffdlll")
    assert len(shown.title) == 300
    assert nodes["evidence:0:second"].standing == "passed"


async def test_whoever_draws_a_story_gets_all_pages_of_it(served: Served, stub: Any) -> None:
    async with opened_drawing(GrpcHydratorSettings((served.address,)), str) as draw:
        found, whole = await draw(PLAN.story, 1_000)
        some, cut = await draw(PLAN.story, 1)
        with pytest.raises(NotFound, match="nothing is known of story 'x'"):
            await draw("x", 10)
    nodes, relations, _ = await graph_of(stub, PLAN.story, 0)
    assert {node.node_id: (node.kind.name, node.title, node.role) for node in found.nodes} == {
        name: (graph_pb2.NodeKind.Name(node.kind)[10:], node.title, node.role)
        for name, node in nodes.items()
    }
    assert {(r.kind.name, r.source, r.target) for r in found.relations} == relations
    assert whole
    assert cut
    assert some == found


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ({}, grpc.StatusCode.INVALID_ARGUMENT, "story: is empty"),
        ({"story": PLAN.story, "limit": -1}, grpc.StatusCode.INVALID_ARGUMENT, "limit: is -1"),
        (
            {"story": PLAN.story, "limit": 1001},
            grpc.StatusCode.INVALID_ARGUMENT,
            "limit: is 1001 .*1 to 1000",
        ),
        (
            {"story": PLAN.story, "after": "x"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "after: is no place",
        ),
        ({"story": "x"}, grpc.StatusCode.NOT_FOUND, "nothing is known of story 'x'"),
    ],
)
async def test_what_is_wrong_with_asking_for_a_graph_is_said(
    stub: Any, asked: dict[str, Any], code: grpc.StatusCode, said: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetGraph(pb.GetGraphRequest(**asked))
    assert raised.value.code() is code
    assert re.search(said, str(raised.value.details()))
