"""All states that a deliberation was in, read from the log when somebody asks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, cast

from fleet_bootstraps.monitor.folding import Strategies, carries_input, folded
from fleet_bootstraps.monitor.log import Log
from fleet_bootstraps.monitor.tracked import Tracked
from fleet_core.domain.commands import SubmitJobs
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.events import DELIBERATION
from fleet_core.domain.job import AgentJob
from fleet_core.errors import InputError, NotFound

KEPT = 8
_SUBJECTS = (f"{DELIBERATION}.>",)


@dataclass(frozen=True, slots=True)
class Moment:
    """One version of a deliberation: what was reduced, when, and the state after it."""

    version: int
    at_ms: int
    subject: str
    input: str
    about: str
    state: Deliberation


@dataclass(slots=True)
class History:
    """Its moments in order, and every job that it issued.

    `trouble` says why it does not go on to the newest version.
    """

    deliberation_id: str
    moments: list[Moment] = field(default_factory=list)
    issued: dict[str, AgentJob] = field(default_factory=dict)
    trouble: str = ""

    def at(self, version: int = 0) -> Moment:
        """The moment of a version; of the newest for 0. NotFound where there is none."""
        if not self.moments:
            reason = self.trouble or "the log does not hold it"
            raise NotFound(f"deliberation {self.deliberation_id}: {reason}")
        if not version:
            return self.moments[-1]
        for moment in self.moments:
            if moment.version == version:
                return moment
        newest = self.moments[-1].version
        raise NotFound(f"there is no version {version}", f"versions go from 1 to {newest}")


class Histories:
    """Reads histories, and keeps the few that were asked for last."""

    def __init__(self, log: Log, strategies: Strategies) -> None:
        self._log, self._strategies = log, strategies
        self._kept: OrderedDict[tuple[str, int], History] = OrderedDict()

    async def of(self, tracked: Tracked) -> History:
        """The history as far as the log goes now."""
        key = (tracked.deliberation_id, tracked.sequence)
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        history = await self._read(tracked, key[1])
        if not history.moments or history.moments[-1].version == key[1]:
            self._kept[key] = history
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return history

    async def _read(self, tracked: Tracked, newest: int) -> History:
        history = History(tracked.deliberation_id)
        state: Deliberation | None = None
        early: dict[int, Any] = {}
        replayed = cast("Any", self._log.replay(_SUBJECTS, after=tracked.before))
        async with aclosing(replayed) as events:
            async for stored in events:
                event = stored.event
                if event.data.get("deliberation_id") != tracked.deliberation_id:
                    continue
                opened = replace(event, data=await self._log.opened(event.data))
                if carries_input(opened):
                    early.setdefault(opened.sequence, opened)
                version = state.version if state is not None else 0
                while (following := early.pop(version + 1, None)) is not None:
                    try:
                        reduction = folded(state, following, self._strategies)
                    except InputError as error:
                        history.trouble = str(error)
                        return history
                    state = reduction.state
                    version = state.version
                    history.moments.append(_moment(following, state))
                    for command in reduction.commands:
                        if isinstance(command, SubmitJobs):
                            history.issued |= {job.job_id: job for job in command.jobs}
                if version >= newest:
                    break
        if early:
            history.trouble = f"version {version + 1} is missing in the log"
        return history


def _moment(event: Any, state: Deliberation) -> Moment:
    given = event.data["input"]
    return Moment(
        event.sequence,
        event.time_ms,
        event.subject,
        str(given.get("kind", "")),
        _about(given, state),
        state,
    )


def _about(given: Any, state: Deliberation) -> str:
    """One line for the slider."""
    kind = given.get("kind")
    if kind == "result":
        job_id = given["result"]["job_id"]
        for job in state.jobs():
            if job.job_id == job_id:
                outcome = job.ended.outcome.value if job.ended is not None else ""
                return f"{job.key.step} of {job.agent_id}: {outcome}"
    words = {
        "start": "the task was put to the council",
        "pack": "the context pack came",
        "pack-refused": "the context pack was refused",
        "due": "a deadline came",
        "cancel": "it was cancelled",
        "extend": "its lease was raised",
    }
    return words.get(str(kind), str(kind))


def moments_data(moments: Sequence[Moment]) -> list[dict[str, Any]]:
    """The moments as JSON data, without their states."""
    return [
        {
            "version": m.version,
            "at_ms": m.at_ms,
            "event": m.subject.rsplit(".", 1)[-1],
            "input": m.input,
            "about": m.about,
            "state": m.state.phase.value,
            "step": m.state.open_step.name if m.state.open_step is not None else "",
        }
        for m in moments
    ]
