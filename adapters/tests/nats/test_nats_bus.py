"""What is NATS's own in the bus: restarts, raw messages, several streams, names."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import nats
import pytest

from fleet_adapters.nats import _subscriber
from fleet_bootstraps.stack.nats import NatsServer, running_nats
from fleet_core.domain.events import Event, encode
from fleet_core.errors import InputError, StoreError, Unavailable
from fleet_core.ports.event_bus import Delivery, EventBus, Stored, Subscription
from fleet_core.usecases.consume import consume

pytestmark = pytest.mark.anyio

_LIMIT_S = 20


class Names:
    def __init__(self) -> None:
        self.token = uuid.uuid4().hex[:12]
        self.subject = f"agent.results.{self.token}"
        self.durable = f"test-{self.token}"

    def event(self, number: int, subject: str = "") -> Event:
        return Event(f"{self.token}:{number}", subject or self.subject, {"n": number}, 1_000)

    def terms(self, **terms: Any) -> Subscription:
        return Subscription(self.durable, (self.subject,), **terms)


@pytest.fixture
def on() -> Names:
    return Names()


@pytest.fixture
async def bus(opener: Any) -> EventBus:
    bus: EventBus = await opener.open("bus")
    return bus


async def replayed(bus: EventBus, *subjects: str, after: int = 0) -> list[Stored]:
    async with asyncio.timeout(_LIMIT_S):
        return [stored async for stored in bus.replay(subjects, after=after)]


async def letters(bus: EventBus, subject: str, number: int) -> list[Event]:
    """The dead letters of a subject, once there are so many."""
    async with asyncio.timeout(_LIMIT_S):
        found: list[Event] = []
        stream: Any = bus.replay([f"dead.{subject}"], follow=True)
        async with aclosing(stream):
            async for stored in stream:
                found.append(stored.event)
                if len(found) == number:
                    return found
    raise AssertionError("the log ended")


async def take(deliveries: AsyncIterator[Delivery], count: int) -> list[Delivery]:
    async with asyncio.timeout(_LIMIT_S):
        return [await anext(deliveries) for _ in range(count)]


def numbers(found: list[Any]) -> list[int]:
    return [int(one.event.data["n"]) for one in found]


class Restartable:
    """A server of a test's own, which can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()
        self.server = NatsServer("", 0, 0)

    async def start(self) -> None:
        running = running_nats(self._folder, port=self.server.port)
        self.server = await self._stack.enter_async_context(running)

    async def kill(self) -> None:
        os.kill(self.server.pid, signal.SIGKILL)
        await self._stack.aclose()

    async def stop(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Restartable]:
    own = Restartable(tmp_path / "own")
    await own.start()
    yield own
    await own.stop()


@pytest.fixture
async def own_bus(own: Restartable, opener: Any) -> EventBus:
    opener.url = own.server.url
    bus: EventBus = await opener.open("bus")
    return bus


async def test_a_restart_amid_a_subscription_only_delays(
    own: Restartable, own_bus: EventBus, on: Names
) -> None:
    async with own_bus.subscribe(on.terms()) as deliveries:
        await own_bus.publish([on.event(1)])
        (first,) = await take(deliveries, 1)
        await first.ack()
        waiting = asyncio.create_task(take(deliveries, 1))
        await own.kill()
        await own.start()
        await own_bus.publish([on.event(2)])
        # The ack may have been lost with the server's memory: then the event comes again.
        found = await waiting
        while 2 not in numbers(found):
            found += await take(deliveries, 1)
        assert set(numbers(found)) <= {1, 2}


async def test_a_restart_amid_a_publication_only_delays_and_doubles_nothing(
    own: Restartable, own_bus: EventBus, on: Names
) -> None:
    async def publish(begin: int) -> None:
        for n in range(begin, 400, 4):
            await own_bus.publish([on.event(n), on.event(1000 + n)])

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        publishing = [tasks.create_task(publish(begin)) for begin in range(4)]
        while len(await replayed(own_bus, on.subject)) < 50:
            assert not any(task.done() for task in publishing)
        await own.kill()
        await own.start()
    stored = sorted(numbers(await replayed(own_bus, on.subject)))
    assert stored == sorted([*range(400), *range(1000, 1400)])


async def test_a_publisher_learns_that_the_server_stays_away(
    own: Restartable, opener: Any, on: Names
) -> None:
    opener.url = own.server.url
    bus = await opener.open("bus", answer_ms=300)
    await own.stop()
    with pytest.raises(Unavailable, match=r"no connection in 0\.3 s"):
        await bus.publish([on.event(1)])


