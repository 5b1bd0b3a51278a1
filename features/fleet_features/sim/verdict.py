"""What must hold once the adversary is called off, and in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from fleet_core.domain.codec import from_data
from fleet_core.domain.deliberation import FINAL, Deliberation, Phase
from fleet_core.domain.events import COMPLETED, DELIBERATION, Event, matches
from fleet_core.domain.plan import plan_id
from fleet_core.domain.plan_run import TaskState
from fleet_core.domain.reducer import Strategy
from fleet_core.testing.playing import folded
from fleet_core.usecases.saved import Saved
from fleet_features.sim.auditor import Auditor
from fleet_features.sim.scenario import Scenario
from fleet_features.sim.trace import short
from fleet_features.sim.transitions import Finding
from fleet_features.sim.users import Promised
from fleet_features.sim.wire import at_once

_GRACE_MS = 12_000


def overdue(saved: Mapping[str, Saved], now_ms: int, calm_since_ms: int) -> Iterator[Finding]:
    """Deadlines that nobody saw to, though nothing has gone wrong for a while."""
    if now_ms < calm_since_ms + _GRACE_MS:
        return
    for name, held in saved.items():
        state = held.state
        step = state.open_step
        if state.phase in FINAL:
            continue
        if state.lease.deadline_ms + _GRACE_MS < now_ms:
            yield "deadlines count", f"{short(name)} goes on after the deadline of its lease"
        elif (
            step is not None
            and step.deadline_ms + _GRACE_MS < now_ms
            and step.answered > state.protocol.quorum * len(step.jobs)
        ):
            yield "deadlines count", f"{short(name)}: step {step.name!r} is open after its deadline"


def unsettled(auditor: Auditor, scenario: Scenario, promised: Promised) -> Iterator[Finding]:
    """What was accepted and has not ended."""
    for plan in scenario.plans:
        name = plan_id(plan)
        run = auditor.runs.get(name)
        if run is None:
            yield "all completed", f"plan {short(name)} was approved, and nobody took it up"
            continue
        if run.attempt < promised.attempts.get(name, 0):
            yield "all completed", f"plan {short(name)} was approved again, and nobody took it up"
        for task in run.tasks:
            if task.state in (TaskState.WAITING, TaskState.RUNNING):
                yield "all completed", f"task {task.task_id} of {short(name)} is {task.state.value}"
            elif task.state is TaskState.DECIDED and not task.recorded:
                yield (
                    "all completed",
                    f"task {task.task_id} of {short(name)} is decided, not recorded",
                )
    for name, held in auditor.saved.items():
        if held.state.phase not in FINAL:
            yield "all completed", f"deliberation {short(name)} is {held.state.phase.value}"


def concluded(
    auditor: Auditor,
    log: Sequence[Event],
    promised: Promised,
    strategies: Mapping[str, Strategy],
    *,
    calm: bool,
) -> Iterator[Finding]:
    """In the end.

    Args:
        auditor: what it saw.
        log: what the bus keeps, large payloads opened.
        promised: what users were told.
        strategies: by protocol name.
        calm: whether nothing went wrong but models.
    """
    yield from _kept(auditor, log, promised)
    by_deliberation: dict[str, list[Event]] = {}
    for event in log:
        if matches(f"{DELIBERATION}.>", event.subject):
            by_deliberation.setdefault(str(event.data["deliberation_id"]), []).append(event)
    for name in sorted(by_deliberation.keys() - auditor.saved.keys()):
        yield "fold", f"the log knows deliberation {short(name)}, the store does not"
    for name, held in auditor.saved.items():
        told = by_deliberation.get(name, [])
        yield from _deliberation(held.state, told, strategies, f"deliberation {short(name)}")
    if calm:
        for job, times in auditor.calls.made.items():
            if times > 1:
                yield "paid once", f"{short(job)} was called for {times} times, and all was well"


def _deliberation(
    state: Deliberation, told: Sequence[Event], strategies: Mapping[str, Strategy], where: str
) -> Iterator[Finding]:
    completed = [event for event in told if event.subject == COMPLETED]
    if len(completed) != 1:
        yield "completed once", f"{where} was completed {len(completed)} times"
    elif from_data(Phase, completed[0].data["phase"]) is not state.phase:
        yield "completed once", f"{where} is {state.phase.value}, its completion says otherwise"
    if state.phase is Phase.DECIDED and state.decision is None:
        yield "all completed", f"{where} is decided without a decision"
    reason = state.failure.reason if state.failure is not None else ""
    if state.phase is not Phase.DECIDED and not reason:
        yield "all completed", f"{where} is {state.phase.value} without a reason"
    if folded(told, strategies[state.protocol.name]) != state:
        yield "fold", f"{where}: the log of {len(told)} events does not fold to the state"


def _extended(auditor: Auditor, promised: Promised) -> Iterator[Finding]:
    for name, tokens in promised.extended.items():
        state = auditor.saved[name].state
        run = auditor.runs[state.plan_id]
        if state.lease.tokens < run.terms.tokens + tokens:
            yield "kept writes", f"the lease of {short(name)} was said to be extended by {tokens}"


def _kept(auditor: Auditor, log: Sequence[Event], promised: Promised) -> Iterator[Finding]:
    names = {event.event_id for event in log}
    for lost in sorted(auditor.kept_events - names):
        yield "kept writes", f"event {short(lost)} was acknowledged, and is not in the log"
    for key, version in sorted(auditor.kept_versions.items()):
        (document,) = at_once(partial(auditor.stores.state.get, [key]))
        if document is None or document.version < version:
            yield "kept writes", f"version {version} of {short(key)} was acknowledged, and is gone"
    for durable in ("plans", "hydrate"):
        for wrong in promised.nonsense:
            if f"dead:{durable}:{wrong}" not in names:
                yield "no dead letters", f"{durable} has dropped {wrong} without a letter"
    yield from _extended(auditor, promised)
