"""The deliveries of one subscriber, from a consumer in each stream that it listens to.

The server redelivers without an end; here it is counted. So nothing leaves a durable silently: what
is given up is first put among the dead letters, also when its consumer crashed on the last attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet_adapters.nats import _letters as letters
from fleet_adapters.nats._consumers import Consumer, remember_unseen
from fleet_adapters.nats._link import Link
from fleet_adapters.nats._positions import position
from fleet_adapters.nats._pull import Pull, Received
from fleet_adapters.nats._reading import read
from fleet_core.domain.events import Event
from fleet_core.errors import DecodeError, FleetError
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import Delivery, Subscription

AHEAD = 32  # fetched before they are asked for, from each stream
SECOND_CHANCES = 3
"""Deliveries beyond the last attempt, where a crash or a leaving subscriber cut that one short."""
_BURST = 32
_KEPT_WAITS = 3  # ack waits that an event fetched ahead is kept from others
_LEAVE_S = 3.0

_ACK, _NAK, _TERM, _WPI = b"+ACK", b"-NAK", b"+TERM", b"+WPI"
Place = tuple[str, int]
Bury = Callable[[Event], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Ahead:
    """Fetched and not yet handed out; `begun` is when the server began to wait for its ack."""

    pull: Pull
    got: Received
    since: float
    begun: float


class Handed(Delivery):
    """One event in a subscriber's hands."""

    def __init__(self, owner: Subscriber, place: Place, reply: str, event: Event) -> None:
        self._owner, self.place, self.reply = owner, place, reply
        self.event = event
        self.position = position({place[0]: place[1]})
        self.attempt = 1
        self.last = False
        self.until = 0.0  # when the server delivers it again, on the loop's clock

    async def ack(self) -> None:
        """Done, even where it has meanwhile been handed to another."""
        await self._owner.settle(self, _ACK)

    async def nak(self, delay_ms: int = 0) -> None:
        """Deliver it again after the delay; of no effect once another may have it.

        The last attempt's puts it among the dead letters.
        """
        if not self._owner.holds(self):
            return
        if self.last:
            await self._owner.give_up(self, "it was given back on its last delivery")
        else:
            later = b' {"delay": %d}' % (delay_ms * 1_000_000) if delay_ms > 0 else b""
            await self._owner.settle(self, _NAK + later)

    async def term(self) -> None:
        """Never again."""
        await self._owner.settle(self, _TERM)

    async def in_progress(self) -> None:
        """Start `ack_wait_ms` again; of no effect once another may have it."""
        if self._owner.holds(self):
            self._owner.renew(self)
            await self._owner.link.tell(self.reply, _WPI)


