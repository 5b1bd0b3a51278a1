"""An event loop on virtual time whose tasks belong to processes that can be killed.

Every callback runs in the lane of the process in whose context it was scheduled. Within a lane the
order is asyncio's own; between lanes a seed decides. Killing a lane is what SIGKILL is: nothing
scheduled in it runs again, no `finally`, no `except`, no answer; its tasks stay where they were,
held so that the garbage collector does not unwind them either.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")
_PRUNED_AT = 64


class Stalled(Exception):
    """Every task waits for something that no timer will bring."""


class Runaway(Exception):
    """More callbacks than a run may take: something turns round and round."""


class Lane:
    """What one process has scheduled.

    Attributes:
        fuse: callbacks left until `on_fuse` is called, before the one that follows; None for never.
        ran: callbacks so far.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.fuse: int | None = None
        self.on_fuse: Callable[[], None] = _nothing
        self.ran = 0
        self.queue: deque[events.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self.context = copy_context()
        self.context.run(_LANE.set, self)

    def __repr__(self) -> str:
        return f"<lane {self.name}{' (dead)' if self.dead else ''}>"


_LANE: ContextVar[Lane] = ContextVar("lane")


class _Task(asyncio.Task[T]):
    """Hashed by a number of its own: the order of sets of tasks is the same in every run."""

    def __init__(self, serial: int, coro: Coroutine[Any, Any, T], **named: Any) -> None:
        self.serial = serial
        super().__init__(coro, **named)

    def __hash__(self) -> int:
        return self.serial

    def __eq__(self, other: object) -> bool:
        return self is other


class SimulatedLoop(asyncio.BaseEventLoop):
    """Goes on to the next timer as soon as nothing else can run.

    Args:
        order: decides which process runs next.
        most: callbacks that a run may take.
    """

    def __init__(self, order: random.Random, most: int = 3_000_000) -> None:
        super().__init__()
        self.ran = 0
        self._most = most
        self._draw = order.random
        self._virtual = 0.0
        self._ready_lanes: list[Lane] = []
        self._due: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._serial = 0
        self._killed: list[Lane] = []
        self.outside = Lane("outside")

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._virtual

    def kill(self, lane: Lane) -> None:
        """Nothing of that lane runs from now on."""
        lane.dead = True
        self._killed.append(lane)
        if lane in self._ready_lanes:
            self._ready_lanes.remove(lane)

    def call_soon(  # type: ignore[override]  # the base class is generic in what it passes on
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.Handle:
        """See asyncio."""
        handle = events.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    def call_at(  # type: ignore[override]  # as above
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._serial += 1
        heappush(self._due, (when, self._serial, timer))
        return timer

    def create_task(  # type: ignore[override]  # as above
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
        **_: Any,
    ) -> asyncio.Task[T]:
        """See asyncio; the task is held as long as its lane may be."""
        self._serial += 1
        task: asyncio.Task[T] = _Task(
            self._serial, coro, loop=self, name=str(name or self._serial), context=context
        )
        lane = (context or copy_context()).get(_LANE, self.outside)
        if len(lane.tasks) >= _PRUNED_AT and not lane.dead:
            lane.tasks = [held for held in lane.tasks if not held.done()]
        lane.tasks.append(task)
        return task

    def _enqueue(self, handle: events.Handle) -> None:
        context: Context = handle._context  # type: ignore[attr-defined]  # noqa: SLF001 -- see call_soon
        lane = context.get(_LANE, self.outside)
        queue = lane.queue
        if not queue and not lane.dead:
            self._ready_lanes.append(lane)
        queue.append(handle)

    def _run_once(self) -> None:
        """One callback of one lane."""
        if not self._ready_lanes:
            self._skip()
        lanes = self._ready_lanes
        if not lanes:
            return
        at = int(self._draw() * len(lanes))
        lane = lanes[at]
        if lane.fuse is not None:
            lane.fuse -= 1
            if lane.fuse < 0:
                lane.fuse = None
                lane.on_fuse()
                return
        queue = lane.queue
        if self.ran >= self._most:
            raise Runaway(f"{self.ran} callbacks by {self._virtual:.3f} s; the next: {queue[0]!r}")
        handle = queue.popleft()
        if not queue:
            lanes[at] = lanes[-1]
            lanes.pop()
        if handle._cancelled:  # noqa: SLF001 -- as asyncio's own loop does
            return
        lane.ran += 1
        self.ran += 1
        handle._run()  # noqa: SLF001 -- as asyncio's own loop does

    def _skip(self) -> None:
        """Go on to the next timers, and make them ready."""
        due = self._due
        while due and due[0][2].cancelled():
            heappop(due)
        if not due:
            if self._stopping:  # type: ignore[attr-defined]  # of BaseEventLoop, not in its stub
                return
            raise Stalled(f"every task waits for ever since {self._virtual:.3f} s")
        now = self._virtual = max(self._virtual, due[0][0])
        while due and due[0][0] <= now:
            timer = heappop(due)[2]
            if not timer.cancelled():
                self._enqueue(timer)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """See asyncio; a cancelled timer is passed over when its time comes."""

    def _process_events(self, event_list: list[Any]) -> None:
        raise NotImplementedError("there is no input and output in here")

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""


def _nothing() -> None:
    """No fuse was lit."""
