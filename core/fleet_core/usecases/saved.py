"""A deliberation as it is saved: its state, and the events that may not be published yet.

State and events are one document, written by one compare-and-set together with the jobs of a step
that it opens and with its open deadline; only then is any of it carried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.commands import CancelJobs, Command, GetPack, Publish, SubmitJobs
from fleet_core.domain.deliberation import FINAL, Deliberation, Phase
from fleet_core.domain.events import Event
from fleet_core.domain.job import AgentJob
from fleet_core.ports.state_store import Delete, Document, Put, Write
from fleet_core.usecases import keys
from fleet_core.usecases.documents import dump, load


@dataclass(frozen=True, slots=True)
class Saved:
    """What is in the store.

    Attributes:
        version: the document's; 0 where there is none yet.
        unpublished: events of this and earlier versions that may not have been published.
        due_ms: where the open deadline is kept; 0 for nowhere.
    """

    state: Deliberation
    version: int
    unpublished: tuple[Event, ...] = ()
    due_ms: int = 0


def read(document: Document) -> Saved:
    """What a document holds; DecodeError names its key and the field."""
    data = load(document)
    return Saved(
        from_data(Deliberation, data.get("state"), source=document.key, at="state"),
        document.version,
        tuple(from_data(Event, e, source=document.key) for e in data.get("events", ())),
        int(data.get("due", 0)),
    )


def writes(before: Saved | None, after: Saved, commands: Sequence[Command]) -> list[Write]:
    """The one commit that saves `after`."""
    state = after.state
    data: dict[str, Any] = {"state": to_data(state), "due": after.due_ms}
    if after.unpublished:
        data["events"] = [to_data(event) for event in after.unpublished]
    key = keys.deliberation(state.deliberation_id)
    out: list[Write] = [Put(key, dump(data), before.version if before is not None else 0)]
    for command in commands:
        if isinstance(command, SubmitJobs):
            jobs = dump([to_data(job) for job in command.jobs])
            out.append(Put(keys.jobs(state.deliberation_id, command.step), jobs))
    armed = before.due_ms if before is not None else 0
    if after.due_ms != armed:
        out.append(Put(keys.due(after.due_ms, state.deliberation_id), b""))
        if armed:
            out.append(Delete(keys.due(armed, state.deliberation_id)))
    return out


def next_due(state: Deliberation, now_ms: int, again_ms: int) -> int:
    """When to look at a deliberation again: its next deadline, or sooner to submit again."""
    step = state.open_step
    waits = [state.lease.deadline_ms]
    if step is not None and step.deadline_ms > now_ms:
        waits.append(step.deadline_ms)
    if state.phase not in FINAL:
        waits.append(now_ms + again_ms)
    return min(waits)


def unfinished(state: Deliberation, jobs: Sequence[AgentJob]) -> list[Command]:
    """What a saved state still calls for, besides its unpublished events; each is idempotent.

    Args:
        state: as saved.
        jobs: all its jobs, as issued.
    """
    if state.phase is Phase.PENDING:
        return [GetPack()]
    waiting = {job.job_id for job in state.outstanding}
    if not waiting:
        return []
    if state.phase in FINAL:
        return [CancelJobs(tuple(sorted(waiting)))]
    steps = [
        SubmitJobs(step.number, tuple(j for j in jobs if j.job_id in waiting & _ids(step.jobs)))
        for step in state.steps
    ]
    return [step for step in steps if step.jobs]


def _ids(jobs: Sequence[Any]) -> set[str]:
    return {job.job_id for job in jobs}


def events_of(commands: Sequence[Command]) -> tuple[Event, ...]:
    """The events among commands, in order."""
    return tuple(c.event for c in commands if isinstance(c, Publish))