class Subscriber(AsyncIterator[Delivery]):
    """Deliveries of a durable; see `open`."""

    def __init__(
        self,
        link: Link,
        consumers: Sequence[Consumer],
        terms: Subscription,
        *,
        bury: Bury,
        clock: Clock,
        max_bytes: int,
        log: logging.Logger,
    ) -> None:
        self.link = link
        self._terms, self._bury, self._clock = terms, bury, clock
        self._max_bytes, self._log = max_bytes, log
        self._wait_s = terms.ack_wait_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._by_stream = {consumer.stream.name: consumer for consumer in consumers}
        room = min(AHEAD, terms.max_in_flight)
        self._pulls = [
            Pull(link, c.stream.name, c.name, room=room, arrived=self._arrived, ended=self._ended)
            for c in consumers
        ]
        self._buffer: deque[_Ahead] = deque()
        self._held: dict[Place, Handed] = {}
        self._dead: dict[Place, tuple[str, Event]] = {}  # reply and letter
        self._failure: BaseException | None = None
        self._more = asyncio.Event()
        self._tending = asyncio.Event()
        self._burst = 0

    async def __anext__(self) -> Delivery:
        """The next delivery; waits for one."""
        while True:
            self._burst += 1
            if self._burst >= _BURST:
                self._burst = 0
                await asyncio.sleep(0)  # everything may be here: others must get a turn
            handed = self.at_hand()
            if handed is not None:
                return handed
            self._burst = 0
            self._more.clear()
            await self._more.wait()

    def at_hand(self) -> Delivery | None:
        """The next delivery, if it is here."""
        if self._failure is not None:
            raise self._failure
        while self._buffer and self._may_hand_out():
            ahead = self._buffer.popleft()
            ahead.pull.taken()
            handed = self._handed(ahead)
            if handed is not None:
                return handed
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Subscriber]:
        """Deliver while this is held, then give back what has not ended."""
        tending = asyncio.create_task(self._tend())
        tending.add_done_callback(self._tended)
        try:
            yield self
        finally:
            tending.cancel()
            await asyncio.wait([tending])
            await self._leave()

    async def _tend(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for pull in self._pulls:
                tasks.create_task(self._running(pull))
            tasks.create_task(self._keeping())
            while True:
                await self._tending.wait()
                self._tending.clear()
                await self._settle_dead()

    async def _leave(self) -> None:
        """Give everything back: to others at once, without counting what nobody looked at."""
        for pull in self._pulls:
            await pull.stop()
        if not self.link.reached.is_set():
            return
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._give_back()
        except (FleetError, TimeoutError) as error:
            self._log.warning("%s: not all was given back: %s", self._terms.durable, error)

    def holds(self, handed: Handed) -> bool:
        """Whether it has not ended, and the server has not delivered it to another."""
        return self._held.get(handed.place) is handed and self._loop.time() < handed.until

    def renew(self, handed: Handed) -> None:
        """Its time begins again."""
        handed.until = self._loop.time() + self._wait_s

    async def settle(self, handed: Handed, how: bytes) -> None:
        """Tell the server, and let go."""
        await self.link.tell(handed.reply, how)
        if self._held.get(handed.place) is handed:
            del self._held[handed.place]
            if self._buffer:
                self._more.set()

    async def give_up(self, handed: Handed, reason: str) -> None:
        """Put it among the dead letters; then it does not come again."""
        letter = self._letter(handed.event, reason, handed.attempt)
        await self._bury(letter)
        await self.settle(handed, _TERM)

    def _may_hand_out(self) -> bool:
        """The server bounds what one stream delivers, we what all do."""
        return len(self._pulls) == 1 or len(self._held) < self._terms.max_in_flight

    def _arrived(self, pull: Pull, got: Received) -> None:
        now = self._loop.time()
        self._buffer.append(_Ahead(pull, got, now, now))
        self._more.set()

    def _ended(self, error: BaseException) -> None:
        self._failure = error
        self._more.set()

    def _tended(self, task: asyncio.Task[None]) -> None:
        """What breaks behind the scenes breaks the subscription."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._ended(error)

    def _handed(self, ahead: _Ahead) -> Handed | None:
        """The delivery; None where there is nothing to hand out, or no more."""
        got, stream = ahead.got, ahead.pull.stream
        place = (stream, got.sequence)
        if place in self._dead:
            self._dead[place] = (got.msg.reply, self._dead[place][1])
            return None
        try:
            event = read(got, self._max_bytes)
        except DecodeError as error:
            letter = letters.unreadable(got, stream, self._terms.durable, str(error), self._clock())
            self._condemn(place, got, letter)
            return None
        return self._counted(place, got, event, ahead.begun)

    def _counted(self, place: Place, got: Received, event: Event, begun: float) -> Handed | None:
        before = self._held.pop(place, None)
        attempt = max(1, got.deliveries - self._by_stream[place[0]].unseen.get(place[1], 0))
        most = self._terms.max_deliver
        reason = ""
        if before is not None and before.last:
            reason = f"not settled within {self._terms.ack_wait_ms} ms of its last delivery"
        elif attempt > most + SECOND_CHANCES:
            reason = f"cut short on each of {attempt - 1} deliveries"
        if reason:
            self._condemn(place, got, self._letter(event, reason, min(attempt, most)))
            return None
        handed = self._held[place] = Handed(self, place, got.msg.reply, event)
        handed.attempt = min(attempt, most)
        handed.last = attempt >= most
        handed.until = begun + self._wait_s
        return handed

    def _letter(self, event: Event, reason: str, attempts: int) -> Event:
        return letters.given_up(event, self._terms.durable, reason, attempts, self._clock())

    def _condemn(self, place: Place, got: Received, letter: Event) -> None:
        self._dead[place] = (got.msg.reply, letter)
        self._tending.set()

    async def _settle_dead(self) -> None:
        for place, (_, letter) in list(self._dead.items()):
            self._log.warning("%s %d to the dead letters: %s", *place, letter.data["reason"])
            try:
                await self._bury(letter)
            except FleetError as error:
                self._log.warning("%s %d not buried, comes again: %s", *place, error)
            else:
                await self._tell(self._dead[place][0], _TERM)
            del self._dead[place]

    async def _tell(self, reply: str, how: bytes) -> None:
        """Tell the server; where that does not get through, the event comes again."""
        try:
            await self.link.tell(reply, how)
        except FleetError as error:
            self._log.warning("%s not told to NATS: %s", how.decode(), error)

    async def _running(self, pull: Pull) -> None:
        try:
            await pull.run()
        except FleetError as error:
            self._ended(error)

    async def _keeping(self) -> None:
        """Keep what was fetched ahead from being delivered again, for a while."""
        while True:
            await asyncio.sleep(self._wait_s / 3)
            now = self._loop.time()
            for ahead in list(self._buffer):
                if now - ahead.since < self._wait_s * _KEPT_WAITS:
                    ahead.begun = now
                    await self._tell(ahead.got.msg.reply, _WPI)
                elif ahead in self._buffer:
                    self._buffer.remove(ahead)
                    ahead.pull.taken()

    async def _give_back(self) -> None:
        unseen: dict[str, dict[int, int]] = {}
        for ahead in self._buffer:
            stream, sequence = ahead.pull.stream, ahead.got.sequence
            if (stream, sequence) not in self._held:
                known: Mapping[int, int] = self._by_stream[stream].unseen
                unseen.setdefault(stream, {})[sequence] = known.get(sequence, 0) + 1
        for stream, sequences in unseen.items():
            await remember_unseen(self.link, self._by_stream[stream], sequences)
        held = [handed.reply for handed in self._held.values()]
        for reply in [*held, *(ahead.got.msg.reply for ahead in self._buffer)]:
            await self.link.tell(reply, _NAK)
        self._held.clear()
        self._buffer.clear()
        await self.link.flush()
