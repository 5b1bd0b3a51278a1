"""The load of the bench `monitor`: real events of many deliberations, some hundred open at once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fleet_bootstraps.fleet import core_strategies, system_clock
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.events import Event
from fleet_core.domain.evolve import evolve
from fleet_core.domain.job import AgentResult
from fleet_core.ports.event_bus import EventBus
from fleet_core.testing.playing import Asked, Play, judge, proposed, ranked, seats, start_with

_SEATS = 3
_BATCH, _AT_ONCE = 50, 4
_TEXT = "def solve(items):\n    # {}\n    return sorted(items)\n" + "    # and why it is so\n" * 12


def played(number: int) -> list[Event]:
    """The events of one deliberation: peer review by three seats and a judge."""
    start = start_with(seats("DEV", _SEATS), ProtocolSpec("peer-review", judge=judge()))
    task = replace(start.task, task_id=f"t{number}", title=f"Task number {number}")
    start = replace(start, plan_id=f"{number:032x}", task=task)
    play = Play(core_strategies()["peer-review"]).begin(start)
    return play.run(_answer).log


def _answer(asked: Asked) -> AgentResult:
    if asked.job.key.step in ("propose", "revise"):
        return proposed(asked, _TEXT.format(f"{asked.job.agent_id} {asked.job.key.step}"))
    return ranked(asked, sorted(asked.shown))


def interleaved(events: int, open_at_once: int) -> list[Event]:
    """So many events, an event of each open deliberation in turn; in the end as many are open."""
    numbers = iter(range(events))
    under_way: deque[Iterator[Event]] = deque()
    out: list[Event] = []
    while len(out) < events:
        while len(under_way) < open_at_once:
            # They begin at different moments of their course, so that not all end together.
            under_way.append(iter(played(next(numbers))))
        one = under_way.popleft()
        event = next(one, None)
        if event is not None:
            out.append(event)
            under_way.append(one)
    return out


async def published(bus: EventBus, events: Sequence[Event], rate: float) -> float:
    """Publish them at a rate, each stamped with the time; events a second as they were kept.

    A batch does not wait for the one before it to be on the disk, up to so many of them.
    """
    under_way = asyncio.Semaphore(_AT_ONCE)

    async def publish(batch: Sequence[Event]) -> None:
        try:
            await bus.publish(batch)
        finally:
            under_way.release()

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for at in range(0, len(events), _BATCH):
            await under_way.acquire()
            due = begun + at / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            now = system_clock()
            batch = [evolve(event, time_ms=now) for event in events[at : at + _BATCH]]
            tasks.create_task(publish(batch))
    return len(events) / (time.perf_counter() - begun)
