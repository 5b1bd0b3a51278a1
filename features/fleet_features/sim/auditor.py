"""Watches every effect of every process, and holds it to the invariants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from fleet_core.domain import events
from fleet_core.domain.deliberation import FINAL
from fleet_core.domain.events import Event, matches
from fleet_core.domain.job import AgentJob
from fleet_core.domain.plan_run import PlanRun, TaskState
from fleet_core.domain.reducer import Strategy
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.state_store import Document, Put, Write
from fleet_core.usecases import keys
from fleet_core.usecases.documents import load_object
from fleet_core.usecases.payload import opened
from fleet_core.usecases.saved import Saved, read
from fleet_core.usecases.stores import Stores
from fleet_features.sim.calls import Calls
from fleet_features.sim.loop import Lane
from fleet_features.sim.trace import short
from fleet_features.sim.transitions import Finding, plan_saved_after, saved_after
from fleet_features.sim.wire import at_once

PLANNING = "planning"
NONSENSE = "nonsense:"
"""How the ids of events begin that belong among the dead letters."""
_FOR_GOOD = ("deliberation/", "plan/", "journal/")


@dataclass(frozen=True, slots=True)
class Broken:
    """An invariant does not hold."""

    invariant: str
    how: str
    at_s: float


class Auditor:
    """Sees what outlives the processes, at once and without a wire.

    Attributes:
        broken: what was found, in order.
        saved: deliberations as last saved, by id.
        runs: plans as last saved, by id.
        kept_versions: acknowledged writes: the version by key.
        kept_events: ids of events whose publication was acknowledged.
        calls: what executors call for.
    """

    def __init__(
        self,
        stores: Stores,
        graph: ContextGraph,
        strategies: Mapping[str, Strategy],
        now: Callable[[], float],
    ) -> None:
        self.stores = stores
        self.graph = graph
        self.strategies = strategies
        self.broken: list[Broken] = []
        self.on_broken: Callable[[], None] = lambda: None
        self.saved: dict[str, Saved] = {}
        self.runs: dict[str, PlanRun] = {}
        self.kept_versions: dict[str, int] = {}
        self.kept_events: set[str] = set()
        self.calls = Calls(now, self.report)
        self._now = now
        self._called_for: set[str] = set()
        self._job_places: dict[str, tuple[str, str]] = {}
        self._recorded: set[str] = set()
        self._completed: dict[str, str] = {}

    def report(self, invariant: str, how: str) -> None:
        """An invariant is broken."""
        self.broken.append(Broken(invariant, how, self._now()))
        self.on_broken()

    def _report(self, found: Iterable[Finding], where: str) -> None:
        for invariant, how in found:
            self.report(invariant, f"{where}: {how}")

    # --- the state store

    def committed(
        self, lane: Lane, writes: Sequence[Write], published: Sequence[Event] = ()
    ) -> None:
        """The store has made these writes, in one transaction with these events."""
        for write in writes:
            family, _, identity = write.key.partition("/")
            if not isinstance(write, Put):
                continue
            if family == "deliberation":
                self._deliberation(self._document(write.key), published)
            elif family == "plan":
                self._plan(self._document(write.key))
            elif family == "journal":
                self.calls.journaled(identity)
            elif family == "claim":
                self.calls.claimed(lane, identity, write)

    def kept(self, writes: Sequence[Write], versions: Sequence[int]) -> None:
        """A process was told that these writes are made."""
        for write, version in zip(writes, versions, strict=True):
            if isinstance(write, Put) and write.key.startswith(_FOR_GOOD):
                self.kept_versions[write.key] = max(version, self.kept_versions.get(write.key, 0))

    def _document(self, key: str) -> Document:
        (document,) = at_once(lambda: self.stores.state.get([key]))
        if document is None:
            raise LookupError(f"{key} was written and is not there")
        return document

    def _deliberation(self, document: Document, published: Sequence[Event]) -> None:
        after = read(document)
        whole = [
            replace(e, data=at_once(partial(opened, e.data, self.stores.blobs))) for e in published
        ]
        after = replace(after, unpublished=(*after.unpublished, *whole))
        state = after.state
        identity = state.deliberation_id
        before = self.saved.get(identity)
        where = f"deliberation {short(identity)} of {state.task.task_id}"
        if before is None:
            self._called(state.plan_id, state.task.task_id, identity)
        self.saved[identity] = after
        self._report(saved_after(before, after, self.strategies), where)
        self._called_for.update(event.event_id for event in after.unpublished)
        known = len(before.state.steps) if before is not None else 0
        for step in state.steps[known:]:
            issued = json.loads(self._document(keys.jobs(identity, step.number)).value)
            if [job["job_id"] for job in issued] != [job.job_id for job in step.jobs]:
                self.report(
                    "saved first", f"{where}: step {step.number} was saved without its jobs"
                )
            for job in step.jobs:
                place = (identity, str(job.key))
                if self._job_places.setdefault(job.job_id, place) != place:
                    self.report("one id, one job", f"{where}: {job.key} has another job's id")
        if state.phase not in FINAL and after.due_ms:
            self._document(keys.due(after.due_ms, identity))

    def _called(self, plan_id: str, task_id: str, identity: str) -> None:
        run = self.runs.get(plan_id)
        if run is None or run.task(task_id).deliberation_id != identity:
            self.report("saved first", f"no saved plan called for deliberation {short(identity)}")

    def _plan(self, document: Document) -> None:
        run = load_object(PlanRun, document)
        before = self.runs.get(run.plan_id)
        self.runs[run.plan_id] = run
        self._report(plan_saved_after(before, run, self._recorded), f"plan {short(run.plan_id)}")

    # --- the bus

    def publishing(self, lane: Lane, published: Sequence[Event]) -> None:
        """A process asks the bus to keep these events."""
        for event in published:
            self._report(self._uncalled_for(lane, event), f"{lane.name} publishes")

    def _uncalled_for(self, lane: Lane, event: Event) -> Iterator[Finding]:
        subject, name = event.subject, event.event_id
        if matches(f"{events.DELIBERATION}.>", subject):
            if name not in self._called_for:
                yield "saved first", f"{short(name)}, which is not saved"
        elif matches(f"{events.RESULTS}.>", subject):
            if name.removeprefix("result:") not in self.calls.journal:
                yield "journal first", f"{short(name)}, not journaled"
        elif subject == events.CONTEXT_UPDATED:
            decision = str(event.data["decision_id"])
            if at_once(partial(self.graph.decision, decision)) is None:
                yield "saved first", f"{short(name)}, not recorded"
        elif matches(f"{events.DEAD}.>", subject):
            if NONSENSE not in name:
                yield "no dead letters", f"{short(name)}: {event.data['reason']}"
        elif not self._is_planned(lane, event):
            yield "saved first", f"{subject}"

    def _is_planned(self, lane: Lane, event: Event) -> bool:
        """Whether it is an approval by those who plan, or no task of what it cancels waits."""
        if event.subject == events.PLAN_APPROVED:
            return lane.name == PLANNING
        if event.subject != events.PLAN_CANCELLED:
            return False
        run = self.runs[str(event.data["plan_id"])]
        waiting = any(task.state is TaskState.WAITING for task in run.tasks)
        return run.attempt != event.data["attempt"] or not waiting

    def logged(self, published: Sequence[Event]) -> None:
        """The bus keeps these events."""
        for event in published:
            if event.subject == events.CONTEXT_UPDATED:
                self._recorded.add(str(event.data["deliberation_id"]))
            elif event.subject == events.COMPLETED:
                identity = str(event.data["deliberation_id"])
                if self._completed.setdefault(identity, event.event_id) != event.event_id:
                    self.report("completed once", f"deliberation {short(identity)}, twice")

    def published(self, published: Sequence[Event]) -> None:
        """A process was told that these events are kept."""
        self.kept_events.update(event.event_id for event in published)

    def acking(self, lane: Lane, durable: str, event: Event) -> None:
        """A process acknowledges an event: what it leads to must be stored."""
        data = at_once(lambda: opened(event.data, self.stores.blobs))
        if not self._stored(durable, event, data):
            self.report(
                "stored before acknowledged", f"{lane.name}, {durable}: {short(event.event_id)}"
            )

    def _stored(self, durable: str, event: Event, data: Mapping[str, object]) -> bool:
        if durable == "deliberate":
            saved = self.saved.get(str(data["deliberation_id"]))
            if saved is None:
                return False
            ended = {job.job_id for job in saved.state.jobs() if job.ended is not None}
            return saved.state.phase in FINAL or data["job_id"] in ended
        if durable == "hydrate":
            return self._recorded_in_graph(event, data)
        run = self.runs.get(str(data["plan_id"]))
        if run is None:
            return False
        if event.subject == events.PLAN_APPROVED:
            return run.attempt >= int(str(data.get("attempt", 1)))
        task = run.task(str(data["task_id"]))
        if task.deliberation_id != data["deliberation_id"]:
            return True
        if event.subject == events.COMPLETED:
            return task.state is not TaskState.RUNNING
        return task.recorded

    def _recorded_in_graph(self, event: Event, data: Mapping[str, object]) -> bool:
        if event.subject == events.PLAN_APPROVED:
            plan = data["plan"]
            story = str(plan["story"]) if isinstance(plan, Mapping) else ""
            return at_once(lambda: self.graph.revision(story)) > 0
        decision = data.get("decision")
        if not isinstance(decision, Mapping):
            return True
        name = str(decision["decision_id"])
        if at_once(lambda: self.graph.decision(name)) is None:
            return False
        return f"context:{name}" in self.kept_events

    # --- what an orchestrator asks of other services

    def submitting(self, lane: Lane, jobs: Sequence[AgentJob]) -> None:
        """An orchestrator hands out jobs."""
        for job in jobs:
            if job.job_id not in self._job_places:
                self.report(
                    "saved first", f"{lane.name} submits {short(job.job_id)}, which is not saved"
                )

    def cancelling(self, lane: Lane, identity: str) -> None:
        """An orchestrator stops the jobs of a deliberation."""
        saved = self.saved.get(identity)
        if saved is None or saved.state.phase not in FINAL:
            self.report(
                "saved first", f"{lane.name} cancels jobs of {short(identity)}, which goes on"
            )

    def cancelled(self, identity: str) -> None:
        """A user is told that a deliberation was cancelled: it has ended by then."""
        if self.saved[identity].state.phase not in FINAL:
            self.report("kept writes", f"{short(identity)} is said to be cancelled, and goes on")

    def packing(self, lane: Lane, plan_id: str, task_id: str) -> None:
        """An orchestrator asks for a context pack."""
        if not any(
            s.state.plan_id == plan_id and s.state.task.task_id == task_id
            for s in self.saved.values()
        ):
            self.report("saved first", f"{lane.name} asks for a pack for {task_id}, not started")
