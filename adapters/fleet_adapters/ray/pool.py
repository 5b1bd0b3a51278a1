"""The driver's workers, and which job is with whom. Knows no Ray."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from fleet_adapters.ray.wire import Message, packed, unpacked
from fleet_core.domain.deliberation import DEADLINE
from fleet_core.errors import FleetError, Unavailable

_log = logging.getLogger("fleet.runner.ray")
_LATE_S = 2.0  # a worker is let say itself that a deadline has passed
_BACK_OFF_S = (0.2, 10.0)
_OTHERS_S = 5.0  # once a worker is ready, the others are waited for


class WorkerLost(Exception):
    """A worker has ended, or cannot be reached."""


class Hand(Protocol):
    """A worker that has been opened; see `Worker`. Each method raises WorkerLost."""

    async def take(self, data: bytes) -> None:
        """Begin and cancel runs."""

    async def listen(self) -> bytes:
        """What has happened."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What `RaySettings` says of the pool."""

    actors: int
    calls: int
    checks: int
    retries: int


@dataclass(slots=True, eq=False)
class _Run:
    number: int
    job: Any
    heard: bool
    check: bool
    trace: str = ""
    seat: _Seat | None = None
    timer: asyncio.TimerHandle | None = None
    losses: int = 0
    said: bool = False
    late: bool = False
    cancelled: bool = False
    answered: bool = False


@dataclass(slots=True, eq=False)
class _Seat:
    hand: Hand
    runs: dict[int, _Run] = field(default_factory=dict)
    busy: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    outgoing: list[Message] = field(default_factory=list)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, message: Message) -> None:
        self.outgoing.append(message)
        self.wake.set()


