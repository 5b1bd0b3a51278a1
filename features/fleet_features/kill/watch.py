"""What a run has done so far: calls asked, events in the log, answers in the journal."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from fleet_adapters.scripted.server import ScriptedServer
from fleet_core.domain.codec import from_data
from fleet_core.domain.events import COMPLETED, DEAD, DELIBERATION, Event
from fleet_core.domain.job import AgentJob, ModelCall
from fleet_core.domain.job_header import format_header
from fleet_core.domain.plan import Plan, plan_id
from fleet_core.domain.plan_run import PlanRun
from fleet_core.errors import Unavailable
from fleet_core.usecases import keys
from fleet_core.usecases.documents import load_object
from fleet_core.usecases.payload import opened
from fleet_core.usecases.stores import Stores

_EVERY_S, _AGAIN_S = 0.03, 0.1
_SUBJECTS = (f"{DELIBERATION}.>", f"{DEAD}.>")


class Watch:
    """Looks again and again while `following` runs; whoever waits on the server is told.

    A call is named by its place, the text of its header, of which a run has each but once.

    Attributes:
        events: of the run's deliberations, in the order of the log, as they were published.
        at: when each of them was first seen, by the monotonic clock.
        dead: dead letters.
        jobs: of each place that was looked for, its job.
        kept: places whose answer was seen in the journal, each with how often it had been asked
            when that was seen: an asking after that is a call for an answer that is there.
    """

    def __init__(self, stores: Stores, server: ScriptedServer, plans: Sequence[Plan]) -> None:
        self._stores = stores
        self._server = server
        self._ids = [plan_id(plan) for plan in plans]
        self._after: dict[str, int] = {}
        self._read: set[str] = set()
        self.events: list[Event] = []
        self.at: list[float] = []
        self.dead: list[Event] = []
        self.jobs: dict[str, AgentJob] = {}
        self.kept: dict[str, int] = {}

    async def begin(self) -> None:
        """Pass over what is in the log already."""
        for subject in _SUBJECTS:
            await self._read_on(subject)
        self.events, self.at, self.dead = [], [], []

    async def following(self) -> None:
        """Look until cancelled; a server that is away is asked again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again(self.read_log))
            tasks.create_task(self._again(self.read_journal))

    @property
    def completed(self) -> Counter[str]:
        """How often each task was completed."""
        ended = (event for event in self.events if event.subject == COMPLETED)
        return Counter(str(event.data["task_id"]) for event in ended)

    def idle_s(self, since: float) -> float:
        """How long after a moment the last of the deliberations that ran then had advanced."""
        running: set[str] = set()
        went_on: dict[str, float] = {}
        for event, at in zip(self.events, self.at, strict=True):
            task = str(event.data["task_id"])
            if at > since:
                went_on.setdefault(task, at - since)
            elif event.subject == COMPLETED:
                running.discard(task)
            else:
                running.add(task)
        return max((went_on[task] for task in running if task in went_on), default=0.0)

    async def read_log(self) -> None:
        """Read on from where it was."""
        before = len(self.events)
        for subject in _SUBJECTS:
            await self._read_on(subject)
        new = len(self.events) - before
        self.at += [monotonic()] * new
        if new:
            self._server.changed.set()

    async def read_journal(self) -> None:
        """See which of the calls that were asked are journaled now."""
        asked = [place for place in self._server.calls if place not in self.kept]
        if any(place not in self.jobs for place in asked):
            await self._read_jobs()
        known = [place for place in asked if place in self.jobs]
        if not known:
            return
        ids = [self.jobs[place].job_id for place in known]
        found = await self._stores.state.get([keys.journal(job_id) for job_id in ids])
        for place, document in zip(known, found, strict=True):
            if document is not None:
                self.kept.setdefault(place, self._server.calls[place])

    async def runs(self) -> list[PlanRun]:
        """The plans that have been taken up."""
        found = await self._stores.state.get([keys.plan(identity) for identity in self._ids])
        return [load_object(PlanRun, document) for document in found if document is not None]

    async def unkept(self) -> list[str]:
        """Places of jobs that were issued and whose answer is not in the journal."""
        await self._read_jobs()
        places = list(self.jobs)
        ids = [self.jobs[place].job_id for place in places]
        found = await self._stores.state.get([keys.journal(job_id) for job_id in ids])
        return [place for place, document in zip(places, found, strict=True) if document is None]

    async def whole_events(self) -> list[Event]:
        """The events with what travelled by reference."""
        blobs = self._stores.blobs
        return [
            Event(e.event_id, e.subject, await opened(e.data, blobs), e.time_ms, e.sequence)
            for e in self.events
        ]

    async def _again(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await look()
                await asyncio.sleep(_EVERY_S)
            except Unavailable:
                await asyncio.sleep(_AGAIN_S)

    async def _read_on(self, subject: str) -> None:
        into = self.dead if subject.startswith(DEAD) else self.events
        after = self._after.get(subject, 0)
        async for stored in self._stores.bus.replay([subject], after=after):
            into.append(stored.event)
            self._after[subject] = stored.position

    async def _read_jobs(self) -> None:
        for run in await self.runs():
            for task in run.tasks:
                if task.deliberation_id:
                    await self._read_steps(task.deliberation_id)

    async def _read_steps(self, identity: str) -> None:
        for document in await self._stores.state.scan(keys.jobs_prefix(identity)):
            if document.key in self._read:
                continue
            for data in json.loads(document.value):
                job = from_data(AgentJob, data, source=document.key)
                if isinstance(job.work, ModelCall):
                    self.jobs[format_header(job)] = job
            self._read.add(document.key)