async def test_ids_are_known_after_a_restart(
    own: Restartable, own_bus: EventBus, on: Names
) -> None:
    hostile = [Event(text, on.subject, {}) for text in ("a b", " a b", "a\nb", "ü", "sha256:0")]
    await own_bus.publish([on.event(1), *hostile])
    await own.kill()
    await own.start()
    await own_bus.publish([*hostile, on.event(1)])
    assert len(await replayed(own_bus, on.subject)) == 6


async def test_a_replay_goes_on_over_a_restart(
    own: Restartable, own_bus: EventBus, on: Names
) -> None:
    await own_bus.publish([on.event(n) for n in range(100)])
    seen = []
    stream: Any = own_bus.replay([on.subject], follow=True)
    async with asyncio.timeout(_LIMIT_S), aclosing(stream):
        async for stored in stream:
            seen.append(int(stored.event.data["n"]))
            if len(seen) == 10:
                await own.kill()
                await own.start()
                await own_bus.publish([on.event(n) for n in range(100, 150)])
            if len(seen) == 150:
                break
    assert seen == list(range(150))


async def test_one_subscription_over_several_streams_is_bounded_as_one(
    bus: EventBus, on: Names
) -> None:
    subjects = (on.subject, f"context.{on.token}", f"planning.{on.token}")
    await bus.publish([on.event(n, subject) for n, subject in enumerate(subjects)])
    terms = Subscription(on.durable, subjects, max_in_flight=2)
    async with bus.subscribe(terms) as deliveries:
        taken = await take(deliveries, 2)
        third = asyncio.create_task(take(deliveries, 1))
        done, _ = await asyncio.wait([third], timeout=0.2)
        assert not done
        await taken[0].ack()
        taken += await third
        assert sorted(numbers(taken)) == [0, 1, 2]
        for delivery in taken[1:]:
            await delivery.ack()


async def test_positions_of_several_streams_say_where_to_go_on(bus: EventBus, on: Names) -> None:
    subjects = [on.subject, f"context.{on.token}", f"planning.{on.token}"]
    for n in range(9):
        await bus.publish([on.event(n, subjects[n % 3])])
    stored = await replayed(bus, *subjects)
    assert numbers(stored) == list(range(9))
    positions = [s.position for s in stored]
    assert positions == sorted(set(positions))
    for begin, position in enumerate(positions[2:], 3):
        assert numbers(await replayed(bus, *subjects, after=position)) == list(range(begin, 9))


