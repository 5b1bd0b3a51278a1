"""Execute: sees that every submitted job ends in exactly one journaled, published result.

A job is claimed by compare-and-set before it is run, its result is written to the journal before
it is published, and a journaled job is never run again: its result is published again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fleet_core import tracing
from fleet_core.domain.codec import to_data
from fleet_core.domain.events import Event, result_subject
from fleet_core.domain.evolve import evolve
from fleet_core.domain.job import AgentJob, AgentResult, Outcome
from fleet_core.errors import Conflict, DecodeError, FleetError, Unavailable
from fleet_core.ports.executor import ClusterStats, Executor, JobStatus
from fleet_core.ports.model import OnText
from fleet_core.ports.runner import Runner
from fleet_core.ports.state_store import Delete, Document, Put, Write
from fleet_core.ports.token_stream import TokenStream, Words
from fleet_core.usecases import keys
from fleet_core.usecases.documents import load_object
from fleet_core.usecases.payload import closed
from fleet_core.usecases.perform import failed
from fleet_core.usecases.stores import Stores

T = TypeVar("T")
_log = logging.getLogger("fleet.execute")
_KEPT = 2_000  # deliberations whose ended jobs `status` still knows
_RETRY_MS = 200
_RENEWED_AT_ONCE = 500
_LAST_WORDS_S = 2.0
_MARKS_S = 0.05  # marks are taken away together


@dataclass(frozen=True, slots=True)
class ExecuteSettings:
    """How jobs are held.

    Attributes:
        owner: this executor's name, unlike any other's.
        claim_ttl_ms: a claim that is not renewed for so long may be taken over; it is renewed
            three times in it.
        keeps_jobs: whether accepted jobs are kept until they are journaled: then this executor,
            started again, or another takes up what one that died, or was stopped, had accepted.
            Where whoever submits starts and ends with the executor, it is not needed.
    """

    owner: str
    claim_ttl_ms: int = 15_000
    keeps_jobs: bool = False


class _Held:
    """A job in this executor's hands."""

    __slots__ = ("cancelled", "claimed", "ended", "interruptible", "job", "status", "task")

    def __init__(self, job: AgentJob) -> None:
        self.job = job
        self.interruptible = False  # neither before it begins nor once it has ended
        self.ended = False  # what it ended with is known, and is being kept
        self.status = JobStatus(job.job_id, job.deliberation_id, job.agent_id, "accepted")
        self.task: asyncio.Task[None] | None = None
        self.claimed = False
        self.cancelled = False


