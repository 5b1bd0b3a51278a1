"""One run: plans are submitted, a part is killed at each point, and what is left is read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from time import monotonic
from typing import TypeVar

from fleet_core.domain.events import COMPLETED, Event
from fleet_core.errors import Unavailable
from fleet_core.usecases.approvals import approve
from fleet_features.canonical import canonical_log, shown
from fleet_features.kill.ground import Ground
from fleet_features.kill.parts import Part
from fleet_features.kill.verdict import Kill, Left, Point
from fleet_features.kill.watch import Watch
from fleet_features.kill.work import plans

T = TypeVar("T")
_OPEN = 3  # plans under way at once
_STALLED_S = 90.0
_SOCKETS_S = 0.02  # by then we have read what a killed process had sent
_AGAIN_S = 0.2
_LOOK_S = 0.05


class Hung(Exception):
    """Nothing has happened for so long that nothing will."""


@dataclass
class Run:
    """The same plans in every run, in a story of their own.

    Attributes:
        ground: the fleet.
        story: a name that no other run has, and no prompt contains.
        kills: so far.
    """

    ground: Ground
    story: str
    kills: list[Kill] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Prepare the plans; nothing is submitted yet."""
        self._plans = plans(self.story)
        self._server = self.ground.server
        self._watch = Watch(self.ground.stores, self._server, self._plans)
        self._tasks = [task.task_id for plan in self._plans for task in plan.tasks]

    async def undisturbed(self) -> Left:
        """Run to the end."""
        async with self._going():
            pass
        return await self._left()

    async def disturbed(self, part: Part, at: Sequence[Point], whole: tuple[int, int, int]) -> Left:
        """Kill a part at each point, start it again, and run to the end.

        Args:
            part: which.
            at: where; a point that was passed meanwhile is at the next thing that happens.
            whole: of an undisturbed run, see `Left.whole`.

        Raises:
            Hung: the run does not go on.
        """
        draw = Random(self.story)
        async with self._going():
            for point in at:
                self.kills.append(await self._kill(part, point, whole, draw))
        self.kills = [
            replace(kill, advanced_s=self._watch.idle_s(kill.at_s)) if kill.pid else kill
            for kill in self.kills
        ]
        return await self._left()

    @property
    def _over(self) -> bool:
        return all(self._watch.completed[task] for task in self._tasks)

    @property
    def _here(self) -> tuple[int, int, int]:
        server = self._server
        answered = server.total - server.in_flight - server.cancelled
        return len(server.calls), answered, len(self._watch.events)

    async def _kill(
        self, part: Part, point: Point, whole: tuple[int, int, int], draw: Random
    ) -> Kill:
        index = Point.KINDS.index(point.by)
        target = max(1, round(point.share * whole[index]))
        await part.aim(draw)
        await self._until(lambda: self._over or self._here[index] >= target)
        if self._over:
            return Kill(point)
        if part.keeps_journal:
            await _patiently(self._watch.read_journal)
        here, began, cut = self._here, monotonic(), self._server.cancelled
        pid, asked, open_ = part.strike(), set(self._server.calls), self._server.in_flight
        if part.calls:
            await part.buried()
            await asyncio.sleep(_SOCKETS_S)
            asked, open_ = set(self._server.calls), self._server.in_flight
        cut = self._server.cancelled - cut
        if not part.keeps_journal:
            await _patiently(self._watch.read_journal)
        in_flight = frozenset(asked - self._watch.kept.keys())
        if not part.calls:
            await part.buried()
        await part.start()
        served = monotonic() - began
        seen = len(self._watch.events)
        await self._until(lambda: self._over or len(self._watch.events) > seen)
        answered = max(0, len(in_flight) - open_ - cut)
        return Kill(point, pid, here, in_flight, answered, began, served)

    @asynccontextmanager
    async def _going(self) -> AsyncIterator[None]:
        """Submit the plans, and look, until all is over and the context is left."""
        self._server.calls.clear()
        self._server.cancelled = 0
        await self._watch.begin()
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._watch.following())
            submitting = tasks.create_task(self._submit())
            yield
            await self._until(lambda: self._over)
            await submitting
            await self._settled()
            looking.cancel()

    async def _settled(self) -> None:
        """Wait until the plans know what became of their tasks."""
        async with asyncio.timeout(_STALLED_S):
            while not await self._are_settled():  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(_LOOK_S)

    async def _are_settled(self) -> bool:
        runs = await _patiently(self._watch.runs)
        return all(run.settled for run in runs)

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Wait for it, for as long as anything happens."""
        changed = self._server.changed
        while not holds():
            changed.clear()
            try:
                async with asyncio.timeout(_STALLED_S):
                    await changed.wait()
            except TimeoutError:
                done = sum(self._watch.completed[task] for task in self._tasks)
                asked, answered, events = self._here
                raise Hung(
                    f"nothing has happened for {_STALLED_S:g} s: {done} of {len(self._tasks)} "
                    f"tasks completed, {asked} calls asked, {answered} answered, {events} events"
                ) from None

    async def _submit(self) -> None:
        for number, plan in enumerate(self._plans):
            await self._until(partial(self._have_ended, number + 1 - _OPEN))
            await _patiently(partial(approve, self.ground.stores, plan))

    def _have_ended(self, count: int) -> bool:
        done = self._watch.completed
        ended = [all(done[task.task_id] for task in plan.tasks) for plan in self._plans]
        return sum(ended) >= count

    async def _left(self) -> Left:
        """What there is in the end, read anew."""
        watch = self._watch
        await self._server.until(lambda server: server.in_flight == 0)
        await watch.read_log()
        await watch.read_journal()
        tasks = {}
        for run in await watch.runs():
            for t in run.tasks:
                standing = t.standing.value if t.standing is not None else ""
                tasks[t.task_id] = (t.state.value, t.winner, standing, t.attempt, t.recorded)
        events = await watch.whole_events()
        log = shown(canonical_log(events)).replace(self.story, "STORY")
        return Left(
            tasks,
            watch.completed,
            log,
            len(watch.events),
            [str(event.data["reason"]) for event in watch.dead],
            await watch.unkept(),
            Counter(self._server.calls),
            dict(watch.kept),
            await self._unrecorded(events),
        )

    async def _unrecorded(self, events: Sequence[Event]) -> list[str]:
        """What the graph lacks, or has once too often: a revision is a plan or a decision."""
        graph, found = self.ground.graph, []
        for plan in self._plans:
            revision = await _patiently(partial(graph.revision, plan.story))
            if revision != 1 + len(plan.tasks):
                found.append(f"plan {plan.title!r} is at revision {revision}")
        for event in events:
            if event.subject != COMPLETED or event.data.get("decision") is None:
                continue
            identity = str(event.data["decision"]["decision_id"])
            if await _patiently(partial(graph.decision, identity)) is None:
                found.append(f"the decision of task {event.data['task_id']}")
        return found


async def _patiently(act: Callable[[], Awaitable[T]]) -> T:
    """Do it, again and again while a server is away."""
    async with asyncio.timeout(_STALLED_S):
        while True:
            try:
                return await act()
            except Unavailable:
                await asyncio.sleep(_AGAIN_S)