async def test_a_position_of_one_stream_begins_others_at_its_time(
    bus: EventBus, on: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_adapters.nats.bus._SLACK", timedelta())
    context, planning = f"context.{on.token}", f"planning.{on.token}"
    await bus.publish([on.event(1, context)])
    await bus.publish([on.event(2, planning)])
    await bus.publish([on.event(3, context)])
    (approved,) = await replayed(bus, planning)
    assert numbers(await replayed(bus, planning, context, after=approved.position)) == [3]


async def test_raw_messages_that_are_no_events_go_to_the_dead_letters(
    bus: EventBus, shared_url: str, on: Names
) -> None:
    good = on.event(1)
    raw = {
        "is not JSON": b"\xff\xfe{",
        "should be a CloudEvents object": b"[]",
        "only CloudEvents 1.0": encode(good).replace(b'"1.0"', b'"2.0"'),
        "says 'agent.results.else'": encode(Event("x", "agent.results.else", {})),
        "data: should be a mapping": encode(good).replace(b'{"n":1}', b"7"),
        "bytes, more than": encode(Event("big", on.subject, {"x": "x" * 800_000})),
        "time or sequence": encode(good).replace(b'"time":"', b'"time":"y'),
        "is not JSON: ": b'{"a":' * 100_000,
        "nested deeper": encode(good).replace(b"1}", b"[" * 500 + b"]" * 500 + b"}"),
        "cannot convert float infinity": encode(good).replace(
            b'"type"', b'"sequence":Infinity,"type"'
        ),
        "before 1970": encode(good).replace(b"1970-01-01", b"0001-01-01"),
    }
    client = await nats.connect(shared_url)
    async with client:
        for payload in raw.values():
            await client.jetstream().publish(on.subject, payload)
    await bus.publish([good])
    async with bus.subscribe(on.terms(ack_wait_ms=300)) as deliveries:
        (delivery,) = await take(deliveries, 1)
        assert delivery.event == good
        await delivery.ack()
        found = await letters(bus, on.subject, len(raw))
    for reason, letter in zip(raw, found, strict=True):
        assert reason in letter.data["reason"]
        assert letter.data["durable"] == on.durable
        assert letter.data["event"]["type"] == on.subject
        assert letter.data["event"]["id"].startswith("AGENT_RESULTS:")
    assert found[5].data["bytes"] > 800_000
    async with bus.subscribe(on.terms()) as deliveries:
        nothing = asyncio.create_task(take(deliveries, 1))
        done, _ = await asyncio.wait([nothing], timeout=0.4)
        assert not done
        nothing.cancel()
        await asyncio.wait([nothing])
    assert numbers(await replayed(bus, on.subject)) == [1]


async def test_what_nobody_settles_is_not_lost_silently(bus: EventBus, on: Names) -> None:
    await bus.publish([on.event(1), on.event(2)])
    terms = on.terms(ack_wait_ms=150, max_deliver=2)
    async with bus.subscribe(terms) as deliveries:
        taken = await take(deliveries, 4)  # each twice; the last ones are never settled
        assert [d.last for d in taken] == [False, False, True, True]
        await taken[3].nak()
        waiting = asyncio.create_task(take(deliveries, 1))
        found = await letters(bus, on.subject, 2)
        waiting.cancel()
        await asyncio.wait([waiting])
    reasons = {letter.data["event"]["id"]: letter.data["reason"] for letter in found}
    silent = taken[2].event.event_id
    assert "not settled within 150 ms" in reasons.pop(silent)
    assert "given back on its last" in reasons.popitem()[1]
    assert {letter.data["attempts"] for letter in found} == {2}


async def test_a_crash_on_the_last_attempt_gives_it_to_another_and_ends(
    opener: Any, on: Names
) -> None:
    """Made good a few times, then among the dead letters: no event can kill for ever."""
    bus = await opener.open("bus")
    await bus.publish([on.event(1)])
    attempts = []
    for _ in range(1 + _subscriber.SECOND_CHANCES):
        victim = await opener.open("bus")
        async with victim.subscribe(on.terms(max_deliver=1)) as deliveries:
            (delivery,) = await take(deliveries, 1)
            attempts.append((delivery.attempt, delivery.last))
    assert attempts == [(1, True)] * (1 + _subscriber.SECOND_CHANCES)
    async with bus.subscribe(on.terms(max_deliver=1)) as deliveries:
        waiting = asyncio.create_task(take(deliveries, 1))
        (letter,) = await letters(bus, on.subject, 1)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert "cut short" in letter.data["reason"]


@pytest.mark.parametrize("durable", ["a.b", "a*", ">", "a b", "a/b", "ü", "a\nb", "=2E", "x" * 150])
async def test_any_name_of_a_durable_is_its_own(bus: EventBus, on: Names, durable: str) -> None:
    await bus.publish([on.event(1)])
    terms = Subscription(f"{durable}{on.token}", (on.subject,))
    async with bus.subscribe(terms) as deliveries:
        (delivery,) = await take(deliveries, 1)
        await delivery.ack()
    await bus.forget(terms.durable)
    async with bus.subscribe(terms) as deliveries:
        assert (await take(deliveries, 1))[0].attempt == 1


@pytest.mark.parametrize("durable", ["", "x" * 201, "." * 70])
async def test_names_that_cannot_be_are_refused(bus: EventBus, on: Names, durable: str) -> None:
    with pytest.raises(InputError, match="durable"):
        async with bus.subscribe(Subscription(durable, (on.subject,))):
            pass


@pytest.mark.parametrize("subject", ["agent.results.*", "agent.results.>", "agent.results.a b"])
async def test_a_subject_that_cannot_be_published_to_keeps_nothing(
    bus: EventBus, on: Names, subject: str
) -> None:
    with pytest.raises(StoreError, match="no subject"):
        await bus.publish([on.event(1), Event("x", subject, {})])
    assert await replayed(bus, on.subject) == []


@pytest.mark.parametrize("pattern", ["", "a..b", "agent.>.x", "agent.results.a b", "ag*.x"])
async def test_what_is_no_pattern_is_refused(bus: EventBus, on: Names, pattern: str) -> None:
    with pytest.raises(InputError, match="no pattern"):
        await replayed(bus, pattern)
    with pytest.raises(InputError, match="no pattern"):
        async with bus.subscribe(Subscription(on.durable, (pattern,))):
            pass


async def test_an_event_that_is_too_large_keeps_nothing(bus: EventBus, on: Names) -> None:
    large = Event("large", on.subject, {"x": "x" * 1_000_000})
    with pytest.raises(StoreError, match="into a blob"):
        await bus.publish([on.event(1), large])
    assert await replayed(bus, on.subject) == []


async def test_a_subscriber_of_a_forgotten_durable_is_told(bus: EventBus, on: Names) -> None:
    async with bus.subscribe(on.terms()) as deliveries:
        waiting = asyncio.create_task(take(deliveries, 1))
        await asyncio.sleep(0)
        await bus.publish([on.event(1)])
        await waiting
        waiting = asyncio.create_task(take(deliveries, 1))
        await bus.forget(on.durable)
        with pytest.raises(Unavailable, match="dropped"):
            await waiting


async def test_consuming_survives_a_restart(own: Restartable, own_bus: EventBus, on: Names) -> None:
    seen: set[int] = set()
    all_seen = asyncio.Event()

    async def handle(event: Event) -> None:
        seen.add(int(event.data["n"]))
        if len(seen) == 200:
            all_seen.set()

    consuming = asyncio.create_task(consume(own_bus, on.terms(), handle, lambda: 0))
    await own_bus.publish([on.event(n) for n in range(100)])
    await own.kill()
    await own.start()
    await own_bus.publish([on.event(n) for n in range(100, 200)])
    async with asyncio.timeout(_LIMIT_S):
        await all_seen.wait()
    consuming.cancel()
    await asyncio.wait([consuming])


async def test_a_subscriber_that_is_cancelled_gives_back_at_once(bus: EventBus, on: Names) -> None:
    held = asyncio.Event()

    async def hold() -> None:
        async with bus.subscribe(on.terms()) as deliveries:
            await anext(deliveries)
            held.set()
            await anext(deliveries)

    await bus.publish([on.event(1)])
    holding = asyncio.create_task(hold())
    await held.wait()
    holding.cancel()
    await asyncio.wait([holding])
    async with bus.subscribe(on.terms()) as deliveries:
        assert (await take(deliveries, 1))[0].attempt == 2


async def test_the_wire_is_cloudevents_with_trace_context(
    bus: EventBus, shared_url: str, on: Names
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await bus.publish([Event("id", on.subject, {"n": 1}, 1_000, 3, trace)])
    client = await nats.connect(shared_url)
    async with client:
        raw = await client.jetstream().get_last_msg("AGENT_RESULTS", on.subject)
    assert raw.data is not None
    said = json.loads(raw.data)
    assert (said["specversion"], said["type"], said["traceparent"]) == ("1.0", on.subject, trace)
    assert raw.headers is not None
    assert raw.headers["Nats-Msg-Id"] == "id"


async def test_overlapping_patterns_that_nobody_covers_deliver_once(
    bus: EventBus, on: Names
) -> None:
    crossing = (f"context.*.{on.token}", f"context.{on.token}.*")
    both, neither = f"context.{on.token}.{on.token}", f"context.{on.token}-x"
    await bus.publish([on.event(1, both), on.event(2, neither), on.event(3, both)])
    async with bus.subscribe(Subscription(on.durable, crossing)) as deliveries:
        taken = await take(deliveries, 2)
        assert numbers(taken) == [1, 3]
    assert numbers(await replayed(bus, *crossing)) == [1, 3]


async def test_a_link_asks_again_what_a_broken_connection_swallowed(
    own: Restartable, opener: Any, tmp_path: Path
) -> None:
    opener.url = own.server.url
    bus = await opener.open("bus")
    link = bus._link
    assert isinstance(link.client.max_payload, int)
    asking = asyncio.create_task(link.api("STREAM.INFO.AGENT_RESULTS"))
    await own.kill()
    await own.start()
    async with asyncio.timeout(_LIMIT_S):
        assert (await asking)["config"]["name"] == "AGENT_RESULTS"


async def test_an_error_that_ends_the_connection_ends_nothing_else(opener: Any, on: Names) -> None:
    bus = await opener.open("bus")
    client = bus._link.client
    async with bus.subscribe(on.terms()) as deliveries:
        client._max_payload = 1 << 30  # so that the server, not the driver, refuses
        await client.publish(on.subject, b"x" * 2_000_000)
        async with asyncio.timeout(_LIMIT_S):
            while not client.stats["reconnects"]:  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
        await bus.publish([on.event(1)])
        assert numbers(await take(deliveries, 1)) == [1]


async def test_opening_without_a_server_says_so(opener: Any, tmp_path: Path) -> None:
    opener.url = "nats://127.0.0.1:9"
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 does not answer"):
        await opener.open("bus", connect_ms=300)
