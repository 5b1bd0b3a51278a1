"""Deliberate: takes deliberations from input to input, and carries out what they call for.

Inputs of one deliberation that are waiting are reduced together and saved by one compare-and-set.
Whoever loses it has had no effect and reduces again. Any number of orchestrators share the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from fleet_core.domain.codec import from_data
from fleet_core.domain.commands import CancelJobs, Command, GetPack, SubmitJobs
from fleet_core.domain.deliberation import FINAL, Deliberation, deliberation_id
from fleet_core.domain.events import MAX_INLINE_BYTES, RESULTS, Event
from fleet_core.domain.evolve import evolve
from fleet_core.domain.inputs import (
    Cancel,
    Due,
    Extend,
    Input,
    PackReady,
    PackRefused,
    ResultArrived,
    Start,
)
from fleet_core.domain.job import AgentJob, AgentResult, Failure
from fleet_core.domain.plan_run import PlanRun
from fleet_core.domain.reducer import Strategy, reduce
from fleet_core.errors import Conflict, DecodeError, FleetError, InputError, NotFound
from fleet_core.ports.event_bus import Delivery, Subscription
from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.state_store import Delete
from fleet_core.usecases import keys, saved
from fleet_core.usecases.consume import PATIENT, PROMPT_MS, done, give_back
from fleet_core.usecases.documents import load, load_object
from fleet_core.usecases.inbox import Inbox, Waiting
from fleet_core.usecases.pack_requests import PackRequests
from fleet_core.usecases.patience import delay_ms, until_available
from fleet_core.usecases.payload import opened, travelling
from fleet_core.usecases.saved import Saved
from fleet_core.usecases.stores import Stores

_log = logging.getLogger("fleet.deliberate")
SUBSCRIPTION = Subscription(
    "deliberate",
    (f"{RESULTS}.>",),
    ack_wait_ms=PROMPT_MS,
    max_deliver=PATIENT,
    max_in_flight=1024,
)


@dataclass(frozen=True, slots=True)
class DeliberateSettings:
    """How deliberations are driven.

    Attributes:
        linger_ms: a result that leaves its step unfinished waits at most so long for the step's
            other results, to be saved with them; nothing is acknowledged before that.
        sweep_ms: between two looks at the open deadlines.
        again_ms: a running deliberation's jobs without result are submitted again after so long.
    """

    sweep_ms: int = 250
    again_ms: int = 60_000
    linger_ms: int = 25


class Deliberate:
    """The use case; open it with `running`.

    Args:
        stores: bus, state, blobs, clock.
        executor: takes the jobs.
        hydrator: gives the context packs.
        strategies: by protocol name.
        settings: how often to look.
    """

    def __init__(
        self,
        stores: Stores,
        executor: Executor,
        hydrator: Hydrator,
        strategies: Mapping[str, Strategy],
        settings: DeliberateSettings,
    ) -> None:
        self._stores = stores
        self._state = stores.state
        self._bus = stores.bus
        self._clock = stores.clock
        self._executor = executor
        self._hydrator = hydrator
        self._requests = PackRequests(stores.state)
        self._strategies = strategies
        self._settings = settings
        self._open: dict[str, Saved] = {}
        self._owing: set[str] = set()
        self._packing: dict[str, asyncio.Task[None]] = {}
        self._inbox = Inbox(self._work, self._missing, settings.linger_ms / 1000)
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Deliberate]:
        """Consume results and sweep deadlines while held; what was left unfinished goes on."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._inbox.open(tasks)
            owned = [tasks.create_task(self._recover()), tasks.create_task(self._consume())]
            owned.append(tasks.create_task(self._sweep()))
            try:
                yield self
            finally:
                self._tasks = None
                self._inbox.close()
                for task in (*owned, *self._packing.values()):
                    task.cancel()

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[Deliberate]:
        """Do only what is asked for directly, e.g. `cancel`: no result, no deadline, no recovery.

        For a process that has neither models nor a runner.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._inbox.open(tasks)
            try:
                yield self
            finally:
                self._tasks = None
                self._inbox.close()
                for task in self._packing.values():
                    task.cancel()

    @property
    def protocols(self) -> frozenset[str]:
        """Names of the protocols that deliberations can follow."""
        return frozenset(self._strategies)

    async def start(self, start: Start, run: PlanRun | None = None) -> Deliberation:
        """Put a task to its council; the same start again goes on with what there is.

        Args:
            start: the task, its council and its lease.
            run: the plan's, from whoever has it at hand; else it is read where it is saved.
        """
        if run is not None:
            self._requests.know(run)
        identity = deliberation_id(
            start.plan_id, start.task, start.council, start.protocol, start.attempt
        )
        return await self._reduced(identity, start)

    async def cancel(self, identity: str, reason: str) -> Deliberation:
        """End a deliberation; one that has ended stays as it is. NotFound where there is none."""
        return await self._reduced(identity, Cancel(self._clock(), reason))

    async def extend(
        self, identity: str, *, tokens: int = 0, micro_usd: int = 0, deadline_ms: int = 0
    ) -> Deliberation:
        """Raise a deliberation's lease. NotFound where there is none."""
        return await self._reduced(identity, Extend(self._clock(), tokens, micro_usd, deadline_ms))

    async def get(self, identity: str) -> Deliberation:
        """The state as saved now, by whichever orchestrator. NotFound where there is none."""
        (document,) = await self._state.get([keys.deliberation(identity)])
        if document is None:
            raise NotFound(f"there is no deliberation {identity}")
        held = self._open.get(identity)
        if held is not None and held.version == document.version:
            return held.state
        return saved.read(document).state

    async def _reduced(self, identity: str, given: Input) -> Deliberation:
        reduced: asyncio.Future[Deliberation] = asyncio.get_running_loop().create_future()
        self._inbox.offer(identity, Waiting(given, done=reduced))
        return await reduced

    def _missing(self, identity: str) -> int:
        held = self._open.get(identity)
        step = held.state.open_step if held is not None else None
        return sum(job.ended is None for job in step.jobs) if step is not None else 0

    async def _work(self, identity: str, batch: Sequence[Waiting]) -> None:
        try:
            given = [w.given for w in batch if w.given is not None]
            state = await self._apply(identity, given)
            if len(given) < len(batch):
                await self._resume(identity)
        except Exception as error:  # noqa: BLE001 -- settled with whoever waits
            await self._refuse(identity, batch, error)
            return
        for waiting in batch:
            if waiting.delivery is not None:
                await done(waiting.delivery)
            if waiting.done is not None and not waiting.done.done():
                waiting.done.set_result(state)

    async def _refuse(self, identity: str, batch: Sequence[Waiting], error: Exception) -> None:
        """Nothing is acknowledged whose effect is not stored."""
        if not isinstance(error, FleetError):
            _log.error("deliberation %s", identity, exc_info=error)
        elif all(w.done is None and w.delivery is None for w in batch):
            _log.warning("deliberation %s: %s", identity, error)
        for waiting in batch:
            if waiting.done is not None and not waiting.done.done():
                waiting.done.set_exception(error)
            if waiting.delivery is not None:
                await self._give_back(waiting.delivery, error)

    async def _apply(self, identity: str, inputs: Sequence[Input]) -> Deliberation:
        """Reduce, save, and only then carry out."""
        # What starts is new almost always; where it is not, the save conflicts, and it is read.
        new = bool(inputs) and isinstance(inputs[0], Start)
        while True:
            before = self._open.get(identity) if new else await self._find(identity)
            state = before.state if before is not None else None
            commands: list[Command] = []
            for given in inputs:
                if state is None and not isinstance(given, Start):
                    raise NotFound(f"there is no deliberation {identity}")
                reduction = reduce(state, given, self._strategy(state, given))
                state = reduction.state
                commands += reduction.commands
            if state is None:
                raise NotFound(f"there is no deliberation {identity}")
            if before is not None and state is before.state:
                # Another orchestrator may have gone on: to what is held here, a result of a step
                # that only the store knows is nothing, and would be acknowledged and lost.
                if await self._outdated(before):
                    self._open.pop(identity, None)
                    continue
                if identity in self._owing:
                    await self._resume(identity)
                return state
            owing = identity in self._owing
            # From here on, since a save that failed may have been made all the same.
            self._owing.add(identity)
            try:
                after = await self._save(before, state, commands)
            except Conflict:
                self._forget(identity, owing=owing)
                new = False
                continue
            if owing:  # what an earlier save called for is still to be done as well
                await self._resume(identity)
            else:
                await self._carry_out(after, commands)
                self._owing.discard(identity)
            return state

    def _forget(self, identity: str, *, owing: bool) -> None:
        """Nothing was saved; what another one has saved is its own to carry out."""
        self._open.pop(identity, None)
        if not owing:
            self._owing.discard(identity)

    async def _outdated(self, held: Saved) -> bool:
        (document,) = await self._state.get([keys.deliberation(held.state.deliberation_id)])
        return document is None or document.version != held.version

    def _strategy(self, state: Deliberation | None, given: Input) -> Strategy:
        name = given.protocol.name if isinstance(given, Start) else ""
        if state is not None:
            name = state.protocol.name
        try:
            return self._strategies[name]
        except KeyError:
            known = ", ".join(sorted(self._strategies))
            raise InputError(
                f"there is no protocol {name!r}", f"known protocols: {known}", field="protocol"
            ) from None

    async def _save(
        self, before: Saved | None, state: Deliberation, commands: Sequence[Command]
    ) -> Saved:
        wanted = saved.next_due(state, self._clock(), self._settings.again_ms)
        armed = before.due_ms if before is not None else 0
        unpublished = before.unpublished if before is not None else ()
        events = (*unpublished, *saved.events_of(commands))
        after = Saved(
            state,
            (before.version if before is not None else 0) + 1,
            events,
            min(wanted, armed) if armed else wanted,
            before.fragments if before is not None else saved.Fragments(self._stores.dump),
        )
        if self._stores.joined is None:
            await self._state.commit(saved.writes(before, after, commands))
        else:
            after = evolve(after, unpublished=(), due_ms=_due_left(after, commands))
            writes = saved.writes(before, after, commands)
            await self._stores.joined(writes, await self._travelling(events, after.fragments))
        self._open[state.deliberation_id] = after
        return after

    async def _travelling(
        self, events: Sequence[Event], fragments: saved.Fragments
    ) -> Sequence[Event]:
        """The events as they are published, once the state that calls for them was dumped."""
        if fragments.size <= MAX_INLINE_BYTES // 2:
            return events
        return [await travelling(event, self._stores.blobs) for event in events]

    async def _carry_out(self, after: Saved, commands: Sequence[Command]) -> None:
        """Do what a saved state calls for; again after a failure, since each is idempotent."""
        state = after.state
        identity = state.deliberation_id
        for command in commands:
            if isinstance(command, SubmitJobs):
                await self._executor.submit(command.jobs)
            elif isinstance(command, GetPack):
                self._fetch_pack(state)
        if after.unpublished:
            await self._bus.publish(await self._travelling(after.unpublished, after.fragments))
            self._open[identity] = replace(after, unpublished=())
        for command in commands:
            if isinstance(command, CancelJobs):
                await self._executor.cancel(identity, command.job_ids)
        if state.phase in FINAL:
            self._open.pop(identity, None)
            if after.due_ms:
                await self._state.commit([Delete(keys.due(after.due_ms, identity))])

    def _fetch_pack(self, state: Deliberation) -> None:
        if self._tasks is not None and state.deliberation_id not in self._packing:
            self._packing[state.deliberation_id] = self._tasks.create_task(self._pack(state))

    async def _pack(self, state: Deliberation) -> None:
        """Ask for the pack until it is there, it is refused, or the deadline has come."""
        identity = state.deliberation_id
        attempt = 0
        try:
            while self._clock() < state.lease.deadline_ms:
                attempt += 1
                try:
                    await self._reduced(identity, await self._packed(state))
                except FleetError as error:
                    _log.warning("deliberation %s has no pack yet: %s", identity, error)
                    if not error.retryable:
                        return
                else:
                    return
                await asyncio.sleep(delay_ms(attempt) / 1000)
        finally:
            self._packing.pop(identity, None)

    async def _packed(self, state: Deliberation) -> PackReady | PackRefused:
        try:
            pack = await self._hydrator.pack(await self._requests.of(state))
        except FleetError as error:
            if error.retryable:
                raise
            return PackRefused(self._clock(), Failure(error.code, str(error)))
        except Exception as error:  # noqa: BLE001 -- a hydrator's bug is this task's failure
            _log.exception("the pack of deliberation %s", state.deliberation_id)
            failure = Failure("internal", f"{type(error).__name__}: {error}")
            return PackRefused(self._clock(), failure)
        return PackReady(self._clock(), pack)

    async def _find(self, identity: str) -> Saved | None:
        held = self._open.get(identity)
        if held is not None:
            return held
        (document,) = await self._state.get([keys.deliberation(identity)])
        if document is None:
            return None
        held = saved.read(document)
        if held.state.phase not in FINAL:
            self._open[identity] = held
        return held

    async def _load(self, identity: str) -> Saved:
        held = await self._find(identity)
        if held is None:
            raise NotFound(f"there is no deliberation {identity}")
        return held

    async def _consume(self) -> None:
        await until_available(self._listen, f"subscription {SUBSCRIPTION.durable!r}")

    async def _listen(self) -> None:
        async with self._bus.subscribe(SUBSCRIPTION) as deliveries:
            async for delivery in deliveries:
                try:
                    result = await self._result(delivery.event)
                except FleetError as error:
                    await self._give_back(delivery, error)
                    continue
                given = ResultArrived(self._clock(), result)
                self._inbox.offer(result.deliberation_id, Waiting(given, delivery))

    async def _give_back(self, delivery: Delivery, error: Exception) -> None:
        await give_back(self._bus, delivery, error, self._clock, SUBSCRIPTION.durable)

    async def _result(self, event: Event) -> AgentResult:
        data = await opened(event.data, self._stores.blobs)
        return from_data(AgentResult, data, source=f"event {event.event_id}")

    async def _recover(self) -> None:
        """Carry out again what saved states call for: whoever saved them may be gone."""
        after = keys.DUE
        while True:
            page = partial(self._state.scan, keys.DUE, after=after)
            documents = await until_available(page, "resuming deliberations")
            if not documents:
                return
            for document in documents:
                self._nudge(keys.due_parts(document.key)[1])
            after = documents[-1].key

    def _nudge(self, identity: str, given: Input | None = None) -> None:
        """Offer an input, then to resume, unless the deliberation is being worked on anyway."""
        if identity not in self._inbox:
            if given is not None:
                self._inbox.offer(identity, Waiting(given))
            self._inbox.offer(identity, Waiting())

    async def _resume(self, identity: str) -> None:
        """Carry out what the saved state calls for, and move its open deadline on."""
        held = await self._load(identity)
        if held.state.outstanding or held.unpublished or held.state.phase in FINAL:
            jobs = await self._jobs(identity)
        else:
            jobs = []
        await self._carry_out(held, saved.unfinished(held.state, jobs))
        self._owing.discard(identity)
        await self._rearm(identity)
        await self._catch_up(held.state)

    async def _catch_up(self, state: Deliberation) -> None:
        """Reduce what is journaled already, and was delivered to somebody who is gone."""
        waiting = [keys.journal(job.job_id) for job in state.outstanding]
        if not waiting or state.phase in FINAL:
            return
        for document in await self._state.get(waiting):
            if document is None:
                continue
            try:
                result = load_object(AgentResult, document)
            except DecodeError as error:
                _log.warning("deliberation %s: %s", state.deliberation_id, error)
                continue
            given = ResultArrived(self._clock(), result)
            self._inbox.offer(state.deliberation_id, Waiting(given))

    async def _jobs(self, identity: str) -> list[AgentJob]:
        documents = await self._state.scan(keys.jobs_prefix(identity))
        return [
            from_data(AgentJob, data, source=document.key)
            for document in documents
            for data in load(document)
        ]

    async def _sweep(self) -> None:
        """Reduce `Due` where a deadline has come, and submit again what has no result."""
        while True:
            await asyncio.sleep(self._settings.sweep_ms / 1000)
            try:
                now = self._clock()
                for document in await self._state.scan(keys.DUE):
                    at_ms, identity = keys.due_parts(document.key)
                    if at_ms > now:
                        break
                    self._nudge(identity, Due(now))
            except FleetError as error:
                _log.warning("sweep: %s", error)

    async def _rearm(self, identity: str) -> None:
        """Move the open deadline on to the next one."""
        before = await self._find(identity)
        if before is None or before.state.phase in FINAL:
            return
        now = self._clock()
        if before.due_ms > now:
            return
        due_ms = saved.next_due(before.state, now, self._settings.again_ms)
        after = replace(before, version=before.version + 1, due_ms=due_ms)
        try:
            await self._state.commit(saved.writes(before, after, ()))
        except Conflict:
            self._open.pop(identity, None)
        else:
            self._open[identity] = after


def _due_left(after: Saved, commands: Sequence[Command]) -> int:
    """Where the open deadline stays: nowhere once nothing is left to be done but the save."""
    ended = after.state.phase in FINAL and not any(isinstance(c, CancelJobs) for c in commands)
    return 0 if ended else after.due_ms
