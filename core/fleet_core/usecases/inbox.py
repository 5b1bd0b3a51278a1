"""What waits to be reduced, by deliberation; one task at a time works through each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from fleet_core import tracing
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.inputs import Input, ResultArrived
from fleet_core.errors import Unavailable
from fleet_core.ports.event_bus import Delivery


@dataclass(slots=True)
class Waiting:
    """An input in the inbox, and who waits for it; without one: resume what is saved.

    Attributes:
        trace: the trace context that it was put in with.
    """

    given: Input | None = None
    delivery: Delivery | None = None
    done: asyncio.Future[Deliberation] | None = None
    trace: str = field(default_factory=tracing.current)


class Inbox:
    """Gathers inputs and hands them on, those of one deliberation never side by side.

    A result that its step needs more than is handed on with the step's other results, or after
    `linger_s` if they take longer.

    Args:
        work: takes the inputs of a deliberation that have gathered; settles each, never raises.
        missing: how many results the open step of a deliberation still lacks; 0 for no open step.
        linger_s: in seconds.
    """

    def __init__(
        self,
        work: Callable[[str, Sequence[Waiting]], Awaitable[None]],
        missing: Callable[[str], int],
        linger_s: float,
    ) -> None:
        self._work = work
        self._missing = missing
        self._linger_s = linger_s
        self._queues: dict[str, list[Waiting]] = {}
        self._lingering: dict[str, asyncio.TimerHandle | None] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Hand inputs on in tasks of that group."""
        self._tasks = tasks

    def close(self) -> None:
        """Take nothing more; what lingers stays unsettled, and so unacknowledged."""
        self._tasks = None

    def __contains__(self, identity: str) -> bool:
        """Whether something of that deliberation waits, or is being worked on."""
        return identity in self._queues

    def offer(self, identity: str, waiting: Waiting) -> None:
        """Put an input in; where the inbox is closed, whoever waits for it gets Unavailable."""
        if self._tasks is None:
            if waiting.done is not None:
                waiting.done.set_exception(Unavailable("Deliberate is not running"))
            return
        queue = self._queues.get(identity)
        if queue is None:
            queue = self._queues[identity] = []
            self._lingering[identity] = None
        queue.append(waiting)
        if identity not in self._lingering:
            return
        if not self._can_wait(identity, queue):
            self._begin(identity)
        elif self._lingering[identity] is None:
            loop = asyncio.get_running_loop()
            self._lingering[identity] = loop.call_later(self._linger_s, self._begin, identity)

    def _can_wait(self, identity: str, queue: Sequence[Waiting]) -> bool:
        """Whether all that waits is results, and their step needs more than these to close."""
        if not all(isinstance(waiting.given, ResultArrived) for waiting in queue):
            return False
        return len(queue) < self._missing(identity)

    def _begin(self, identity: str) -> None:
        timer = self._lingering.pop(identity, None)
        if timer is not None:
            timer.cancel()
        if self._tasks is not None:
            self._tasks.create_task(self._drain(identity))

    async def _drain(self, identity: str) -> None:
        while batch := self._queues[identity]:
            self._queues[identity] = []
            try:
                # What is done of it belongs to what came last, and so completed the batch.
                with tracing.within(next((w.trace for w in reversed(batch) if w.trace), "")):
                    await self._work(identity, batch)
            except asyncio.CancelledError:
                for waiting in (*batch, *self._queues.pop(identity)):
                    if waiting.done is not None:
                        waiting.done.cancel()
                raise
        del self._queues[identity]
