"""Dead letters on every durable bus, and in memory: replayed once, and honestly told of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_bootstraps.dead_letters import DeadLetters, Fate, Letter
from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import bound
from fleet_bootstraps.stack.nats import nats_server
from fleet_core.domain.events import COMPLETED, DEAD, PLAN_APPROVED, Event
from fleet_core.errors import InputError, Unavailable
from fleet_core.ports.event_bus import EventBus, Subscription
from fleet_core.ports.state_store import StateStore
from fleet_core.usecases.consume import consume
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

pytestmark = pytest.mark.anyio

EVENT = Event("one", COMPLETED, {"n": 1}, 1_000, 7, f"00-{'a' * 32}-{'b' * 16}-01")
Ports = tuple[EventBus, StateStore]


@pytest.fixture(params=["memory", "sqlite", pytest.param("nats", marks=pytest.mark.connected)])
async def ports(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ports]:
    name = "scripted" if request.param == "memory" else "embedded"
    async with AsyncExitStack() as held:
        sets = []
        if request.param == "nats":
            url = await held.enter_async_context(nats_server(tmp_path / "nats"))
            sets = ["bus.use=nats", f"bus.servers={url}"]
        registry = Registry.discovered()
        profile = bound(name, layered(name, {}, sets), registry)
        context = FactoryContext(system_clock, lambda _: "", tmp_path / "home")
        only = (PortName.BUS, PortName.STATE)
        found = await held.enter_async_context(opened_ports(profile, context, only=only))
        yield found[PortName.BUS], found[PortName.STATE]


async def bury(bus: EventBus, event: Event, *durables: str, reason: str = "no") -> None:
    """Have each durable refuse an event."""
    await bus.publish([event])
    for durable in durables:
        await _consumed(bus, durable, event.event_id, InputError(reason))


async def _consumed(
    bus: EventBus, durable: str, event_id: str, error: Exception | None = None
) -> Event:
    """The event as the durable got it; it passes over those before."""
    got: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
    settled = asyncio.Event()

    async def handle(event: Event) -> None:
        if event.event_id == event_id:
            got.set_result(event)
            if error is not None:
                raise error
            settled.set()

    async def letter() -> None:
        async for stored in bus.replay([f"{DEAD}.>"], follow=True):
            if stored.event.event_id == f"dead:{durable}:{event_id}":
                settled.set()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        terms = Subscription(durable, (COMPLETED,))
        running = [
            tasks.create_task(consume(bus, terms, handle, system_clock)),
            tasks.create_task(letter()),
        ]
        event = await got
        await settled.wait()
        for task in running:
            task.cancel()
    return event


async def events(bus: EventBus) -> list[str]:
    return [stored.event.event_id async for stored in bus.replay([COMPLETED])]


async def test_a_replay_reaches_consumers_although_the_bus_knows_the_event(ports: Ports) -> None:
    bus, state = ports
    dead = DeadLetters(bus, state, system_clock)
    await bury(bus, EVENT, "plans")
    (letter,) = await dead.all()
    assert (letter.event_id, letter.durable, letter.reason) == ("one", "plans", "no")
    assert letter.became.fate is Fate.OPEN

    (replayed,) = await dead.replay([letter])
    assert replayed.event_id == "one~replay:1"
    got = await _consumed(bus, "plans", "one~replay:1")
    assert got == replace(EVENT, event_id="one~replay:1")
    (letter,) = await dead.all()
    assert (letter.became.fate, letter.became.event_id) == (Fate.REPLAYED, "one~replay:1")
    assert letter.settled


async def test_what_comes_back_is_replayed_under_yet_another_id(ports: Ports) -> None:
    bus, state = ports
    dead = DeadLetters(bus, state, system_clock)
    await bury(bus, EVENT, "plans")
    await dead.replay(await dead.all())
    await _consumed(bus, "plans", "one~replay:1", InputError("still no"))
    first, second = await dead.all()
    assert (first.settled, second.settled) == (True, False)
    assert (second.event_id, second.root_id) == ("one~replay:1", "one")
    (replayed,) = await dead.replay([second])
    assert replayed.event_id == "one~replay:2"
    assert await events(bus) == ["one", "one~replay:1", "one~replay:2"]


async def test_one_replay_settles_the_letters_of_all_durables(ports: Ports) -> None:
    bus, state = ports
    dead = DeadLetters(bus, state, system_clock)
    await bury(bus, EVENT, "plans", "hydrate")
    letters = await dead.all()
    assert {letter.durable for letter in letters} == {"plans", "hydrate"}
    assert len(await dead.replay(letters)) == 1
    assert all(letter.settled for letter in await dead.all())
    assert await events(bus) == ["one", "one~replay:1"]


async def test_what_was_replayed_is_not_again_unless_asked_for(ports: Ports) -> None:
    bus, state = ports
    dead = DeadLetters(bus, state, system_clock)
    await bury(bus, EVENT, "plans")
    await dead.replay(await dead.all())
    (refused,) = await dead.replay(await dead.all())
    assert (refused.event_id, refused.refused) == ("", "was replayed as one~replay:1")
    (replayed,) = await dead.replay(await dead.all(), again=True)
    assert replayed.event_id == "one~replay:2"


async def test_two_who_replay_at_once_hand_it_out_once(ports: Ports) -> None:
    bus, state = ports
    await bury(bus, EVENT, "plans")
    both = [DeadLetters(bus, state, system_clock) for _ in range(2)]
    letters = await both[0].all()
    await asyncio.gather(*(one.replay(letters) for one in both))
    assert await events(bus) == ["one", "one~replay:1"]


class _DiesOnce:
    """A bus that is gone right before, or right after, it keeps what is published."""

    def __init__(self, bus: EventBus, *, keeps: bool) -> None:
        self._bus, self._keeps, self._dead = bus, keeps, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish(self, given: Sequence[Event]) -> None:
        if self._keeps or self._dead:
            await self._bus.publish(given)
        if not self._dead:
            self._dead = True
            raise Unavailable("gone")


@pytest.mark.parametrize("keeps", [False, True])
async def test_a_replay_that_was_cut_short_is_brought_to_its_end(
    ports: Ports, *, keeps: bool
) -> None:
    bus, state = ports
    await bury(bus, EVENT, "plans")
    failing: Any = _DiesOnce(bus, keeps=keeps)
    dead = DeadLetters(failing, state, system_clock)
    (refused,) = await dead.replay(await dead.all())
    assert refused.refused == "gone"
    (letter,) = await dead.all()
    assert (letter.became.fate, letter.settled) == (Fate.REPLAYING, False)
    (replayed,) = await dead.replay([letter])
    assert replayed.event_id == "one~replay:1"
    assert await events(bus) == ["one", "one~replay:1"]


async def test_a_letter_without_an_event_says_so_and_can_be_discarded(ports: Ports) -> None:
    bus, state = ports
    dead = DeadLetters(bus, state, system_clock)
    torn: dict[str, Any] = {"event": {"id": "x", "data_base64": "eA=="}, "reason": "is not JSON"}
    strange: dict[str, Any] = {"event": 7, "attempts": "many"}
    for number, data in enumerate((torn, strange)):
        await bus.publish([Event(f"l{number}", f"{DEAD}.{PLAN_APPROVED}", data, 1)])
    letters = await dead.all()
    assert [letter.event_id for letter in letters] == ["x", "l1"]
    for replayed in await dead.replay(letters):
        assert "holds no event that could be handed out again" in replayed.refused
    await dead.discard(letters, "seen")
    fates = [(one.became.fate, one.became.reason) for one in await dead.all()]
    assert fates == [(Fate.DISCARDED, "seen")] * 2
    assert (await dead.replay([await _first(dead)]))[0].refused.startswith("holds no event")


async def _first(dead: DeadLetters) -> Letter:
    return (await dead.all())[0]


async def test_what_was_discarded_is_replayed_only_when_asked_for(ports: Ports) -> None:
    bus, state = ports
    dead = DeadLetters(bus, state, system_clock)
    await bury(bus, EVENT, "plans")
    await dead.discard(await dead.all(), "a test")
    (refused,) = await dead.replay(await dead.all())
    assert refused.refused == "was discarded: a test"
    (replayed,) = await dead.replay(await dead.all(), again=True)
    assert replayed.event_id == "one~replay:1"


async def test_an_event_of_no_stream_is_refused(ports: Ports) -> None:
    bus, state = ports
    dead = DeadLetters(bus, state, system_clock)
    envelope = {"specversion": "1.0", "id": "s", "type": "strange", "data": {}}
    letter = {"event": {**envelope, "time": "2026-01-01T00:00:00Z"}, "reason": "no"}
    await bus.publish([Event("l", f"{DEAD}.strange", letter, 1)])
    (replayed,) = await dead.replay(await dead.all())
    assert replayed.refused == "no stream holds strange"


async def test_a_letter_that_comes_back_is_heard_of(ports: Ports) -> None:
    bus, state = ports
    dead = DeadLetters(bus, state, system_clock)
    await bury(bus, EVENT, "plans")
    (letter,) = await dead.all()
    (replayed,) = await dead.replay([letter])
    await _consumed(bus, "plans", "one~replay:1", InputError("still no"))
    async with asyncio.timeout(10):
        async for back in dead.came_back(letter.position, [replayed.event_id]):
            assert (back.event_id, back.reason) == ("one~replay:1", "still no")
            break
