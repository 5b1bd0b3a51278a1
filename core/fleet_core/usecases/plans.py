"""Plans: takes approved plans task by task to their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.decision import Decision
from fleet_core.domain.deliberation import Phase, ProtocolSpec
from fleet_core.domain.events import COMPLETED, CONTEXT_UPDATED, PLAN_APPROVED, Event
from fleet_core.domain.inputs import Start
from fleet_core.domain.job import Failure
from fleet_core.domain.plan import Plan, validated
from fleet_core.domain.plan_run import (
    Approved,
    CancelPlan,
    DecisionRecorded,
    PlanInput,
    PlanReduction,
    PlanRun,
    TaskEnded,
    TaskState,
    Terms,
    reduce_plan,
    start_of,
)
from fleet_core.errors import Conflict, FleetError, NotFound, PlanError
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.state_store import Delete, Put, Write
from fleet_core.usecases import keys
from fleet_core.usecases.approvals import approve, approved_plan, cancellation
from fleet_core.usecases.consume import PATIENT, PROMPT_MS, consume
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate
from fleet_core.usecases.documents import load_object
from fleet_core.usecases.patience import until_available
from fleet_core.usecases.payload import opened
from fleet_core.usecases.stores import Stores

_log = logging.getLogger("fleet.plans")
SUBSCRIPTION = Subscription(
    "plans",
    (PLAN_APPROVED, COMPLETED, CONTEXT_UPDATED),
    ack_wait_ms=PROMPT_MS,
    max_deliver=PATIENT,
)
_HELD = 64
_STATES = {
    Phase.DECIDED: TaskState.DECIDED,
    Phase.FAILED: TaskState.FAILED,
    Phase.CANCELLED: TaskState.CANCELLED,
}
_STOPPED = (TaskState.RUNNING, TaskState.CANCELLED)


class Plans:
    """The use case; open it with `running`.

    Args:
        stores: bus, state, blobs, clock.
        deliberate: starts deliberations.
        councils: who sits for which role.
        protocol, terms: how tasks of newly approved plans are deliberated, and on what lease.
    """

    def __init__(
        self,
        stores: Stores,
        deliberate: Deliberate,
        councils: Councils,
        protocol: ProtocolSpec,
        terms: Terms,
    ) -> None:
        self._stores = stores
        self._state = stores.state
        self._clock = stores.clock
        self._deliberate = deliberate
        self._councils = councils
        self._protocol = protocol
        self._terms = terms
        self._held: dict[str, tuple[int, PlanRun]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Plans]:
        """Consume approvals and outcomes while held; plans that had not ended go on."""
        async with asyncio.TaskGroup() as tasks:
            owned = [
                tasks.create_task(self._recover()),
                tasks.create_task(
                    consume(self._stores.bus, SUBSCRIPTION, self._handle, self._clock)
                ),
            ]
            try:
                yield self
            finally:
                for task in owned:
                    task.cancel()

    async def approve(self, plan: Plan, *, fresh: bool = False) -> PlanRun | None:
        """Publish an approval where there is something to do.

        Returns:
            The run as it stands: None where the plan is new, an unfinished run that simply goes
            on, or one that was decided already (and `fresh` was not asked for) or is taken
            further by a new attempt.
        """
        return await approve(self._stores, plan, fresh=fresh)

    async def get(self, identity: str) -> PlanRun:
        """A plan's run. NotFound where there is none."""
        (document,) = await self._state.get([keys.plan(identity)])
        if document is None:
            raise NotFound(f"there is no plan {identity}")
        return load_object(PlanRun, document)

    async def cancel(self, identity: str, reason: str) -> PlanRun:
        """Cancel what waits, then what runs, and say so."""
        run = (await self._reduce(identity, CancelPlan(self._clock(), reason))).run
        if any(task.state in _STOPPED for task in run.tasks):
            await self._stores.bus.publish([cancellation(run, reason, self._clock())])
        for start in _running(run, self._clock()):
            # Whoever saved that it runs may not have started it yet: nothing may start it later.
            state = await self._deliberate.start(start)
            await self._deliberate.cancel(state.deliberation_id, reason)
        return run

    async def _handle(self, event: Event) -> None:
        data = await opened(event.data, self._stores.blobs)
        source = f"event {event.event_id}"
        if event.subject == PLAN_APPROVED:
            given: PlanInput = await self._approved(data, event, source)
        elif event.subject == COMPLETED:
            given = _ended(data, self._clock(), source)
        else:
            task_id, deliberation = (_text(data, k, source) for k in ("task_id", "deliberation_id"))
            given = DecisionRecorded(self._clock(), task_id, deliberation)
        try:
            reduction = await self._reduce(_text(data, "plan_id", source), given)
        except NotFound:
            if isinstance(given, Approved):
                raise
            return  # a deliberation that was started on its own, outside any plan
        await self._carry_out(reduction)

    async def _approved(self, data: Mapping[str, Any], event: Event, source: str) -> Approved:
        identity, plan = approved_plan(data, source)
        councils = await self._councils.all()
        plan = validated(plan, roles=councils, source=source)
        self._refuse_unknown_protocol(plan, source)
        # Leases run from now: the event may have waited for an orchestrator for hours.
        return Approved(
            self._clock(),
            identity,
            plan,
            from_data(int, data.get("attempt", 1), source=source, at="attempt"),
            {task.role: councils[task.role] for task in plan.tasks},
            self._protocol,
            self._terms,
            from_data(bool, data.get("fresh", False), source=source, at="fresh"),
            event.time_ms,
        )

    def _refuse_unknown_protocol(self, plan: Plan, source: str) -> None:
        known = self._deliberate.protocols
        for index, task in enumerate(plan.tasks):
            if task.protocol and task.protocol not in known:
                raise PlanError(
                    f"there is no protocol {task.protocol!r}",
                    f"known protocols: {', '.join(sorted(known))}",
                    source=source,
                    field=f"tasks[{index}].protocol",
                )

    async def _reduce(self, identity: str, given: PlanInput) -> PlanReduction:
        """Reduce and save; whoever loses the compare-and-set reads and reduces again.

        What an approval names is taken for new, and what is held here for the newest, until the
        store says otherwise.
        """
        key = keys.plan(identity)
        held = self._held.get(identity)
        known = held is None and not isinstance(given, Approved)  # what the store has
        if known:
            held = await self._read(identity)
        while True:
            version, run = held or (0, None)
            if run is None and not isinstance(given, Approved):
                raise NotFound(f"there is no plan {identity}")
            reduction = reduce_plan(run, given)
            if not reduction.changed:
                if not known:
                    held, known = await self._read(identity), True
                    continue
                again = _concerns(reduction.run, given)
                starts = _running(reduction.run, self._clock()) if again else ()
                return PlanReduction(reduction.run, starts, changed=False)
            out: list[Write] = [Put(key, self._stores.dump(to_data(reduction.run)), version)]
            marker = keys.plan_open(identity)
            out.append(Delete(marker) if reduction.run.settled else Put(marker, b""))
            try:
                await self._state.commit(out)
            except Conflict:
                held, known = await self._read(identity), True
                continue
            self._hold(identity, version + 1, reduction.run)
            return reduction

    async def _read(self, identity: str) -> tuple[int, PlanRun] | None:
        """A plan's version and run as saved now; what is held already is not parsed again."""
        (document,) = await self._state.get([keys.plan(identity)])
        if document is None:
            return None
        held = self._held.get(identity)
        if held is None or held[0] != document.version:
            held = self._hold(identity, document.version, load_object(PlanRun, document))
        return held

    def _hold(self, identity: str, version: int, run: PlanRun) -> tuple[int, PlanRun]:
        """Of many plans, those that were touched last."""
        self._held.pop(identity, None)
        held = self._held[identity] = (version, run)
        if len(self._held) > _HELD:
            del self._held[next(iter(self._held))]
        return held

    async def _carry_out(self, reduction: PlanReduction) -> None:
        for start in reduction.starts:
            await self._deliberate.start(start, reduction.run)

    async def _recover(self) -> None:
        """Start again what saved plans say is running; each start is idempotent."""
        after = keys.PLAN_OPEN
        while True:
            page = partial(self._state.scan, keys.PLAN_OPEN, after=after)
            documents = await until_available(page, "resuming plans")
            if not documents:
                return
            for document in documents:
                identity = document.key.removeprefix(keys.PLAN_OPEN)
                try:
                    await until_available(partial(self._resume, identity), f"plan {identity}")
                except FleetError as error:
                    _log.warning("plan %s not resumed: %s", identity, error)
            after = documents[-1].key

    async def _resume(self, identity: str) -> None:
        run = await self.get(identity)
        await self._carry_out(PlanReduction(run, _running(run, self._clock())))


