"""What must hold between two saved states of a deliberation, or of a plan. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import zip_longest

from fleet_core.domain.codec import from_data
from fleet_core.domain.deliberation import FINAL, Deliberation, Phase, Step
from fleet_core.domain.events import COMPLETED
from fleet_core.domain.inputs import Input
from fleet_core.domain.plan_run import ENDED, PlanRun, TaskRun, TaskState
from fleet_core.domain.reducer import Strategy, reduce
from fleet_core.usecases.saved import Saved
from fleet_features.sim.trace import short

Finding = tuple[str, str]
"""The name of an invariant, and how it is broken."""
_INPUT: type[Input] = Input  # type: ignore[assignment]  # the codec takes a union as it takes a class
_ORDER = (Phase.PENDING, Phase.RUNNING, Phase.PROVISIONAL)


def saved_after(
    before: Saved | None, after: Saved, strategies: Mapping[str, Strategy]
) -> Iterator[Finding]:
    """A deliberation was saved once more."""
    state = after.state
    earlier = before.state if before is not None else None
    if earlier is not None and (earlier.phase in FINAL or state.version == earlier.version):
        if state != earlier:
            yield "history", f"version {state.version} was saved with two different states"
        return
    yield from _history(earlier, state)
    yield from lease(state)
    yield from _folded(earlier, after, strategies)
    completed = [event for event in after.unpublished if event.subject == COMPLETED]
    if completed and state.phase not in FINAL:
        yield (
            "completed once",
            f"a deliberation that is {state.phase.value} is said to be completed",
        )
    names = [job.job_id for job in state.jobs()]
    if len(set(names)) != len(names):
        twice = next(
            f"{j.key} as {short(j.job_id)}" for j in state.jobs() if names.count(j.job_id) > 1
        )
        yield "one id, one job", f"two jobs of a deliberation have one id: {twice}"


def lease(state: Deliberation) -> Iterator[Finding]:
    """The lease is what the jobs say, and not overspent."""
    held = state.lease
    reserved = sum(job.slice.tokens for job in state.jobs() if job.ended is None)
    money = sum(job.slice.micro_usd for job in state.jobs() if job.ended is None)
    used = state.usage()
    said = (held.reserved_tokens, held.reserved_micro_usd, held.spent_tokens, held.spent_micro_usd)
    is_ = (reserved, money, used.tokens, used.micro_usd)
    if said != is_:
        yield "lease", f"reserved and spent are {said} of the lease, by the jobs {is_}"
    # What a server bills beyond a job's slice is nobody's promise: it is noted apart.
    overrun = sum(
        max(0, job.ended.usage.tokens - job.slice.tokens)
        for job in state.jobs()
        if job.ended is not None
    )
    if held.overrun_tokens != overrun:
        yield "lease", f"{held.overrun_tokens} tokens over, by the jobs {overrun}"
    if reserved + used.tokens - overrun > held.tokens:
        yield "lease", f"{reserved} + {used.tokens} tokens of a lease of {held.tokens}"
    if not overrun and held.micro_usd and money + used.micro_usd > held.micro_usd:
        yield "lease", f"{money} + {used.micro_usd} micro-dollars of {held.micro_usd}"


def _history(earlier: Deliberation | None, state: Deliberation) -> Iterator[Finding]:
    """What has happened stays as it was."""
    steps = earlier.steps if earlier is not None else ()
    if earlier is not None:
        if state.version < earlier.version:
            yield "history", f"version {state.version} was saved after {earlier.version}"
        ranks = [_ORDER.index(s.phase) if s.phase in _ORDER else 3 for s in (earlier, state)]
        if ranks[1] < ranks[0]:
            yield "history", f"{earlier.phase} became {state.phase}"
    for old, new in zip_longest(steps, state.steps):
        if new is None:
            yield "history", f"step {old.number} {old.name!r} was undone"
        elif old is not None:
            yield from _step(old, new)
        if new is not None and not new.closed_ms and new is not state.steps[-1]:
            yield "history", f"step {new.number} {new.name!r} is open behind a later one"


def _step(old: Step, new: Step) -> Iterator[Finding]:
    name = f"step {old.number} {old.name!r}"
    if old.closed_ms and new.closed_ms != old.closed_ms:
        yield "closed stays closed", f"{name} was closed, and is open again or closed anew"
    if [j.job_id for j in old.jobs] != [j.job_id for j in new.jobs]:
        yield "history", f"{name} has other jobs"
    for was, now in zip(old.jobs, new.jobs, strict=False):
        if was.ended is not None and now.ended != was.ended:
            yield "history", f"{name}: {was.agent_id} had ended, and ended anew or not at all"


def _folded(
    earlier: Deliberation | None, after: Saved, strategies: Mapping[str, Strategy]
) -> Iterator[Finding]:
    """The events saved with a state lead from the state before to it."""
    since = earlier.version if earlier is not None else 0
    fresh = {
        e.sequence: e
        for e in after.unpublished
        if e.sequence > since and e.subject != COMPLETED and "input" in e.data
    }
    wanted = range(since + 1, after.state.version + 1)
    if sorted(fresh) != list(wanted):
        yield "fold", f"events {sorted(fresh)} were saved with versions {list(wanted)}"
        return
    state = earlier
    for sequence in wanted:
        event = fresh[sequence]
        given = from_data(_INPUT, event.data["input"], source=event.event_id)
        state = reduce(state, given, strategies[after.state.protocol.name]).state
    if state != after.state:
        yield "fold", f"the events up to {after.state.version} do not give the state saved"


def plan_saved_after(
    before: PlanRun | None, after: PlanRun, recorded: Collection[str]
) -> Iterator[Finding]:
    """A plan was saved once more; `recorded`: deliberations named by a `context.updated`."""
    earlier = {t.task_id: t for t in before.tasks} if before is not None else {}
    for task in after.tasks:
        was = earlier.get(task.task_id)
        if was is not None and before is not None and before.attempt == after.attempt:
            yield from _task(was, task)
        begins = task.state is TaskState.RUNNING and (was is None or was.state is not task.state)
        if begins:
            for name in after.plan.task(task.task_id).depends_on:
                if after.task(name).deliberation_id not in recorded:
                    yield (
                        "context first",
                        f"task {task.task_id} began before a context.updated for {name}",
                    )


def _task(was: TaskRun, now: TaskRun) -> Iterator[Finding]:
    if was.state in ENDED and now.state is not was.state:
        yield "history", f"task {was.task_id} was {was.state}, and is {now.state}"
    if was.recorded and not now.recorded:
        yield "history", f"task {was.task_id} was recorded, and is not"
    if was.deliberation_id and now.deliberation_id != was.deliberation_id:
        yield "history", f"task {was.task_id} has another deliberation in the same attempt"
