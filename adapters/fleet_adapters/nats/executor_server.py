"""The serving side of the executor over NATS: takes jobs from the queue, and answers for them.

A job is acknowledged once its result is journaled and published, or it has ended otherwise; until
then it is said to be in progress. So the queue is the journal of what was accepted: what an
executor held that died goes to another.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import fleet_core
from fleet_adapters.nats import _jobs as wire
from fleet_adapters.nats._connecting import linked
from fleet_adapters.nats._members import announced
from fleet_adapters.nats._micro import Service
from fleet_adapters.nats._positions import sequences
from fleet_adapters.nats._subscriber import Subscriber
from fleet_adapters.nats.bus import NatsEventBus
from fleet_adapters.nats.settings import NatsExecutorSettings
from fleet_adapters.nats.streams import create_missing, report
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.job import AgentJob
from fleet_core.errors import DecodeError, FleetError
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import Delivery, Subscription
from fleet_core.ports.executor import Executor, JobStatus
from fleet_core.usecases.consume import PATIENT, done, give_back
from fleet_core.usecases.patience import until_available
from fleet_plugins.api import FactoryContext
from fleet_plugins.kit import trace

T = TypeVar("T")
_LOOK_S = 0.2
_AT_ONCE = 64  # jobs submitted together, where so many are here
_MARKED_S = 600.0  # that a job was cancelled is remembered for so long before it is taken
_LATELY_S = 10.0
_REMEMBERED = 50_000
_ALL_EXECUTORS = 100_000  # jobs in the hands of all together


@asynccontextmanager
async def serve_executor(
    executor: Executor, blobs: BlobStore, settings: NatsExecutorSettings, ctx: FactoryContext
) -> AsyncIterator[str]:
    """Serve the queue while this is held; what has not ended then goes to other executors.

    Any number may serve one queue, over stores that they share. Also a NATS micro service
    `fleet-executor`, whose endpoints each instance answers.

    Args:
        executor: runs the jobs; journals and publishes their results.
        blobs: shared with whoever submits; holds jobs that are too large to be queued whole.
        settings: the connection, and the bounds of this executor.
        ctx: clock, secrets, FLEET_HOME and log.

    Yields:
        This executor's name among those that serve.
    """
    async with linked(settings, ctx, "executor service") as link:
        report(await create_missing(link, settings), ctx.log)
        bus = NatsEventBus(link, settings, ctx.clock, ctx.log)
        serving = _Serving(executor, blobs, bus, settings, clock=ctx.clock, log=ctx.log)
        async with asyncio.TaskGroup() as tasks:
            own = [tasks.create_task(act()) for act in (serving.take, serving.tend)]
            try:
                async with (
                    _service(serving).answering(link),
                    announced(link, serving.name, wire.BEAT_S),
                ):
                    yield serving.name
            finally:
                for task in own:
                    task.cancel()


@dataclass(slots=True)
class _Hand:
    """A job in our hands; `submitted` once the executor has accepted it."""

    job: AgentJob
    delivery: Delivery
    submitted: bool = False
    said: float = 0.0


class _Serving:
    """Jobs between the queue and an executor."""

    def __init__(
        self,
        executor: Executor,
        blobs: BlobStore,
        bus: NatsEventBus,
        settings: NatsExecutorSettings,
        *,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self.name = secrets.token_hex(8)
        self._executor, self._blobs, self._bus = executor, blobs, bus
        self._clock, self._log = clock, log
        self._wait_s = settings.ack_wait_ms / 1000
        self._max_jobs = settings.max_jobs
        self._room = asyncio.Event()
        self._terms = Subscription(
            wire.DURABLE,
            (wire.jobs_of(),),
            ack_wait_ms=settings.ack_wait_ms,
            max_deliver=PATIENT,
            max_in_flight=_ALL_EXECUTORS,
        )
        self._hands: dict[str, _Hand] = {}
        self._marked: dict[str, float] = {}  # cancelled before they were taken
        self._lately: dict[str, float] = {}  # ended, and acknowledged a moment ago
        self._accepted: OrderedDict[str, int] = OrderedDict()  # place in the queue
        self._loop = asyncio.get_running_loop()

    async def take(self) -> None:
        """Take jobs from the queue until cancelled."""

        async def listen() -> None:
            async with self._bus.subscribe(self._terms) as deliveries:
                while True:
                    await self._submit(await self._batch(deliveries))

        await until_available(listen, "the queue of jobs")

    async def tend(self) -> None:
        """Say that jobs are in progress, and acknowledge those that ended, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = self._loop.time()
            for known in (self._marked, self._lately):
                for job_id in [job_id for job_id, until in known.items() if until < now]:
                    del known[job_id]
            try:
                await self._look(now)
            except FleetError as error:
                self._log.warning("the executor was not asked for its jobs: %s", error)

    async def cancel(self, request: wire.CancelRequest) -> wire.Answer:
        """Stop what is here; remember what lies in the queue, for when it is handed to us."""
        mine = {
            hand.job.job_id
            for hand in self._hands.values()
            if hand.job.deliberation_id == request.deliberation_id
        }
        targets = set(request.job_ids) if request.job_ids else mine | set(request.queued)
        hit, over = [], []
        for job_id in sorted(targets):
            hand = self._hands.get(job_id)
            if await self._executor.cancel(request.deliberation_id, [job_id]):
                hit.append(job_id)
            elif job_id in self._lately or (hand is not None and hand.submitted):
                over.append(job_id)
            elif hand is not None or job_id in request.queued:
                self._marked[job_id] = self._loop.time() + _MARKED_S
        return wire.Answer(self.name, hit=tuple(hit), over=tuple(over))

    async def status(self, request: wire.StatusRequest) -> Sequence[wire.Answer]:
        """A deliberation's jobs, ended ones too."""
        return self._told(await self._executor.status(request.deliberation_id))

    async def active(self) -> Sequence[wire.Answer]:
        """Jobs that have not ended."""
        return self._told(await self._executor.active())

    async def stats(self) -> wire.Answer:
        """The runner's figures."""
        return wire.Answer(self.name, stats=await self._executor.stats())

    async def _batch(self, deliveries: Subscriber) -> Sequence[Delivery]:
        """The next jobs, as many as are here and there is room for; waits for the first."""
        while len(self._hands) >= self._max_jobs:
            self._room.clear()
            await self._room.wait()
        batch = [await anext(deliveries)]
        most = min(_AT_ONCE, self._max_jobs - len(self._hands))
        while len(batch) < most and (delivery := deliveries.at_hand()) is not None:
            batch.append(delivery)
        return batch

    async def _submit(self, batch: Sequence[Delivery]) -> None:
        taken: list[_Hand] = []
        for delivery in batch:
            hand = await self._hand(delivery)
            if hand is not None:
                taken.append(hand)
        by_trace: dict[str, list[_Hand]] = {}
        for hand in taken:
            by_trace.setdefault(hand.delivery.event.traceparent, []).append(hand)
        for traceparent, hands in by_trace.items():  # one, where nothing is traced
            with trace.span(f"consume {wire.JOBS}", trace.Kind.CONSUMER, traceparent):
                await self._submit_all(hands)

    async def _submit_all(self, taken: Sequence[_Hand]) -> None:
        try:
            await self._executor.submit([hand.job for hand in taken])
        except Exception as error:  # noqa: BLE001 -- whatever it is, the deliveries must be settled
            for hand in taken:
                self._let_go(hand)
                await self._give_back(hand.delivery, error)
            return
        for hand in taken:
            hand.submitted = True
            if self._marked.pop(hand.job.job_id, 0):
                await self._executor.cancel(hand.job.deliberation_id, [hand.job.job_id])

    async def _hand(self, delivery: Delivery) -> _Hand | None:
        try:
            job = await wire.job_of(delivery.event, self._blobs)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the delivery must be settled
            await self._give_back(delivery, error)
            return None
        known = self._hands.get(job.job_id)
        if known is not None:  # handed to us again: the newer delivery is the one to settle
            known.delivery = delivery
            return None
        hand = self._hands[job.job_id] = _Hand(job, delivery, said=self._loop.time())
        self._accepted[job.job_id] = sequences(delivery.position)[wire.QUEUE]
        if len(self._accepted) > _REMEMBERED:
            self._accepted.popitem(last=False)
        return hand

    async def _give_back(self, delivery: Delivery, error: Exception) -> None:
        await give_back(self._bus, delivery, error, self._clock, wire.DURABLE)

    def _let_go(self, hand: _Hand) -> None:
        del self._hands[hand.job.job_id]
        self._room.set()

    async def _look(self, now: float) -> None:
        held = [hand for hand in self._hands.values() if hand.submitted]
        running = {status.job_id for status in await self._executor.active()} if held else set()
        for hand in held:
            if hand.job.job_id in running:
                if now - hand.said > self._wait_s / 3:
                    hand.said = now
                    await hand.delivery.in_progress()
            else:
                await self._end(hand, now)

    async def _end(self, hand: _Hand, now: float) -> None:
        job = hand.job
        statuses = await self._executor.status(job.deliberation_id)
        phases = {status.job_id: status.phase for status in statuses}
        self._let_go(hand)
        if phases.get(job.job_id) == "done":
            self._lately[job.job_id] = now + _LATELY_S
            await done(hand.delivery)
        else:  # its result could not be kept: it has to be run, or published, again
            await hand.delivery.nak(1_000)

    def _told(self, statuses: Iterable[JobStatus]) -> Sequence[wire.Answer]:
        said = [
            wire.Said(
                s.job_id,
                s.deliberation_id,
                s.agent_id,
                s.phase,
                s.outcome,
                self._accepted.get(s.job_id, 0),
            )
            for s in statuses
        ]
        parts = [said[at : at + wire.PART] for at in range(0, len(said), wire.PART)] or [[]]
        here = {s.job_id for s in said}
        ended = [i for i, hand in self._hands.items() if hand.submitted and i not in here]
        over = (*ended, *self._lately)[: wire.PART]
        first = [wire.Answer(self.name, tuple(part), last=False) for part in parts[:-1]]
        return [*first, wire.Answer(self.name, tuple(parts[-1]), over)]


def _service(serving: _Serving) -> Service:
    """The endpoints, as tools that speak the NATS micro services convention find them."""

    async def cancel(raw: bytes) -> Sequence[bytes]:
        return _written(await serving.cancel(_read(wire.CancelRequest, raw)))

    async def status(raw: bytes) -> Sequence[bytes]:
        return _written(*await serving.status(_read(wire.StatusRequest, raw)))

    async def active(_: bytes) -> Sequence[bytes]:
        return _written(*await serving.active())

    async def stats(_: bytes) -> Sequence[bytes]:
        return _written(await serving.stats())

    return Service(
        wire.SERVICE,
        fleet_core.__version__,
        "takes agent jobs from the queue and sees each to its result",
        serving.name,
        {f"{wire.PREFIX}.{act.__name__}": act for act in (cancel, status, active, stats)},
    )


def _written(*answers: wire.Answer) -> Sequence[bytes]:
    return [json.dumps(to_data(answer)).encode() for answer in answers]


def _read(cls: type[T], raw: bytes) -> T:
    try:
        data: Any = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}", source="request") from None
    return from_data(cls, data, source="request")
