"""What one durable subscription owes: the bookkeeping of buses that keep their own log.

Not an adapter: `memory` and `sqlite` both deliver from a log of their own, and differ only in where
that log and a durable's place in it are kept. Times are seconds of the running loop's clock, so
that a jump of the wall clock redelivers nothing.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from fleet_core.domain.events import Event, matches
from fleet_core.errors import FleetError
from fleet_core.ports.event_bus import Delivery, Subscription

_BURST = 32  # deliveries handed out in a row before other tasks get a turn
_REMEMBERED_SUBJECTS = 4096

Wants = Callable[[str], bool]
Read = Callable[[int, Wants], tuple[Sequence[tuple[int, Event]], int]]
"""Some of the wanted events beyond a position, and the position up to which the log was read.

Returns the position it was given where the log holds nothing beyond it.
"""


def wants(subjects: Sequence[str]) -> Wants:
    """Whether a subject matches any of the patterns; answers are remembered."""
    known: dict[str, bool] = {}

    def ask(subject: str) -> bool:
        answer = known.get(subject)
        if answer is None:
            if len(known) >= _REMEMBERED_SUBJECTS:
                known.clear()
            answer = known[subject] = any(matches(pattern, subject) for pattern in subjects)
        return answer

    return ask


class _Phase(IntEnum):
    READY = 0
    OUT = 1
    WAITING = 2


@dataclass(slots=True)
class Owed:
    """An event that was offered to the durable and has not ended."""

    position: int
    event: Event
    attempt: int = 0
    phase: _Phase = _Phase.READY
    stamp: int = 0  # told apart from timers set for an earlier phase
    holder: object = None


class Ledger:
    """Which events of a durable are ready, out with a subscriber, or waiting to come again.

    Attributes:
        cursor: every matching event up to here has been offered.
        out: delivered and neither ended nor returned.
    """

    def __init__(self, cursor: int) -> None:
        self.cursor = cursor
        self.out = 0
        self._owed: dict[int, Owed] = {}
        self._ready: list[int] = []
        self._timers: list[tuple[float, int, int]] = []

    def offer(self, position: int, event: Event, attempt: int = 0) -> None:
        """An event of the log; `attempt` counts deliveries made by an earlier process."""
        self._owed[position] = Owed(position, event, attempt)
        heapq.heappush(self._ready, position)

    @property
    def ready(self) -> int:
        """Events that can be taken now; those ended since they became ready count until taken."""
        return len(self._ready)

    def take(self, now: float, terms: Subscription, holder: object) -> Owed | None:
        """The oldest ready event, now out with `holder`; None where there is none."""
        while self._ready:
            owed = self._owed.get(heapq.heappop(self._ready))
            if owed is None or owed.phase is not _Phase.READY:
                continue
            owed.phase, owed.holder = _Phase.OUT, holder
            # A delivery cut short by a crash or by a leaving subscriber is made good even
            # when it was the last: nothing is given up that nobody could look at.
            owed.attempt = min(owed.attempt + 1, terms.max_deliver)
            self.out += 1
            self._time(owed, now + terms.ack_wait_ms / 1000)
            return owed
        return None

    def end(self, position: int) -> bool:
        """Acked, terminated or given up; false where it had ended before."""
        owed = self._owed.pop(position, None)
        if owed is None:
            return False
        if owed.phase is _Phase.OUT:
            self.out -= 1
        while self._timers and not self._current(self._timers[0]):
            heapq.heappop(self._timers)
        return True

    def return_(self, owed: Owed, stamp: int, until: float, terms: Subscription) -> None:
        """Naked at `stamp`: ready again at `until`, or given up after its last attempt."""
        if not self.holds(owed, stamp):
            return
        if owed.attempt >= terms.max_deliver:
            self.end(owed.position)
            return
        self.out -= 1
        owed.phase, owed.holder = _Phase.WAITING, None
        self._time(owed, until)

    def extend(self, owed: Owed, stamp: int, until: float) -> int:
        """In progress: a new time limit; the stamp that counts from now on."""
        if not self.holds(owed, stamp):
            return stamp
        self._time(owed, until)
        return owed.stamp

    def holds(self, owed: Owed, stamp: int) -> bool:
        """Whether the delivery of that stamp is still the one that is out."""
        return self._owed.get(owed.position) is owed and owed.stamp == stamp

    def release(self, holder: object) -> None:
        """Everything out with `holder` is ready for others."""
        for owed in self._owed.values():
            if owed.phase is _Phase.OUT and owed.holder is holder:
                self._make_ready(owed)

    def expire(self, now: float, terms: Subscription) -> bool:
        """Make ready what has waited long enough; true where a last attempt was given up."""
        gave_up = False
        while self._timers and (self._timers[0][0] <= now or not self._current(self._timers[0])):
            timer = heapq.heappop(self._timers)
            if not self._current(timer):
                continue
            owed = self._owed[timer[1]]
            if owed.phase is _Phase.OUT and owed.attempt >= terms.max_deliver:
                gave_up = self.end(owed.position)
            else:
                self._make_ready(owed)
        return gave_up

    @property
    def next_due(self) -> float | None:
        """When `expire` has something to do next."""
        return self._timers[0][0] if self._timers else None

    def unfinished(self) -> Mapping[int, int]:
        """Position to attempts of every event up to the cursor that has not ended."""
        return {position: owed.attempt for position, owed in self._owed.items()}

    def _time(self, owed: Owed, due: float) -> None:
        owed.stamp += 1
        heapq.heappush(self._timers, (due, owed.position, owed.stamp))

    def _current(self, timer: tuple[float, int, int]) -> bool:
        owed = self._owed.get(timer[1])
        return owed is not None and owed.stamp == timer[2]

    def _make_ready(self, owed: Owed) -> None:
        if owed.phase is _Phase.OUT:
            self.out -= 1
        owed.phase, owed.holder = _Phase.READY, None
        owed.stamp += 1
        heapq.heappush(self._ready, owed.position)


class Handed:
    """One event in a subscriber's hands."""

    __slots__ = ("_durable", "_owed", "_stamp", "attempt", "event", "last", "position")

    def __init__(self, durable: Durable, owed: Owed) -> None:
        self._durable, self._owed, self._stamp = durable, owed, owed.stamp
        self.event, self.position, self.attempt = owed.event, owed.position, owed.attempt
        self.last = owed.attempt >= durable.terms.max_deliver

    async def ack(self) -> None:
        """Done, even where it has meanwhile been handed to another."""
        self._durable.end(self.position)

    async def nak(self, delay_ms: int = 0) -> None:
        """Deliver it again after the delay; of no effect once another has it."""
        self._durable.nak(self._owed, self._stamp, delay_ms)

    async def term(self) -> None:
        """Never again."""
        self._durable.end(self.position)

    async def in_progress(self) -> None:
        """Start `ack_wait_ms` again; of no effect once another has it."""
        self._stamp = self._durable.extend(self._owed, self._stamp)


