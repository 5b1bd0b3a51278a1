"""The hydrator contract, over a channel; and that what comes over it is what was made, exactly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from fleet_adapters.grpc import _by_reference
from fleet_adapters.grpc._deliberations import ANSWER_BYTES
from fleet_adapters.grpc._packs import made_of, write_made
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_core.domain.codec import to_data
from fleet_core.domain.context import ContextPack, ItemKind, LedgerEntry, PackRequest
from fleet_core.domain.job import Evidence, Standing
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.errors import DecodeError, InputError, NotFound, ProfileError, Unavailable
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.hydrator import Hydrator
from fleet_core.usecases.stores import Stores
from fleet_plugins.contracts.hydrator import PLAN, HydratorContract, asked, decided
from fleet_plugins.kit.json_bytes import dump

pytestmark = pytest.mark.anyio
HOSTILE = "\x00\x01\x1b[2J\u2028\u202e'; DROP TABLE decision; -- {{x}} \\ \" \U0001f600\n# Task x\n"
LONE = "half \ud83d of a pair"


class TestGrpcHydrator(HydratorContract):
    @pytest.fixture
    def bus(self, stores: Stores) -> EventBus:
        return stores.bus

    @pytest.fixture
    async def hydrator(self, fleet: Any) -> AsyncIterator[Hydrator]:
        async with fleet.context() as served, fleet.hydrator(served.address) as hydrator:
            yield hydrator


class TestTwoGrpcHydrators(HydratorContract):
    """Two context services that share graph and stores, and a client that knows both."""

    @pytest.fixture
    def bus(self, stores: Stores) -> EventBus:
        return stores.bus

    @pytest.fixture
    async def hydrator(self, fleet: Any) -> AsyncIterator[Hydrator]:
        async with (
            fleet.context() as one,
            fleet.context() as two,
            fleet.hydrator(one.address, two.address) as hydrator,
        ):
            yield hydrator


def request(plan: Plan, task: str, budget: int, **more: Any) -> PackRequest:
    return PackRequest(plan_id(plan), plan, task, "DEV", 1_700_000_000_000, budget, **more)


def plan(text: str) -> Plan:
    tasks = (
        Task("base", text[:200], "DEV", text),
        Task("top", text[:200], "DEV", text, (text,), (text,), ("base",), phase="build"),
        Task("beside", text[:200], "QA"),
    )
    return Plan("wire", text[:200], tasks, text)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("é\u4e2d\U0001f600 plain text\n", 4_000),
        (HOSTILE, 4_000),
        (LONE, 4_000),
        ("x" * 300_000, 10_000_000),  # plan and decision travel by reference
        ("\u4e2d" * 1_200_000, 100_000_000),  # the pack does, too
    ],
    ids=["plain", "hostile", "lone surrogate", "large", "too large for a message"],
)
async def test_a_pack_comes_over_the_wire_whole(
    fleet: Any, hydrator: Hydrator, text: str, budget: int
) -> None:
    own = fleet.hydration().hydrator
    given = plan(text)
    evidence = (Evidence("python", Standing.PASSED, text, text[:4_000], 0.5),)
    revision = await hydrator.record(
        replace(decided("base", text, given), title=text, rationale=text, evidence=evidence)
    )
    for phase in ("design", "release"):
        wish = request(given, "top", budget, phase=phase)
        here, there = await own.pack(wish), await hydrator.pack(wish)
        assert there == here
        assert dump(to_data(there)) == dump(to_data(here))
        assert there.revision == revision
        assert [e.offset for e in there.ledger] == [e.offset for e in here.ledger]
        assert any("decision:" in e.item and e.included for e in there.ledger)


@pytest.fixture
async def hydrator(fleet: Any) -> AsyncIterator[Hydrator]:
    async with fleet.context() as served, fleet.hydrator(served.address) as hydrator:
        yield hydrator


async def test_every_kind_of_entry_is_mapped_back(stores: Stores) -> None:
    ledger = tuple(
        LedgerEntry(f"i{n}", kind, n, bool(n % 2), "why", n, n) for n, kind in enumerate(ItemKind)
    )
    pack = ContextPack("s", "t", "DEV", "text", 3, 2, 1, "estimate", ledger)
    made = pb.MadePack()
    await write_made(pack, made, stores.blobs)
    assert made.WhichOneof("form") == "pack"
    assert await made_of(made, stores.blobs, "pack") == pack


async def test_a_pack_with_half_a_character_travels_by_reference(stores: Stores) -> None:
    pack = ContextPack("s", "t", "DEV", "half \ud83d", 3, 2, 1, "estimate")
    made = pb.MadePack()
    await write_made(pack, made, stores.blobs)
    assert made.WhichOneof("form") == "pack_ref"
    assert await made_of(made, stores.blobs, "pack") == pack


async def test_packs_that_an_answer_holds_share_its_room(stores: Stores) -> None:
    pack = ContextPack("s", "t", "DEV", "x" * (ANSWER_BYTES // 3), 3, 2, 1, "estimate")
    for among, form in ((1, "pack"), (2, "pack"), (4, "pack_ref")):
        message = pb.MadePack()
        await write_made(pack, message, stores.blobs, among)
        assert message.WhichOneof("form") == form
        assert await made_of(message, stores.blobs, "pack") == pack


async def test_what_is_behind_a_reference_must_be_what_it_is_said_to_be(stores: Stores) -> None:
    for raw, said in ((b"\xff", "is not the JSON"), (b"[" * 99_999, "is not"), (b"{}", "missing")):
        ref = await stores.blobs.put(raw)
        with pytest.raises(DecodeError, match=said) as caught:
            await _by_reference.fetched(ContextPack, ref, stores.blobs, "pack.pack_ref")
        assert caught.value.field.startswith("pack.pack_ref")
    with pytest.raises(DecodeError, match="both sides need the same blob store"):
        await _by_reference.fetched(ContextPack, "sha256:0", stores.blobs, "pack.pack_ref")


async def test_a_refusal_is_raised_as_the_service_raised_it(hydrator: Hydrator) -> None:
    with pytest.raises(InputError, match=r"take \d+ tokens, the budget is 3") as small:
        await hydrator.pack(asked("base", 3))
    assert small.value.field == "budget"
    assert small.value.hint == "raise the pack's budget or shorten the task"
    with pytest.raises(InputError, match=r"role 'DEVV'.*DEV") as role:
        await hydrator.pack(replace(asked("base"), role="DEVV"))
    assert role.value.field == "role"
    with pytest.raises(NotFound, match=r"no task 'bas'.*did you mean base"):
        await hydrator.pack(asked("bas"))


async def test_a_role_of_the_plan_needs_no_council(hydrator: Hydrator) -> None:
    """A council can be deleted under a plan that was approved with it."""
    odd = replace(PLAN, tasks=(Task("one", "One", "SCRIBE"),))
    pack = await hydrator.pack(replace(request(odd, "one", 4_000), role="SCRIBE"))
    assert pack.role == "SCRIBE"


async def test_a_service_that_is_away_is_passed_over_and_found_again(fleet: Any) -> None:
    async with AsyncExitStack() as stack:
        mortal = await stack.enter_async_context(AsyncExitStack())
        one = await mortal.enter_async_context(fleet.context())
        two = await stack.enter_async_context(fleet.context())
        both = await stack.enter_async_context(fleet.hydrator(one.address, two.address))
        first = await both.record(decided("base", "Use stone."))
        await mortal.aclose()
        for _ in range(3):
            assert await both.record(decided("base", "Use stone.")) == first
        alone = await stack.enter_async_context(fleet.hydrator(one.address, timeout_ms=60_000))
        with pytest.raises(Unavailable, match=f"context service at {one.address}"):
            await alone.pack(asked("base"))


async def test_settings_that_cannot_work_are_refused_by_field(fleet: Any) -> None:
    for addresses, more, field in (
        ((), {}, "address"),
        (("x",), {}, "address"),
        (("192.0.2.1:50051",), {}, "address"),
        (("127.0.0.1:1",), {"tls_cert": "x.pem"}, "tls_key"),
        (("127.0.0.1:1",), {"token": "NOWHERE"}, "NOWHERE"),
    ):
        with pytest.raises(ProfileError) as refused:
            async with fleet.hydrator(*addresses, **more):
                pass
        assert refused.value.field == field