class Execute(Executor):
    """The use case behind the port `Executor`; open it with `running`."""

    def __init__(
        self, runner: Runner, stores: Stores, tokens: TokenStream, settings: ExecuteSettings
    ) -> None:
        self._runner = runner
        self._stores = stores
        self._state = stores.state
        self._bus = stores.bus
        self._blobs = stores.blobs
        self._clock = stores.clock
        self._dump = stores.dump
        self._tokens = tokens
        self._settings = settings
        self._held: dict[str, _Held] = {}
        self._published: list[AgentJob] = []
        self._seen: dict[str, dict[str, JobStatus]] = {}
        self._resting: OrderedDict[str, None] = OrderedDict()  # those of them that run no job
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Execute]:
        """Jobs run while this is held; leaving it stops them and gives their claims back."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            own = [tasks.create_task(self._renew())]
            if self._settings.keeps_jobs:
                own.append(tasks.create_task(self._adopt()))
            try:
                yield self
            finally:
                self._tasks = None
                for task in own:
                    task.cancel()
                await asyncio.wait(own)
                await self._stop(list(self._held.values()))

    async def submit(self, jobs: Sequence[AgentJob]) -> None:
        """See the port. The claims of jobs that nobody has yet are taken in one commit."""
        if self._tasks is None:
            raise Unavailable("the executor is not running", "submit again")
        fresh = list({job.job_id: job for job in jobs if job.job_id not in self._held}.values())
        if not fresh:
            return
        if await self._claim(fresh):
            self._accept(fresh, claimed={job.job_id for job in fresh})
            return
        found = await self._state.get(
            [keys.journal(j.job_id) for j in fresh] + [keys.claim(j.job_id) for j in fresh]
        )
        journaled, claimed = found[: len(fresh)], found[len(fresh) :]
        for job, document in zip(fresh, journaled, strict=True):
            if document is not None:
                await self._journaled(_Held(job), document)
        rows = zip(fresh, journaled, claimed, strict=True)
        open_ = [(j, c) for j, d, c in rows if d is None and j.job_id not in self._held]
        free = [job for job, claim in open_ if claim is None]
        ours = {job.job_id for job in free} if free and await self._claim(free) else set[str]()
        self._accept([job for job, _ in open_], claimed=ours)

    def _accept(self, jobs: Sequence[AgentJob], claimed: Collection[str]) -> None:
        tasks = self._tasks
        if tasks is None:
            raise Unavailable("the executor is stopping", "submit again")
        for job in jobs:
            # While the answer about its claim was under way, the same job may have been submitted
            # again, run under that claim, and have ended.
            over = job.job_id in claimed and self._has_ended(job)
            if job.job_id not in self._held and not over:
                held = self._held[job.job_id] = _Held(job)
                held.claimed = job.job_id in claimed
                self._keep(held)
                held.task = tasks.create_task(self._traced(held))

    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:
        """See the port."""
        hit = 0
        named = (self._held.get(job_id) for job_id in job_ids)
        every = list(named if job_ids else self._held.values())
        for held in every:
            if held is None or held.job.deliberation_id != deliberation_id:
                continue
            if not held.cancelled and not held.ended:
                held.cancelled = True
                if held.task is not None and held.interruptible:
                    held.task.cancel()
                hit += 1
        return hit

    async def status(self, deliberation_id: str) -> Sequence[JobStatus]:
        """See the port; ended jobs of the last 2,000 deliberations are remembered."""
        return list(self._seen.get(deliberation_id, {}).values())

    async def active(self) -> Sequence[JobStatus]:
        """See the port."""
        return [held.status for held in self._held.values()]

    async def stats(self) -> ClusterStats:
        """See the port."""
        return await self._runner.stats()

    async def _stop(self, held: Sequence[_Held]) -> None:
        """Stop what runs; an answer that is there already is kept if the stores are quick."""
        pairs = [(h, h.task) for h in held if h.task is not None]
        for one, task in pairs:
            if not one.ended:
                task.cancel()
        if pairs:
            _, late = await asyncio.wait([task for _, task in pairs], timeout=_LAST_WORDS_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self._release([h.job for h in held if h.claimed])

    async def _release(self, jobs: Sequence[AgentJob]) -> None:
        if not jobs:
            return
        try:
            await self._state.commit([Delete(keys.claim(job.job_id)) for job in jobs])
        except FleetError as error:
            _log.warning("claims run out by themselves, they were not given back: %s", error)

    async def _claim(self, jobs: Sequence[AgentJob], expect: int = 0) -> bool:
        """Claim all or none; False where somebody was quicker with one of them.

        A job that was claimed, run and journaled since we looked is not claimed again.
        """
        claims = [self._claim_write(job, expect) for job in jobs]
        unjournaled = [Delete(keys.journal(job.job_id), expect=0) for job in jobs]
        try:
            await self._state.commit([*claims, *unjournaled, *self._accepted(jobs)])
        except Conflict:
            return False
        return True

    def _accepted(self, jobs: Sequence[AgentJob]) -> list[Write]:
        if not self._settings.keeps_jobs:
            return []
        marks = [Put(keys.accepted(job.job_id), b"") for job in jobs]
        whole = [Put(keys.accepted_job(j.job_id), self._dump(to_data(j))) for j in jobs]
        return [*marks, *whole]

    def _claim_write(self, job: AgentJob, expect: int | None) -> Put:
        owner = self._settings.owner.encode()
        return Put(keys.claim(job.job_id), owner, expect, self._settings.claim_ttl_ms)

    async def _renew(self) -> None:
        """Hold on to the claims of everything that runs."""
        while True:
            await asyncio.sleep(self._settings.claim_ttl_ms / 3000)
            held = [h for h in self._held.values() if h.claimed]
            for at in range(0, len(held), _RENEWED_AT_ONCE):  # others get their turn in between
                batch = [h.job for h in held[at : at + _RENEWED_AT_ONCE] if h.claimed]
                if not batch:
                    continue
                try:
                    await self._state.commit([self._claim_write(job, None) for job in batch])
                except FleetError as error:
                    _log.warning("claims not renewed: %s", error)

    async def _adopt(self) -> None:
        """Take up accepted jobs that nobody holds: their executor died, or was stopped."""
        while True:
            try:
                await self._adopt_once()
            except FleetError as error:
                _log.warning("jobs of other executors not looked at: %s", error)
            await asyncio.sleep(self._settings.claim_ttl_ms / 2000)

    async def _adopt_once(self) -> None:
        after = keys.ACCEPTED
        while marks := await self._state.scan(keys.ACCEPTED, after=after):
            after = marks[-1].key
            named = (mark.key.removeprefix(keys.ACCEPTED) for mark in marks)
            others = [job_id for job_id in named if job_id not in self._held]
            if not others:
                continue
            claims = await self._state.get([keys.claim(job_id) for job_id in others])
            free = [job_id for job_id, c in zip(others, claims, strict=True) if c is None]
            kept = [keys.accepted_job(job_id) for job_id in free]
            for document in await self._state.get(kept) if kept else ():
                if document is not None:  # else it was journaled meanwhile
                    await self._adopt_one(document)

    async def _adopt_one(self, document: Document) -> None:
        try:
            job = load_object(AgentJob, document)
        except DecodeError as error:
            _log.warning("an accepted job cannot be taken up: %s", error)
            return
        (journaled,) = await self._state.get([keys.journal(job.job_id)])
        if journaled is not None:
            # Whoever journaled it may not have lived to publish it.
            await self._journaled(_Held(job), journaled)
            await self._state.commit(_unaccepted(job))
            return
        _log.info("job %s, accepted and held by nobody, is taken up", job.job_id)
        await self.submit([job])

    async def _traced(self, held: _Held) -> None:
        """Run a job; its span is where it ran from acceptance to its published result."""
        with tracing.span(f"job {held.job.key.step}") as span:
            if span.recorded:
                span.note(_about(held.job))
            await self._run(held)
            if span.recorded:
                span.note({"fleet.phase": held.status.phase})
                if held.status.outcome is not None:
                    span.note({"fleet.outcome": held.status.outcome.value})

    async def _run(self, held: _Held) -> None:
        job = held.job
        try:
            result = await self._result(held)
            if result is not None:
                result = await self._finish(held, result)
                self._mark(held, "done", result.outcome)
        except Exception:  # noqa: BLE001 -- one job must not end the others
            _log.exception("job %s could not be kept; submitted again, it is run again", job.job_id)
            self._seen[job.deliberation_id].pop(job.job_id, None)
            self._rest(job.deliberation_id)
        finally:
            if self._tasks is not None:
                self._held.pop(job.job_id, None)

    async def _result(self, held: _Held) -> AgentResult | None:
        """What the job ended with; None where another executor journaled it."""
        held.interruptible = True
        try:
            if held.cancelled:
                return _cancelled(held.job)
            return await self._perform(held)
        except asyncio.CancelledError:
            if not held.cancelled:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            return _cancelled(held.job)
        except Exception as error:  # noqa: BLE001 -- a runner's bug is that job's failure
            _log.exception("job %s", held.job.job_id)
            return failed(held.job, "internal", f"{type(error).__name__}: {error}")
        finally:
            held.interruptible = False
            held.ended = True

    async def _perform(self, held: _Held) -> AgentResult | None:
        """Run the job; a runner that is away is asked again until the job's deadline."""
        job = held.job
        while True:
            if not held.claimed and not await self._until(
                job, lambda: self._claimed_or_journaled(held)
            ):
                return None
            self._mark(held, "running")
            try:
                return await self._runner.run(job, self._hearing(job))
            except Unavailable as error:
                if self._clock() + _RETRY_MS >= job.slice.deadline_ms:
                    return failed(job, error.code, str(error))
                await asyncio.sleep(_RETRY_MS / 1000)
            # The claim may have lapsed while the runner was away, and another have journaled it.
            held.claimed = False

    async def _claimed_or_journaled(self, held: _Held) -> bool:
        """Wait for a job that another executor holds: True once it is ours.

        Where the other one journals it, its result is published again and this is False.
        """
        job = held.job
        owner = self._settings.owner.encode()
        while self._clock() < job.slice.deadline_ms:
            done, claim = await self._state.get([keys.journal(job.job_id), keys.claim(job.job_id)])
            if done is not None:
                await self._journaled(held, done)
                return False
            # Ours where a commit was made and its answer lost: nobody else renews it. It may be
            # about to run out, so it is taken anew.
            version = claim.version if claim is not None else 0
            free = claim is None or claim.value == owner
            if free and await self._claim([job], version):
                held.claimed = True
                return True
            await asyncio.sleep(min(_RETRY_MS, self._settings.claim_ttl_ms) / 1000)
        return True

    async def _finish(self, held: _Held, result: AgentResult) -> AgentResult:
        """Journal, then publish; a result that somebody else journaled first stands instead."""
        job = held.job
        data = to_data(result)
        event = await self._until(job, lambda: self._event(result, data))
        writes: list[Write] = [
            Put(keys.journal(job.job_id), self._dump(data), expect=0),
            Delete(keys.claim(job.job_id)),
        ]
        try:
            await self._until(job, lambda: self._stores.keep(writes, [event]))
        except Conflict:
            result = await self._journaled_first(job)
            await self._release([job])  # renewed, maybe, since a commit whose answer was lost
        held.claimed = False
        if self._settings.keeps_jobs:
            self._unmark(job)
        return result

    def _unmark(self, job: AgentJob) -> None:
        """Once its result is published: till then, whoever finds the mark publishes it."""
        self._published.append(job)
        if len(self._published) == 1 and self._tasks is not None:
            self._tasks.create_task(self._take_marks_away())

    async def _take_marks_away(self) -> None:
        await asyncio.sleep(_MARKS_S)
        jobs, self._published = self._published, []
        try:
            await self._state.commit([write for job in jobs for write in _unaccepted(job)])
        except FleetError as error:
            _log.warning("marks of published jobs stay until somebody finds them: %s", error)

    async def _journaled_first(self, job: AgentJob) -> AgentResult:
        """The result that stands in the journal; published, perhaps for the first time."""
        key = keys.journal(job.job_id)
        (document,) = await self._until(job, lambda: self._state.get([key]))
        if document is None:
            raise Conflict(f"job {job.job_id} was claimed and given up again", key=key)
        result = load_object(AgentResult, document)
        event = await self._until(job, lambda: self._event(result, to_data(result)))
        await self._until(job, lambda: self._bus.publish([event]))
        return result

    async def _until(self, job: AgentJob, act: Callable[[], Awaitable[T]]) -> T:
        """Do it, again and again while a store or the bus is away, until the job's deadline."""
        while True:
            try:
                return await act()
            except Unavailable:
                if self._clock() + _RETRY_MS >= job.slice.deadline_ms:
                    raise
                await asyncio.sleep(_RETRY_MS / 1000)

    async def _journaled(self, held: _Held, document: Document) -> None:
        """Publish a journaled result again; the bus passes over an id that it still holds."""
        result = load_object(AgentResult, document)
        await self._bus.publish([await self._event(result, to_data(result))])
        self._mark(held, "done", result.outcome)

    async def _event(self, result: AgentResult, data: dict[str, Any]) -> Event:
        characters = len(result.text) + (len(result.evidence.output) if result.evidence else 0)
        payload = await closed(data, characters, self._blobs)
        subject = result_subject(result.task)
        return Event(f"result:{result.job_id}", subject, payload, self._clock())

    def _hearing(self, job: AgentJob) -> OnText:
        said = 0

        def on_text(piece: str) -> None:
            nonlocal said
            if not piece:
                said = 0
            words = Words(job.deliberation_id, job.task, job.agent_id, job.job_id, said, piece)
            said += len(piece)
            self._tokens.say(words)

        return on_text

    def _mark(self, held: _Held, phase: str, outcome: Outcome | None = None) -> None:
        held.status = evolve(held.status, phase=phase, outcome=outcome)
        self._keep(held)

    def _keep(self, held: _Held) -> None:
        identity = held.job.deliberation_id
        jobs = self._seen.setdefault(identity, {})
        jobs[held.job.job_id] = held.status
        if held.status.phase == "done":
            self._rest(identity)
        else:
            self._resting.pop(identity, None)

    def _has_ended(self, job: AgentJob) -> bool:
        status = self._seen.get(job.deliberation_id, {}).get(job.job_id)
        return status is not None and status.phase == "done"

    def _rest(self, identity: str) -> None:
        """Where all its jobs have ended: remember the deliberation as long as there is room."""
        if all(status.phase == "done" for status in self._seen[identity].values()):
            self._resting[identity] = None
            if len(self._resting) > _KEPT:
                oldest, _ = self._resting.popitem(last=False)
                del self._seen[oldest]


def _about(job: AgentJob) -> dict[str, tracing.Value]:
    return {
        "fleet.job_id": job.job_id,
        "fleet.deliberation_id": job.deliberation_id,
        "fleet.task_id": job.task_id,
        "fleet.agent_id": job.agent_id,
        "fleet.round": job.key.round,
        "fleet.sample": job.key.sample,
    }


def _unaccepted(job: AgentJob) -> list[Write]:
    return [Delete(keys.accepted(job.job_id)), Delete(keys.accepted_job(job.job_id))]


def _cancelled(job: AgentJob) -> AgentResult:
    said = failed(job, "cancelled", "cancelled before it ended")
    return evolve(said, outcome=Outcome.CANCELLED)