class Pool:
    """Deals jobs to workers and replaces those that end; their jobs are run again.

    Args:
        hire: opens a worker; raises WorkerLost, or a FleetError where it cannot serve.
        tell: takes the messages for the runner, see `wire`.
        limits: how many workers, and jobs at once of each.
    """

    def __init__(
        self,
        hire: Callable[[], AbstractAsyncContextManager[Hand]],
        tell: Callable[[Message], None],
        limits: Limits,
    ) -> None:
        self._hire = hire
        self._tell = tell
        self._limits = limits
        self._runs: dict[int, _Run] = {}
        self._waiting: dict[bool, OrderedDict[int, _Run]] = {
            False: OrderedDict(),
            True: OrderedDict(),
        }
        self._seats: list[_Seat] = []
        self._firsts: list[asyncio.Future[None]] = []
        self._dealing = False
        self._lost = ""  # how the last one did

    @property
    def ready(self) -> int:
        """Workers that serve now."""
        return len(self._seats)

    def stats(self) -> tuple[int, int, int]:
        """Slots of the workers that serve, jobs that are with a worker, jobs that wait."""
        slots = len(self._seats) * (self._limits.calls + self._limits.checks)
        waiting = sum(map(len, self._waiting.values()))
        return slots, sum(len(seat.runs) for seat in self._seats), waiting

    async def serve(self) -> None:
        """Keep the workers until cancelled."""
        loop = asyncio.get_running_loop()
        self._firsts = [loop.create_future() for _ in range(self._limits.actors)]
        async with asyncio.TaskGroup() as tasks:
            for first in self._firsts:
                tasks.create_task(self._keep(first))

    async def started(self, timeout_s: float) -> None:
        """Wait for the first worker, and a little for the others.

        Raises:
            FleetError: a worker refused to serve: one that refuses now would refuse later.
            Unavailable: none was ready in time.
        """
        firsts = list(self._firsts)
        done, pending = await asyncio.wait(
            firsts, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if done and pending:
            done, pending = await asyncio.wait(firsts, timeout=min(timeout_s, _OTHERS_S))
        for first in done:
            first.result()
        if not done:
            why = f"; {self._lost}" if self._lost else ""
            raise Unavailable(f"no worker was ready within {timeout_s:g} s{why}")
        if pending:
            _log.warning("%d of %d workers are not ready yet", len(pending), len(firsts))

    def run(self, number: int, job: Any, *, heard: bool, trace: str = "") -> None:
        """Take a job, with the `traceparent` it belongs to; what becomes of it is told."""
        check = job["work"]["kind"] == "check"
        run = self._runs[number] = _Run(number, job, heard, check, trace)
        self._waiting[check][number] = run
        left = job["slice"].get("deadline_ms", 0) / 1000 - time.time()
        loop = asyncio.get_running_loop()
        run.timer = loop.call_later(max(0.0, left), self._overdue, run)
        self._deal_soon()

    def cancel(self, number: int) -> None:
        """Stop a run; `gone` is told once it has stopped, unless it had ended before."""
        run = self._runs.get(number)
        if run is None or run.cancelled:
            return
        run.cancelled = True
        if run.seat is None:
            self._close(run)
            self._tell(["gone", number])
        else:
            run.seat.send(["cancel", number])

    async def _keep(self, first: asyncio.Future[None]) -> None:
        """One worker after the other."""
        wait, longest = _BACK_OFF_S
        while True:
            try:
                async with self._hire() as hand:
                    wait = _BACK_OFF_S[0]
                    await self._serve(_Seat(hand), first)
            except WorkerLost as error:
                self._lost = str(error)
                _log.warning("a worker is replaced: %s", error)
            except FleetError as error:
                _log.error("a worker is not taken: %s", error)
                if not first.done():
                    first.set_exception(error)
                wait = longest
            await asyncio.sleep(wait)
            wait = min(2 * wait, longest)

    async def _serve(self, seat: _Seat, first: asyncio.Future[None]) -> None:
        self._seats.append(seat)
        if not first.done():
            first.set_result(None)
        self._deal_soon()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(seat))
                tasks.create_task(self._listen(seat))
        except BaseExceptionGroup as group:
            lost, rest = group.split(WorkerLost)
            if lost is None or rest is not None:
                raise
            raise WorkerLost(str(lost.exceptions[0])) from None
        finally:
            self._seats.remove(seat)
            self._take_back(seat)

    async def _send(self, seat: _Seat) -> None:
        """One batch after the other: Ray may let a later call overtake an earlier one."""
        while True:
            await seat.wake.wait()
            seat.wake.clear()
            batch, seat.outgoing = seat.outgoing, []
            await seat.hand.take(packed(batch))

    async def _listen(self, seat: _Seat) -> None:
        while True:
            for message in unpacked(await seat.hand.listen()):
                self._heard(seat, message)
            self._deal()

    def _heard(self, seat: _Seat, message: Message) -> None:
        kind, number, *rest = message
        run = seat.runs.get(number)
        if run is None:
            return
        if kind in ("said", "traced"):
            run.said = run.said or kind == "said"
            if not run.answered:
                self._tell(message)
            return
        self._close(run)
        if run.answered:
            return
        if kind == "broken":
            self._tell(["done", number, failed_data(run.job, "internal", rest[0])])
        elif kind == "done":
            if run.losses:
                usage = rest[0].setdefault("usage", {})
                usage["attempts"] = usage.get("attempts", 0) + run.losses
            self._tell(message)
        else:
            self._tell(["gone", number])

    def _deal_soon(self) -> None:
        if not self._dealing:
            self._dealing = True
            asyncio.get_running_loop().call_soon(self._deal)

    def _deal(self) -> None:
        """Give waiting jobs, in order, each to the worker that has the least to do."""
        self._dealing = False
        for check, most in ((False, self._limits.calls), (True, self._limits.checks)):
            waiting = self._waiting[check]
            while waiting and self._seats:
                seat = min(self._seats, key=lambda seat: seat.busy[check])
                if seat.busy[check] >= most:
                    break
                number, run = waiting.popitem(last=False)
                run.seat = seat
                seat.runs[number] = run
                seat.busy[check] += 1
                seat.send(["run", number, run.job, run.heard, run.trace])

    def _take_back(self, seat: _Seat) -> None:
        """What was with a worker that has ended waits again, before all others."""
        for run in reversed(list(seat.runs.values())):
            run.losses += 1
            if run.cancelled or run.answered or run.losses > self._limits.retries:
                self._close(run)
            if run.answered:
                continue
            if run.cancelled:
                self._tell(["gone", run.number])
            elif run.losses > self._limits.retries:
                reason = f"its worker ended under it {run.losses} times"
                self._tell(["done", run.number, failed_data(run.job, Unavailable.code, reason)])
            else:
                if run.said:
                    run.said = False
                    self._tell(["said", run.number, [""]])
                run.seat = None
                self._waiting[run.check][run.number] = run
                self._waiting[run.check].move_to_end(run.number, last=False)
        self._deal_soon()

    def _overdue(self, run: _Run) -> None:
        if run.seat is None:
            self._close(run)
            reason = "its deadline passed while it waited for a free slot"
            self._tell(["done", run.number, failed_data(run.job, DEADLINE, reason)])
        elif not run.late:
            run.late = True
            run.timer = asyncio.get_running_loop().call_later(_LATE_S, self._overdue, run)
        elif not run.cancelled:
            run.answered = run.cancelled = True
            run.seat.send(["cancel", run.number])
            reason = "its worker did not end it by its deadline"
            self._tell(["done", run.number, failed_data(run.job, DEADLINE, reason)])

    def _close(self, run: _Run) -> None:
        """It waits nowhere and is with nobody."""
        del self._runs[run.number]
        self._waiting[run.check].pop(run.number, None)
        if run.timer is not None:
            run.timer.cancel()
        if run.seat is not None and run.seat.runs.pop(run.number, None) is not None:
            run.seat.busy[run.check] -= 1


def failed_data(job: Any, code: str, reason: str) -> dict[str, Any]:
    """A failed result of a job, both as data."""
    same: Sequence[str] = ("job_id", "deliberation_id", "task", "key")
    return {
        **{name: job[name] for name in same},
        "outcome": "failed",
        "failure": {"code": code, "reason": reason},
    }
