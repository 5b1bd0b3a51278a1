"""Councils: kept across restarts, changed by several at once, and not under plans on their way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.graph import InMemoryContextGraph
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_core.domain.council import Agent, Council
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.model_call import Binding
from fleet_core.domain.plan import Plan, Task
from fleet_core.domain.plan_run import TaskState
from fleet_core.domain.seating import MAX_AGENTS, Seat
from fleet_core.errors import AlreadyExists, InputError, NotFound
from fleet_core.ports.state_store import Put, StateStore, Write
from fleet_core.testing.playing import seats
from fleet_core.testing.process import World, process
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.stores import Stores

pytestmark = pytest.mark.anyio
BINDINGS = {"default": Binding(model="small")}


def clock() -> int:
    return time.time_ns() // 1_000_000


def of(state: StateStore, *configured: Council) -> Councils:
    return Councils(state, {council.role: council for council in configured}, BINDINGS)


def ids(council: Council) -> list[str]:
    return [agent.agent_id for agent in council.agents]


@pytest.fixture
def state() -> InMemoryStateStore:
    return InMemoryStateStore(clock)


async def test_a_created_council_outlives_the_process(state: StateStore) -> None:
    made = await of(state, seats("DEV", 3)).create("qa", [Seat(), Seat("ann")])
    assert ids(made) == ["qa-1", "ann"]
    again = of(state, seats("DEV", 3))
    assert await again.all() == {"DEV": seats("DEV", 3), "QA": made}
    with pytest.raises(AlreadyExists, match="QA"):
        await again.create(" Qa ", [Seat()])
    assert (await again.all())["QA"] == made


async def test_a_kept_council_takes_the_place_of_a_configured_one(state: StateStore) -> None:
    councils = of(state, seats("DEV", 3))
    await councils.create("DEV", [Seat("ann")])
    assert ids((await councils.all())["DEV"]) == ["ann"]
    assert await councils.delete("dev") == seats("DEV", 3)
    assert ids((await councils.all())["DEV"]) == ["dev-1", "dev-2", "dev-3"]
    with pytest.raises(NotFound) as caught:
        await councils.delete("DEV")
    assert "profile" in caught.value.hint
    await councils.create("DATA", [Seat()])
    assert await councils.delete("DATA") is None
    with pytest.raises(NotFound):
        await councils.delete("DATA")


async def test_agents_come_and_go(state: StateStore) -> None:
    councils = of(state, seats("DEV", 2))
    first = await councils.register("dev", Seat(persona="new"))
    assert first == Agent("dev-3", 3, "DEV", "new", BINDINGS["default"])
    assert (await councils.register("DEV", Seat("ann"))).agent_id == "ann"
    left = await councils.unregister("DEV", "dev-1")
    assert ids(left) == ["dev-2", "dev-3", "ann"]
    assert (await of(state, seats("DEV", 2)).all())["DEV"] == left
    with pytest.raises(AlreadyExists):
        await councils.register("DEV", Seat("ann"))
    with pytest.raises(NotFound, match="dev-1"):
        await councils.unregister("DEV", "dev-1")
    for name in ("dev-2", "dev-3"):
        await councils.unregister("DEV", name)
    with pytest.raises(InputError, match="the only one"):
        await councils.unregister("DEV", "ann")
    assert ids((await councils.all())["DEV"]) == ["ann"]


async def test_a_role_without_a_council_has_no_agents(state: StateStore) -> None:
    councils = of(state)
    for call in (councils.register("QA", Seat()), councils.unregister("QA", "qa-1")):
        with pytest.raises(NotFound, match="QA"):
            await call
    for call in (
        councils.register("a/b", Seat()),
        councils.unregister("", "x"),
        councils.create("", [Seat()]),
    ):
        with pytest.raises(InputError):
            await call
    assert await councils.all() == {}


class Yielding(InMemoryStateStore):
    """Lets others go first between reading and writing, as a server does."""

    async def commit(self, writes: Sequence[Write]) -> Sequence[int]:
        await asyncio.sleep(0)
        return await super().commit(writes)


async def test_nobody_loses_a_seat_to_another_orchestrator() -> None:
    state = Yielding(clock)
    orchestrators = [of(state, seats("DEV", 1)) for _ in range(3)]
    registered = await asyncio.gather(
        *(orchestrators[n % 3].register("DEV", Seat()) for n in range(MAX_AGENTS - 1))
    )
    assert len({agent.agent_id for agent in registered}) == MAX_AGENTS - 1
    assert len((await orchestrators[0].all())["DEV"].agents) == MAX_AGENTS
    with pytest.raises(InputError, match="at most 32"):
        await orchestrators[1].register("DEV", Seat())
    outcomes = await asyncio.gather(
        *(orchestrators[n % 3].unregister("DEV", f"dev-{n}") for n in range(1, MAX_AGENTS + 1)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, InputError) for outcome in outcomes) == 1
    assert len((await orchestrators[0].all())["DEV"].agents) == 1


async def test_one_of_many_creates_and_one_of_many_deletes() -> None:
    state = Yielding(clock)
    councils = [of(state) for _ in range(5)]
    made = await asyncio.gather(
        *(c.create("QA", [Seat()] * n) for n, c in enumerate(councils, 1)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Council) for outcome in made) == 1
    assert sum(isinstance(outcome, AlreadyExists) for outcome in made) == 4
    gone = await asyncio.gather(*(c.delete("QA") for c in councils), return_exceptions=True)
    assert sum(outcome is None for outcome in gone) == 1


async def test_agents_speak_through_the_model_that_the_profile_binds_now(state: StateStore) -> None:
    await of(state).create("QA", [Seat()])
    later = Councils(state, {}, {"default": Binding(model="large")})
    assert (await later.all())["QA"].agents[0].binding.model == "large"
    await later.register("QA", Seat())
    assert [a.binding.model for a in (await later.all())["QA"].agents] == ["large", "large"]


async def test_more_councils_than_a_page_holds(state: StateStore) -> None:
    councils = of(state)
    made = await councils.create("R0", [Seat()])
    ((document),) = await state.get(["council/R0"])
    assert document is not None
    assert made.role == "R0"
    renamed = [
        Put(f"council/R{n}", document.value.replace(b'"R0"', b'"R%d"' % n)) for n in range(1, 1200)
    ]
    await state.commit(renamed)
    assert len(await councils.all()) == 1200


async def test_a_plan_under_way_keeps_the_council_it_was_approved_with() -> None:
    stores = Stores(InMemoryEventBus(clock), InMemoryStateStore(clock), InMemoryBlobStore(), clock)
    world = World(stores, InMemoryContextGraph(), {}, protocol=ProtocolSpec("vote"))
    councils = of(stores.state)
    await councils.create("QA", [Seat(), Seat(), Seat()])
    plan = Plan(
        "story", "", (Task("one", "One", "QA"), Task("two", "Two", "QA", depends_on=("one",)))
    )
    async with process(world, "one") as ours, asyncio.timeout(30):
        following = stores.bus.replay(["orchestration.deliberation.completed"], follow=True)
        await ours.plans.approve(plan)
        first = await anext(following)
        await councils.unregister("QA", "qa-2")
        await councils.delete("QA")
        second = await anext(following)
        states = [
            await ours.deliberate.get(str(stored.event.data["deliberation_id"]))
            for stored in (first, second)
        ]
        run = await ours.plans.get(str(second.event.data["plan_id"]))
    assert [ids(state.council) for state in states] == [["qa-1", "qa-2", "qa-3"]] * 2
    assert run.tasks[0].state is TaskState.DECIDED
