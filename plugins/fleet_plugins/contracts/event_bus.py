"""What every EventBus must do.

Subclass `EventBusContract` in your adapter's tests and give it a fixture `bus`: an open bus, which
may be shared with other tests and may hold other events. Where the log outlives the bus, subclass
`DurableEventBusContract` too and give it a fixture `reopen`: an async function that closes the
current bus, opens another on the same log, and returns it. Where the bus can keep documents of a
store in its own transactions (`EventBus.joined`), subclass `JoinedEventBusContract` too and give it
a fixture `state`: that store.

    class TestMyBus(EventBusContract):
        @pytest.fixture
        async def bus(self):
            async with open_my_bus() as bus:
                yield bus
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest

from fleet_core.domain.events import Event
from fleet_core.errors import Conflict
from fleet_core.ports.event_bus import Delivery, EventBus, Joined, Stored, Subscription
from fleet_core.ports.state_store import Put, StateStore

_DEADLINE_S = 20.0
_SHORT_MS = 150

Reopen = Callable[[], Awaitable[EventBus]]


class Subjects:
    """Subjects, event ids and a durable's name that no other test uses."""

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex[:12]
        self.one = f"agent.results.{self.token}-one"
        self.other = f"agent.results.{self.token}-other"
        self.durable = f"contract-{self.token}"

    def event(self, number: int, subject: str = "") -> Event:
        """An event whose id and data hold `number`."""
        return Event(
            f"{self.token}:{number}", subject or self.one, {"n": number}, 1_700_000_000_000
        )

    def subscription(
        self, *, ack_wait_ms: int = 30_000, max_deliver: int = 5, max_in_flight: int = 256
    ) -> Subscription:
        """A durable on subject `one`."""
        return Subscription(
            self.durable,
            (self.one,),
            ack_wait_ms=ack_wait_ms,
            max_deliver=max_deliver,
            max_in_flight=max_in_flight,
        )


def _number(delivery: Delivery | Stored) -> int:
    return int(delivery.event.data["n"])


async def _take(deliveries: AsyncIterator[Delivery], count: int) -> list[Delivery]:
    async with asyncio.timeout(_DEADLINE_S):
        return [await anext(deliveries) for _ in range(count)]


async def _take_acked(deliveries: AsyncIterator[Delivery], count: int) -> list[int]:
    taken = await _take(deliveries, count)
    for delivery in taken:
        await delivery.ack()
    return sorted(_number(delivery) for delivery in taken)


async def _replayed(bus: EventBus, *subjects: str, after: int = 0) -> list[Stored]:
    async with asyncio.timeout(_DEADLINE_S):
        return [stored async for stored in bus.replay(subjects, after=after)]


