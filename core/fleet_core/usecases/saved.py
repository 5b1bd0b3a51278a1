"""A deliberation as it is saved: its state, and the events that may not be published yet.

State and events are one document, written by one compare-and-set together with the jobs of a step
that it opens and with its open deadline; only then is any of it carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from dataclasses import field as dataclass_field
from typing import Any, cast

from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.commands import CancelJobs, Command, GetPack, Publish, SubmitJobs
from fleet_core.domain.deliberation import FINAL, Deliberation, JobRecord, Phase
from fleet_core.domain.events import MAX_INLINE_BYTES, Event
from fleet_core.domain.inputs import ResultArrived
from fleet_core.domain.job import AgentJob, AgentResult
from fleet_core.ports.state_store import Delete, Document, Put, Write
from fleet_core.usecases import keys
from fleet_core.usecases.documents import dump, load

_PARTS = ("task", "council", "protocol", "lease", "pack", "decision", "failure")
"""The members of a state that are dataclasses; `steps` holds more of them."""
_PLAIN = tuple(
    (f.name, f.default) for f in fields(Deliberation) if f.name not in {*_PARTS, "steps"}
)


class Fragments:
    """Encodes a state with `dump`, keeping the bytes of parts that are the same objects as before.

    A state is saved several times, and between two saves only its last step and its lease change.
    `size` is that of the last dump in bytes, and not smaller than any event of that state; before
    the first one it is unknown, and taken for large.
    """

    def __init__(self, dump: Callable[[Any], bytes] = dump) -> None:
        self.encode = dump
        self.size = 2 * MAX_INLINE_BYTES
        self._kept: dict[int, tuple[object, bytes]] = {}

    def dump(self, state: Deliberation) -> bytes:
        """The JSON object of a state, as `to_data` gives it but for the order of its keys."""
        used: dict[int, tuple[object, bytes]] = {}
        plain = {
            name: value
            for name, default in _PLAIN
            if (value := getattr(state, name)) is not default and value != default
        }
        members = [self.encode(plain)[1:-1]]
        for name in _PARTS:
            value = getattr(state, name)
            if value is not None:
                members.append(b'"%s":%s' % (name.encode(), self._part(value, used)))
        if state.steps:
            steps = b",".join([self._part(step, used) for step in state.steps])
            members.append(b'"steps":[%s]' % steps)
        self._kept = used
        dumped = b"{" + b",".join(members) + b"}"
        self.size = len(dumped)
        return dumped

    def _part(self, part: object, used: dict[int, tuple[object, bytes]]) -> bytes:
        kept = self._kept.get(id(part)) or (part, self.encode(to_data(part)))
        used[id(part)] = kept
        return kept[1]


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
    fragments: Fragments = dataclass_field(default_factory=Fragments, compare=False, repr=False)


def read(document: Document) -> Saved:
    """What a document holds; DecodeError names its key and the field."""
    data = load(document)
    state = from_data(Deliberation, data.get("state"), source=document.key, at="state")
    events = tuple(
        from_data(Event, _whole(event, state), source=document.key)
        for event in data.get("events", ())
    )
    return Saved(state, document.version, events, int(data.get("due", 0)))


def _brief(event: Event) -> dict[str, Any]:
    """An event as it is saved: a result that it holds stands in the state beside it already."""
    data = to_data(event)
    given = event.data.get("input")
    if given is not None and given["kind"] == ResultArrived.KIND:
        brief = {"now_ms": given["now_ms"], "job_id": given["result"]["job_id"]}
        data["data"] = {**event.data, "input": brief}
    return cast("dict[str, Any]", data)


def _whole(data: dict[str, Any], state: Deliberation) -> dict[str, Any]:
    """What `_brief` was made from."""
    given = data["data"].get("input")
    if given is None or "job_id" not in given:
        return data
    job = next(j for j in state.jobs() if j.job_id == given["job_id"])
    arrived = ResultArrived(given["now_ms"], result_of(state, job))
    return {**data, "data": {**data["data"], "input": to_data(arrived)}}


def result_of(state: Deliberation, job: JobRecord) -> AgentResult:
    """The result that an ended job was reduced from; ValueError where it has not ended."""
    ended = job.ended
    if ended is None:
        raise ValueError(f"job {job.job_id} has not ended")
    return AgentResult(
        job.job_id,
        state.deliberation_id,
        state.token,
        job.key,
        ended.outcome,
        ended.text,
        ended.finish,
        ended.evidence,
        ended.usage,
        ended.duration_ms,
        ended.failure,
    )


def writes(before: Saved | None, after: Saved, commands: Sequence[Command]) -> list[Write]:
    """The one commit that saves `after`."""
    state = after.state
    rest: dict[str, Any] = {"due": after.due_ms}
    if after.unpublished:
        rest["events"] = [_brief(event) for event in after.unpublished]
    key = keys.deliberation(state.deliberation_id)
    fragments = after.fragments
    value = b'{"state":' + fragments.dump(state) + b"," + fragments.encode(rest)[1:]
    out: list[Write] = [Put(key, value, before.version if before is not None else 0)]
    for command in commands:
        if isinstance(command, SubmitJobs):
            jobs = fragments.encode([to_data(job) for job in command.jobs])
            out.append(Put(keys.jobs(state.deliberation_id, command.step), jobs))
    armed = before.due_ms if before is not None else 0
    if after.due_ms != armed:
        if after.due_ms:
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