def _concerns(run: PlanRun, given: PlanInput) -> bool:
    """Whether an input that changed nothing may be one whose starts were not carried out."""
    if not isinstance(given, TaskEnded | DecisionRecorded):
        return True
    return any(task.deliberation_id == given.deliberation_id for task in run.tasks)


def _running(run: PlanRun, now_ms: int) -> tuple[Start, ...]:
    return tuple(
        start_of(run, task, now_ms) for task in run.tasks if task.state is TaskState.RUNNING
    )


def _ended(data: Mapping[str, Any], now_ms: int, source: str) -> TaskEnded:
    phase = from_data(Phase, data.get("phase"), source=source, at="phase")
    decision = from_data(_Outcome, data.get("decision"), source=source, at="decision")
    failure = from_data(_Reason, data.get("failure"), source=source, at="failure")
    return TaskEnded(
        now_ms,
        _text(data, "task_id", source),
        _text(data, "deliberation_id", source),
        _STATES[phase],
        decision.winner if decision is not None else "",
        decision.standing if decision is not None else None,
        failure.reason if failure is not None else "",
    )


_Outcome: Any = Decision | None
_Reason: Any = Failure | None


def _text(data: Mapping[str, Any], key: str, source: str) -> str:
    return from_data(str, data.get(key), source=source, at=key)