@pytest.mark.anyio
class EventBusContract:
    """Publish, subscribe, redeliver, share, replay, follow, forget."""

    @pytest.fixture
    def bus(self) -> EventBus:
        """The bus under test."""
        raise NotImplementedError("give your subclass a fixture `bus`")

    @pytest.fixture
    def on(self) -> Subjects:
        """Names of this test's own."""
        return Subjects()

    async def test_an_event_arrives_whole(self, bus: EventBus, on: Subjects) -> None:
        """Id, subject, data, time, sequence and trace context come as they were published."""
        hostile = "\x00\x1b[31m \u2028 \U0001f600 </script> ' \" \\ " + "x" * 100_000
        event = Event(
            f"{on.token}:1",
            on.one,
            {"text": hostile, "nested": {"list": [1, 2.5, None, True]}},
            1_700_000_000_123,
            7,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        await bus.publish([event])
        async with bus.subscribe(on.subscription()) as deliveries:
            (delivery,) = await _take(deliveries, 1)
            assert delivery.event == event
            assert delivery.attempt == 1
            assert not delivery.last
            await delivery.ack()
        assert [stored.event for stored in await _replayed(bus, on.one)] == [event]

    async def test_text_with_lone_surrogates_arrives(self, bus: EventBus, on: Subjects) -> None:
        """JSON can carry them, so a model can write them."""
        event = Event(f"{on.token}:1", on.one, {"text": "half \ud83d of a pair"})
        await bus.publish([event])
        assert [stored.event.data for stored in await _replayed(bus, on.one)] == [event.data]

    async def test_publishing_an_id_again_changes_nothing(
        self, bus: EventBus, on: Subjects
    ) -> None:
        """Also within one call, beside new events, and with other content."""
        await bus.publish([on.event(1)])
        again = Event(on.event(1).event_id, on.one, {"n": 99})
        await bus.publish([again, on.event(2), on.event(2)])
        assert [_number(stored) for stored in await _replayed(bus, on.one)] == [1, 2]

    async def test_concurrent_publishers_of_one_id_keep_one(
        self, bus: EventBus, on: Subjects
    ) -> None:
        """Idempotence holds under concurrency."""
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(bus.publish([on.event(1), on.event(2)]))
        assert sorted(_number(s) for s in await _replayed(bus, on.one)) == [1, 2]

    async def test_a_subject_of_no_stream_is_refused_and_nothing_kept(
        self, bus: EventBus, on: Subjects
    ) -> None:
        """All or none: the good event beside it is not kept either."""
        with pytest.raises(KeyError):
            await bus.publish([on.event(1), on.event(2, "nowhere.at.all")])
        assert await _replayed(bus, on.one) == []

    async def test_patterns(self, bus: EventBus, on: Subjects) -> None:
        """`*` is one token, `>` the rest; matching twice still delivers once."""
        decided = f"orchestration.deliberation.{on.token}"
        await bus.publish([on.event(1), on.event(2, on.other), on.event(3, decided)])
        terms = Subscription(on.durable, ("agent.results.*", on.one, f"orchestration.*.{on.token}"))
        mine = []
        async with bus.subscribe(terms) as deliveries, asyncio.timeout(_DEADLINE_S):
            async for delivery in deliveries:
                await delivery.ack()
                if delivery.event.event_id.startswith(on.token):
                    mine.append(_number(delivery))
                if len(mine) == 3:
                    break
        assert sorted(mine) == [1, 2, 3]
        every = [s for s in await _replayed(bus, ">") if s.event.event_id.startswith(on.token)]
        assert len(every) == 3
        assert [_number(s) for s in await _replayed(bus, f"agent.*.{on.token}-other")] == [2]

    async def test_events_published_later_arrive(self, bus: EventBus, on: Subjects) -> None:
        """A waiting subscriber is woken."""
        async with bus.subscribe(on.subscription()) as deliveries:
            waiting = asyncio.create_task(_take_acked(deliveries, 2))
            await bus.publish([on.event(1)])
            await bus.publish([on.event(2)])
            assert await waiting == [1, 2]

    async def test_a_new_durable_begins_at_the_start_or_now(
        self, bus: EventBus, on: Subjects
    ) -> None:
        """`from_start` False passes over what is kept already, and nothing else."""
        await bus.publish([on.event(1)])
        late = Subscription(f"{on.durable}-late", (on.one,), from_start=False)
        async with bus.subscribe(late) as deliveries:
            await bus.publish([on.event(2)])
            assert await _take_acked(deliveries, 1) == [2]
        async with bus.subscribe(on.subscription()) as deliveries:
            assert await _take_acked(deliveries, 2) == [1, 2]

    async def test_a_durable_keeps_its_place(self, bus: EventBus, on: Subjects) -> None:
        """What was acked does not come again; what came while nobody listened does."""
        await bus.publish([on.event(1), on.event(2)])
        async with bus.subscribe(on.subscription()) as deliveries:
            assert await _take_acked(deliveries, 2) == [1, 2]
        await bus.publish([on.event(3)])
        renewed = Subscription(on.durable, (on.one,), from_start=False)
        async with bus.subscribe(renewed) as deliveries:
            assert await _take_acked(deliveries, 1) == [3]

    async def test_what_is_not_acked_in_time_comes_again(self, bus: EventBus, on: Subjects) -> None:
        """With its attempts counted, until the last one, which says so."""
        await bus.publish([on.event(1)])
        terms = on.subscription(ack_wait_ms=_SHORT_MS, max_deliver=3)
        async with bus.subscribe(terms) as deliveries:
            taken = await _take(deliveries, 3)
            assert [(d.attempt, d.last) for d in taken] == [(1, False), (2, False), (3, True)]
            await taken[-1].ack()
            await bus.publish([on.event(2)])
            assert await _take_acked(deliveries, 1) == [2]

    async def test_after_the_last_attempt_it_is_given_up(self, bus: EventBus, on: Subjects) -> None:
        """By silence and by nak; others still come."""
        await bus.publish([on.event(1), on.event(2)])
        terms = on.subscription(ack_wait_ms=_SHORT_MS, max_deliver=1, max_in_flight=2)
        async with bus.subscribe(terms) as deliveries:
            first, second = sorted(await _take(deliveries, 2), key=_number)
            assert first.last
            assert second.last
            await second.nak()
            # The first one still holds its place, so this waits until it is given up.
            await bus.publish([on.event(3), on.event(4)])
            assert [_number(d) for d in await _take(deliveries, 2)] == [3, 4]

    async def test_nak_brings_it_back_after_its_delay(self, bus: EventBus, on: Subjects) -> None:
        """Others do not wait for it."""
        await bus.publish([on.event(1)])
        async with bus.subscribe(on.subscription()) as deliveries:
            (first,) = await _take(deliveries, 1)
            begin = asyncio.get_running_loop().time()
            await first.nak(delay_ms=300)
            await bus.publish([on.event(2)])
            assert await _take_acked(deliveries, 1) == [2]
            (again,) = await _take(deliveries, 1)
            assert asyncio.get_running_loop().time() - begin >= 0.25
            assert (_number(again), again.attempt) == (1, 2)
            await again.nak()
            (third,) = await _take(deliveries, 1)
            assert third.attempt == 3
            await third.ack()

    async def test_term_ends_it(self, bus: EventBus, on: Subjects) -> None:
        """It does not come again, however short the time to ack."""
        await bus.publish([on.event(1)])
        async with bus.subscribe(on.subscription(ack_wait_ms=_SHORT_MS)) as deliveries:
            (first,) = await _take(deliveries, 1)
            await first.term()
        await bus.publish([on.event(2)])
        async with bus.subscribe(on.subscription(ack_wait_ms=_SHORT_MS)) as deliveries:
            assert await _take_acked(deliveries, 1) == [2]

    async def test_in_progress_starts_the_time_again(self, bus: EventBus, on: Subjects) -> None:
        """An event worked on for longer than `ack_wait_ms` is not given to another."""
        await bus.publish([on.event(1)])
        seen: list[int] = []
        async with bus.subscribe(on.subscription(ack_wait_ms=600)) as deliveries:
            (first,) = await _take(deliveries, 1)

            async def watch() -> None:
                async for delivery in deliveries:
                    seen.append(_number(delivery))
                    await delivery.ack()

            watching = asyncio.create_task(watch())
            loop = asyncio.get_running_loop()
            until = loop.time() + 1.5
            while loop.time() < until:
                await first.in_progress()
                await asyncio.sleep(0.1)
            await first.ack()
            await bus.publish([on.event(2)])
            async with asyncio.timeout(_DEADLINE_S):
                while 2 not in seen:  # noqa: ASYNC110 -- the deadline bounds it
                    await asyncio.sleep(0.01)
            watching.cancel()
            await asyncio.wait([watching])
        assert seen == [2]

    async def test_subscribers_of_one_durable_share(self, bus: EventBus, on: Subjects) -> None:
        """Each event goes to one of them, and all of them get some."""
        got: dict[str, list[int]] = {"a": [], "b": []}
        terms = on.subscription(max_in_flight=4)

        async def work(name: str) -> None:
            async with bus.subscribe(terms) as deliveries:
                async for delivery in deliveries:
                    got[name].append(_number(delivery))
                    await asyncio.sleep(0.005)
                    await delivery.ack()

        workers = [asyncio.create_task(work(name)) for name in got]
        await bus.publish([on.event(n) for n in range(60)])
        async with asyncio.timeout(_DEADLINE_S):
            while len(got["a"]) + len(got["b"]) < 60:  # noqa: ASYNC110 -- the deadline bounds it
                await asyncio.sleep(0.01)
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
        assert sorted(got["a"] + got["b"]) == list(range(60))
        assert got["a"]
        assert got["b"]

    async def test_two_durables_each_get_everything(self, bus: EventBus, on: Subjects) -> None:
        """Durables do not take from each other."""
        await bus.publish([on.event(n) for n in range(5)])
        for name in ("a", "b"):
            terms = Subscription(f"{on.durable}-{name}", (on.one,))
            async with bus.subscribe(terms) as deliveries:
                assert await _take_acked(deliveries, 5) == list(range(5))

    async def test_what_a_leaving_subscriber_held_goes_to_others(
        self, bus: EventBus, on: Subjects
    ) -> None:
        """At once, not after `ack_wait_ms`."""
        await bus.publish([on.event(1)])
        terms = on.subscription()
        for attempt in (1, 2, 3):
            async with bus.subscribe(terms) as deliveries:
                (delivery,) = await _take(deliveries, 1)
                assert delivery.attempt == attempt
        async with bus.subscribe(terms) as deliveries:
            assert await _take_acked(deliveries, 1) == [1]

    async def test_no_more_are_in_flight_than_allowed(self, bus: EventBus, on: Subjects) -> None:
        """The next comes when one is acked."""
        await bus.publish([on.event(n) for n in range(3)])
        async with bus.subscribe(on.subscription(max_in_flight=2)) as deliveries:
            first, second = await _take(deliveries, 2)
            third = asyncio.create_task(_take(deliveries, 1))
            done, _ = await asyncio.wait([third], timeout=0.3)
            assert not done
            await first.ack()
            await (await third)[0].ack()
            await second.ack()

    async def test_cancelling_a_wait_loses_nothing(self, bus: EventBus, on: Subjects) -> None:
        """The event that comes meanwhile goes to the next who asks."""
        async with bus.subscribe(on.subscription()) as deliveries:
            waiting = asyncio.create_task(_take(deliveries, 1))
            await asyncio.sleep(0)
            publishing = asyncio.create_task(bus.publish([on.event(1)]))
            waiting.cancel()
            await asyncio.wait([waiting])
            await publishing
        async with bus.subscribe(on.subscription()) as deliveries:
            assert await _take_acked(deliveries, 1) == [1]

    async def test_replay_is_in_order_from_beyond_a_position(
        self, bus: EventBus, on: Subjects
    ) -> None:
        """Positions rise; a replay may begin after any of them."""
        for n in range(5):
            await bus.publish([on.event(n)])
        stored = await _replayed(bus, on.one)
        assert [_number(s) for s in stored] == list(range(5))
        positions = [s.position for s in stored]
        assert positions == sorted(set(positions))
        assert positions[0] > 0
        rest = await _replayed(bus, on.one, after=positions[2])
        assert [_number(s) for s in rest] == [3, 4]
        assert await _replayed(bus, on.one, after=positions[-1]) == []

    async def test_replay_moves_no_durable(self, bus: EventBus, on: Subjects) -> None:
        """What was replayed is still delivered."""
        await bus.publish([on.event(1)])
        async with bus.subscribe(on.subscription()):
            pass
        assert len(await _replayed(bus, on.one)) == 1
        async with bus.subscribe(on.subscription()) as deliveries:
            assert await _take_acked(deliveries, 1) == [1]
        assert len(await _replayed(bus, on.one)) == 1

    async def test_replay_of_many(self, bus: EventBus, on: Subjects) -> None:
        """More than any adapter reads at once, in order, without gap or repetition."""
        for begin in range(0, 1000, 100):
            await bus.publish([on.event(n) for n in range(begin, begin + 100)])
        assert [_number(s) for s in await _replayed(bus, on.one)] == list(range(1000))

    async def test_follow_goes_on(self, bus: EventBus, on: Subjects) -> None:
        """From what is kept to what comes, each once and in order."""
        await bus.publish([on.event(0)])
        seen: list[int] = []

        async def publish() -> None:
            for n in range(1, 50):
                await bus.publish([on.event(n)])

        async with asyncio.timeout(_DEADLINE_S), asyncio.TaskGroup() as group:
            group.create_task(publish())
            async with aclosing(bus.replay((on.one,), follow=True)) as stream:  # type: ignore[type-var]  # adapters return generators
                async for stored in stream:
                    seen.append(_number(stored))
                    if len(seen) == 50:
                        break
        assert seen == list(range(50))

    async def test_forget_drops_the_place(self, bus: EventBus, on: Subjects) -> None:
        """The name begins anew; forgetting a name nobody knows is fine."""
        await bus.publish([on.event(1)])
        async with bus.subscribe(on.subscription()) as deliveries:
            assert await _take_acked(deliveries, 1) == [1]
        await bus.forget(on.durable)
        await bus.forget(on.durable)
        async with bus.subscribe(on.subscription()) as deliveries:
            assert await _take_acked(deliveries, 1) == [1]


@pytest.mark.anyio
class DurableEventBusContract:
    """What a log that outlives the bus must do besides."""

    @pytest.fixture
    def on(self) -> Subjects:
        """Names of this test's own."""
        return Subjects()

    @pytest.fixture
    def reopen(self) -> Reopen:
        """Closes the bus and opens another on the same log."""
        raise NotImplementedError("give your subclass a fixture `reopen`")

    async def test_events_and_ids_outlive_the_bus(
        self, bus: EventBus, reopen: Reopen, on: Subjects
    ) -> None:
        """The log, its positions, and that an id is known."""
        await bus.publish([on.event(1)])
        (before,) = await _replayed(bus, on.one)
        bus = await reopen()
        await bus.publish([on.event(1), on.event(2)])
        stored = await _replayed(bus, on.one)
        assert stored[0] == before
        assert [_number(s) for s in stored] == [1, 2]
        assert stored[1].position > before.position

    async def test_a_durable_outlives_the_bus(
        self, bus: EventBus, reopen: Reopen, on: Subjects
    ) -> None:
        """Acked out of order, only what was not acked comes again, its attempts counted."""
        await bus.publish([on.event(n) for n in range(6)])
        async with bus.subscribe(on.subscription()) as deliveries:
            for delivery in await _take(deliveries, 5):
                if _number(delivery) in (0, 2, 4):
                    await delivery.ack()
        bus = await reopen()
        async with bus.subscribe(on.subscription()) as deliveries:
            taken = {_number(d): d.attempt for d in await _take(deliveries, 3)}
        assert taken == {1: 2, 3: 2, 5: 1}

    async def test_a_durable_from_now_keeps_its_now(
        self, bus: EventBus, reopen: Reopen, on: Subjects
    ) -> None:
        """What came after it was made, while the bus was closed to it, is delivered."""
        await bus.publish([on.event(1)])
        late = Subscription(on.durable, (on.one,), from_start=False)
        async with bus.subscribe(late):
            pass
        await bus.publish([on.event(2)])
        bus = await reopen()
        async with bus.subscribe(late) as deliveries:
            assert await _take_acked(deliveries, 1) == [2]

    async def test_what_was_forgotten_stays_forgotten(
        self, bus: EventBus, reopen: Reopen, on: Subjects
    ) -> None:
        """The name begins anew after reopening too."""
        await bus.publish([on.event(1)])
        async with bus.subscribe(on.subscription()) as deliveries:
            assert await _take_acked(deliveries, 1) == [1]
        await bus.forget(on.durable)
        bus = await reopen()
        async with bus.subscribe(on.subscription()) as deliveries:
            assert await _take_acked(deliveries, 1) == [1]


class JoinedEventBusContract:
    """What a bus must do that keeps documents and events in one transaction."""

    @pytest.fixture
    def on(self) -> Subjects:
        """Names of this test's own."""
        return Subjects()

    @pytest.fixture
    def state(self) -> StateStore:
        """The store whose documents the bus can keep."""
        raise NotImplementedError("give your subclass a fixture `state`")

    @pytest.fixture
    def keep(self, bus: EventBus, state: StateStore) -> Joined:
        """The bus's way."""
        keep = bus.joined(state)
        assert keep is not None, "the bus does not know its own store"
        return keep

    async def test_both_are_kept(
        self, bus: EventBus, state: StateStore, keep: Joined, on: Subjects
    ) -> None:
        """The documents can be read, and who is subscribed gets the events."""
        key = f"contract/{on.token}"
        async with bus.subscribe(on.subscription()) as deliveries:
            await keep([Put(key, b"kept", expect=0)], [on.event(1), on.event(2)])
            assert [_number(d) for d in await _take(deliveries, 2)] == [1, 2]
        (document,) = await state.get([key])
        assert document is not None
        assert (document.version, document.value) == (1, b"kept")

    async def test_a_conflict_keeps_neither(
        self, bus: EventBus, state: StateStore, keep: Joined, on: Subjects
    ) -> None:
        """Not the writes before the one that conflicts, and no event."""
        first, second = f"contract/{on.token}/1", f"contract/{on.token}/2"
        await state.commit([Put(second, b"there")])
        with pytest.raises(Conflict) as caught:
            await keep([Put(first, b"", expect=0), Put(second, b"", expect=0)], [on.event(1)])
        assert caught.value.key == second
        assert [d and d.value for d in await state.get([first, second])] == [None, b"there"]
        assert await _replayed(bus, on.one) == []

    async def test_a_known_event_is_passed_over_and_the_documents_kept(
        self, bus: EventBus, state: StateStore, keep: Joined, on: Subjects
    ) -> None:
        """As `publish` does."""
        await bus.publish([on.event(1)])
        await keep([Put(f"contract/{on.token}", b"kept")], [on.event(1), on.event(2)])
        assert [_number(s) for s in await _replayed(bus, on.one)] == [1, 2]
        assert (await state.get([f"contract/{on.token}"]))[0] is not None

    async def test_a_subject_without_stream_keeps_neither(
        self, bus: EventBus, state: StateStore, keep: Joined, on: Subjects
    ) -> None:
        """A document whose event nobody could get would be a command that is lost."""
        key = f"contract/{on.token}"
        with pytest.raises(KeyError):
            await keep([Put(key, b"")], [on.event(1), on.event(2, "nowhere.at.all")])
        assert await state.get([key]) == [None]
        assert await _replayed(bus, on.one) == []