@dataclass(eq=False)
class Durable:
    """A durable with the subscribers that share it in this process.

    Attributes:
        terms: of its newest subscriber; they hold for all.
        read: reads its log on.
        changed: called when its place in the log moves.
        ledger: None while it may not deliver (another process does).
        gone: it was forgotten; its subscribers' deliveries end.
        error: why it cannot deliver; its subscribers raise it.
    """

    terms: Subscription
    read: Read
    changed: Callable[[Durable], None]
    ledger: Ledger | None = None
    subscribers: int = 0
    gone: bool = False
    error: FleetError | None = None
    _wants: Wants = field(init=False)
    _waiters: deque[asyncio.Future[None]] = field(default_factory=deque, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Compile the patterns."""
        self._wants = wants(self.terms.subjects)

    def renew(self, terms: Subscription) -> None:
        """Take over the terms of a newer subscriber."""
        if terms.subjects != self.terms.subjects:
            self._wants = wants(terms.subjects)
        self.terms = terms

    def take(self, holder: object) -> Handed | None:
        """The next event for a subscriber, if there is one and it may have one."""
        ledger = self.ledger
        if ledger is None or ledger.out >= self.terms.max_in_flight:
            return None
        owed = ledger.take(asyncio.get_running_loop().time(), self.terms, holder)
        if owed is None:
            return None
        self._arm()
        return Handed(self, owed)

    def fill(self) -> bool:
        """Read the log on where nothing is ready; true where it went further."""
        ledger = self.ledger
        if ledger is None or ledger.ready or ledger.out >= self.terms.max_in_flight:
            return False
        found, reached = self.read(ledger.cursor, self._wants)
        if reached == ledger.cursor:
            return False
        for position, event in found:
            ledger.offer(position, event)
        ledger.cursor = reached
        if found:
            self.changed(self)
        return True

    def end(self, position: int) -> None:
        """An event is done with."""
        if self.ledger is not None and self.ledger.end(position):
            self.changed(self)
            self.wake()

    def nak(self, owed: Owed, stamp: int, delay_ms: int) -> None:
        """An event is to come again."""
        if self.ledger is not None:
            now = asyncio.get_running_loop().time()
            self.ledger.return_(owed, stamp, now + delay_ms / 1000, self.terms)
            self.changed(self)
            self._expire()

    def extend(self, owed: Owed, stamp: int) -> int:
        """An event is still being worked on."""
        if self.ledger is None:
            return stamp
        until = asyncio.get_running_loop().time() + self.terms.ack_wait_ms / 1000
        stamp = self.ledger.extend(owed, stamp, until)
        self._arm()
        return stamp

    def release(self, holder: object) -> None:
        """A subscriber leaves."""
        if self.ledger is not None:
            self.ledger.release(holder)
        self.wake()

    def stop(self) -> None:
        """Deliver no more; waiting subscribers look again."""
        self.ledger = None
        self._disarm()
        self.wake_all()

    def wake(self) -> None:
        """Let one waiting subscriber look again; it passes the turn on if more is ready."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def notify(self) -> None:
        """The log may hold more: wake a waiting subscriber if there is something for it."""
        ledger = self.ledger
        if not self._waiters or ledger is None:
            return
        try:
            # What does not match is passed over here, without waking anybody for it.
            there_is = ledger.ready or (self.fill() and (ledger.ready or self.fill()))
        except FleetError:
            there_is = True  # the subscriber is to meet the error itself
        if there_is:
            self.wake()

    def wake_all(self) -> None:
        """Let every waiting subscriber look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        """Until there may be something to take."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.wake()
            raise

    def _expire(self) -> None:
        self._disarm()
        ledger = self.ledger
        if ledger is None:
            return
        if ledger.expire(asyncio.get_running_loop().time(), self.terms):
            self.changed(self)
        self._arm()
        self.wake()

    def _arm(self) -> None:
        due = self.ledger.next_due if self.ledger else None
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return
        self._disarm()
        self._timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Subscriber(AsyncIterator[Delivery]):
    """The deliveries of one subscriber; ends when the durable is forgotten or the bus closed."""

    def __init__(self, durable: Durable) -> None:
        self.durable = durable
        self._burst = 0

    async def __anext__(self) -> Delivery:
        """The next delivery; waits for one."""
        durable = self.durable
        while not durable.gone:
            self._burst += 1
            if self._burst >= _BURST:
                # Everything may be ready, and acks do not wait: others must get a turn.
                self._burst = 0
                await asyncio.sleep(0)
            if durable.error is not None:
                raise durable.error
            handed = durable.take(self)
            if handed is None and durable.fill():
                continue
            if handed is None:
                self._burst = 0
                await durable.wait()
                continue
            durable.notify()
            return handed
        raise StopAsyncIteration
