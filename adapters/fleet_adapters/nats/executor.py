"""The port `Executor` over NATS: jobs on a work queue, questions to all who serve it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from nats.aio.msg import Msg
from nats.errors import Error as DriverError

from fleet_adapters.nats import _jobs as wire
from fleet_adapters.nats._connecting import linked
from fleet_adapters.nats._errors import NO_CONSUMER, WRONG_LAST_SEQUENCE, Refused, translate
from fleet_adapters.nats._link import Link, Question
from fleet_adapters.nats._members import Members
from fleet_adapters.nats.settings import NatsExecutorSettings
from fleet_adapters.nats.streams import create_missing, report
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.events import encode
from fleet_core.domain.job import AgentJob
from fleet_core.errors import DecodeError, StoreError, Unavailable
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock
from fleet_core.ports.executor import ClusterStats, Executor, JobStatus
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.kit import trace

_SETTLE_S = 0.1  # others may answer so much later, where it is not known who there is
_ORDER = {"accepted": 0, "running": 1, "done": 2}


@asynccontextmanager
async def open_executor(
    settings: NatsExecutorSettings, ctx: FactoryContext
) -> AsyncIterator[NatsExecutor]:
    """The submitting side, over a connection of its own."""
    async with linked(settings, ctx, "executor") as link:
        report(await create_missing(link, settings), ctx.log)
        members = Members(link)
        async with members.watching():
            blobs = ctx.ports[PortName.BLOBS]
            yield NatsExecutor(link, members, blobs, settings, clock=ctx.clock, log=ctx.log)


class NatsExecutor(Executor):
    """Submits to a queue; whoever serves it takes jobs from there.

    `cancel`, `status`, `active` and `stats` ask every executor that has lately said that it is
    there, and wait `ask_ms` for those that do not answer; then the others answer for them, with a
    warning in the log. Where none answers, Unavailable is raised.
    """

    def __init__(
        self,
        link: Link,
        members: Members,
        blobs: BlobStore,
        settings: NatsExecutorSettings,
        *,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._link, self._members, self._blobs = link, members, blobs
        self._ask_s = settings.ask_ms / 1000
        self._max_bytes = settings.max_event_bytes
        self._clock, self._log = clock, log

    async def submit(self, jobs: Sequence[AgentJob]) -> None:
        """See the port. Returns once all are in the queue, whoever may be there to serve it.

        A job that lies in the queue, or runs, goes on; one that has ended is queued again, and
        whoever takes it publishes its result again.
        """
        each = {job.job_id: job for job in jobs}
        if each:
            with trace.span(f"publish {wire.JOBS}", trace.Kind.PRODUCER):
                await self._queue_up(list(each.values()))

    async def _queue_up(self, jobs: Sequence[AgentJob]) -> None:
        questions = [await self._question(job) for job in jobs]
        for question, answer in zip(questions, await self._link.ask(questions), strict=True):
            error = json.loads(answer.data).get("error")
            if error is not None and error.get("err_code") != WRONG_LAST_SEQUENCE:
                refused = Refused(error, f"a job on {question.subject}")
                raise refused.spoken() from refused

    async def cancel(self, deliberation_id: str, job_ids: Sequence[str] = ()) -> int:
        """See the port. A job that nobody has taken yet ends `cancelled` when it is taken."""
        lying = {job.job_id for job in await self._queue(deliberation_id)}
        wanted = lying & set(job_ids) if job_ids else lying
        request = wire.CancelRequest(deliberation_id, tuple(job_ids), tuple(sorted(wanted)))
        answers = await self._all("cancel", to_data(request))
        hit = {job_id for answer in answers for job_id in answer.hit}
        over = {job_id for answer in answers for job_id in answer.over}
        return len(hit | (wanted - over))

    async def status(self, deliberation_id: str) -> Sequence[JobStatus]:
        """See the port; of a job that several executors know, what the furthest says."""
        answers = await self._all("status", to_data(wire.StatusRequest(deliberation_id)))
        return self._merged(answers, await self._queue(deliberation_id))

    async def active(self) -> Sequence[JobStatus]:
        """See the port; of all executors, and what lies in the queue."""
        answers = await self._all("active", {})
        return self._merged(answers, await self._queue())

    async def stats(self) -> ClusterStats:
        """See the port; the sum over all executors; what lies in the queue waits too.

        Each has a runner of its own: executors that share one Ray cluster each count its slots.
        """
        every = [a.stats for a in await self._all("stats", {}) if a.stats is not None]
        return ClusterStats(
            " + ".join(dict.fromkeys(stats.runner for stats in every)),
            sum(stats.slots for stats in every),
            sum(stats.running for stats in every),
            sum(stats.waiting for stats in every) + await self._untaken(),
            sum(stats.nodes for stats in every),
        )

    async def _question(self, job: AgentJob) -> Question:
        event = await wire.job_event(job, self._blobs, self._clock())
        raw = encode(event)
        if len(raw) > self._max_bytes:
            raise StoreError(f"job {job.job_id} has {len(raw)} bytes; at most {self._max_bytes}")
        # Only where none lies there: else it is accepted already.
        return Question(event.subject, raw, {"Nats-Expected-Last-Subject-Sequence": "0"})

    def _merged(
        self, answers: Sequence[wire.Answer], lying: Sequence[wire.Queued]
    ) -> list[JobStatus]:
        found: dict[str, wire.Said] = {}
        known = {job_id for answer in answers for job_id in answer.over}
        for said in (said for answer in answers for said in answer.jobs):
            before = found.get(said.job_id)
            if before is None or _ORDER.get(said.phase, 0) > _ORDER.get(before.phase, 0):
                found[said.job_id] = said
        told = sorted(found.values(), key=lambda said: said.at)
        waiting = [q for q in lying if q.job_id not in found and q.job_id not in known]
        return [said.status() for said in told] + [
            JobStatus(q.job_id, q.deliberation_id, q.agent_id, "accepted") for q in waiting
        ]

    async def _queue(self, deliberation_id: str = "") -> list[wire.Queued]:
        """What lies in the queue: accepted, and not acknowledged."""
        found: list[wire.Queued] = []
        asked: dict[str, Any] = {"subjects_filter": wire.jobs_of(deliberation_id), "offset": 0}
        while True:
            state = (await self._api(f"STREAM.INFO.{wire.QUEUE}", asked))["state"]
            subjects = state.get("subjects") or {}
            found += [one for subject in subjects if (one := wire.queued(subject)) is not None]
            asked["offset"] += len(subjects)
            if not subjects or asked["offset"] >= state.get("num_subjects", 0):
                return found

    async def _untaken(self) -> int:
        try:
            info = await self._link.api(f"CONSUMER.INFO.{wire.QUEUE}.{wire.DURABLE}")
        except Refused as refused:
            if refused.err_code == NO_CONSUMER:
                return 0
            raise refused.spoken() from refused
        return int(info["num_pending"])

    async def _api(self, call: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self._link.api(call, body)
        except Refused as refused:
            raise refused.spoken() from refused

    async def _all(self, name: str, body: Mapping[str, Any]) -> list[wire.Answer]:
        """What every executor answers.

        Raises:
            Unavailable: none does.
        """
        asking = _Asking(self._members.names, self._log)
        inbox = self._link.client.new_inbox()
        subject = f"{wire.PREFIX}.{name}"
        with translate("a subscription"):
            heard = await self._link.client.subscribe(inbox, cb=asking.answered)
        try:
            with translate(subject), suppress(TimeoutError):
                async with asyncio.timeout(self._ask_s):
                    await self._link.reached.wait()
                    await self._link.client.publish(subject, json.dumps(body).encode(), inbox)
                    await asking.complete()
        finally:
            with suppress(DriverError):
                await heard.unsubscribe()
        if not asking.ended:
            raise Unavailable(
                f"no executor answers on {subject}", "start one: fleet serve executor"
            )
        silent = asking.expected - asking.ended
        if silent:
            self._log.warning("%s: answered for by the others only: %s", name, sorted(silent))
        return asking.answers


class _Asking:
    """The answers to one question, as they come."""

    def __init__(self, expected: frozenset[str], log: logging.Logger) -> None:
        self.expected = expected
        self.answers: list[wire.Answer] = []
        self.ended: set[str] = set()
        self._log = log
        self._some = asyncio.Event()
        self._nobody = False

    async def answered(self, msg: Msg) -> None:
        headers = msg.headers or {}
        if not msg.data and headers.get("Status") == "503":
            self._nobody = True
        elif "Nats-Service-Error" in headers:
            self._log.warning("an executor refuses: %s", headers["Nats-Service-Error"])
        else:
            try:
                answer = from_data(wire.Answer, json.loads(msg.data), source=msg.subject)
            except (DecodeError, ValueError, RecursionError) as error:
                self._log.warning("no answer of an executor: %s", error)
                return
            self.answers.append(answer)
            if answer.last:
                self.ended.add(answer.executor)
        self._some.set()

    async def complete(self) -> None:
        """Until all have answered that are expected; or, where nobody is, all that do."""
        while not self._nobody and not (self.ended and self.ended >= self.expected):
            await self._some.wait()
            self._some.clear()
        if not self.expected and not self._nobody:
            await asyncio.sleep(_SETTLE_S)
