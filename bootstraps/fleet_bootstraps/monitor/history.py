"""All states that a deliberation was in, read from the log when somebody asks."""

from __future__ import annotations

import asyncio
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
from fleet_core.domain.events import DELIBERATION, Event
from fleet_core.domain.job import AgentJob
from fleet_core.errors import DecodeError, InputError, NotFound

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

    Attributes:
        position: of the log, up to which it was read.
        trouble: why it does not go on.
        early: events that came before the one they follow, by version.
        reading: held by who reads on.
    """

    deliberation_id: str
    position: int
    moments: list[Moment] = field(default_factory=list)
    issued: dict[str, AgentJob] = field(default_factory=dict)
    trouble: str = ""
    early: dict[int, Event] = field(default_factory=dict)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def version(self) -> int:
        """The newest that it goes to; 0 for none."""
        return self.moments[-1].version if self.moments else 0

    @property
    def gap(self) -> str:
        """What is missing in between; empty where nothing is."""
        missing = f"version {self.version + 1} is missing in the log"
        return self.trouble or (missing if self.early else "")

    def at(self, version: int = 0) -> Moment:
        """The moment of a version; of the newest for 0. NotFound where there is none."""
        if not self.moments:
            reason = self.gap or "the log does not hold it"
            raise NotFound(f"deliberation {self.deliberation_id}: {reason}")
        if not version:
            return self.moments[-1]
        for moment in self.moments:
            if moment.version == version:
                return moment
        newest = self.moments[-1].version
        raise NotFound(f"there is no version {version}", f"versions go from 1 to {newest}")


class Histories:
    """Reads histories, and keeps the few that were asked for last; they are read on, not anew."""

    def __init__(self, log: Log, strategies: Strategies) -> None:
        self._log, self._strategies = log, strategies
        self._kept: OrderedDict[str, History] = OrderedDict()

    async def of(self, tracked: Tracked) -> History:
        """The history as far as the log goes now."""
        history = self._kept.get(tracked.deliberation_id)
        if history is None:
            history = History(tracked.deliberation_id, tracked.before)
            self._kept[tracked.deliberation_id] = history
        self._kept.move_to_end(tracked.deliberation_id)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        async with history.reading:
            if history.version < tracked.sequence and not history.trouble:
                await self._read_on(history, tracked.sequence)
        return history

    async def _read_on(self, history: History, newest: int) -> None:
        replayed = cast("Any", self._log.replay(_SUBJECTS, after=history.position))
        async with aclosing(replayed) as events:
            async for stored in events:
                if stored.event.data.get("deliberation_id") == history.deliberation_id:
                    await self._take(history, stored.event)
                history.position = stored.position
                if history.trouble or history.version >= newest:
                    return

    async def _take(self, history: History, event: Event) -> None:
        if not carries_input(event):
            return
        try:
            data = await self._log.opened(event.data)
        except (NotFound, DecodeError) as error:
            history.trouble = str(error)
            return
        history.early.setdefault(event.sequence, replace(event, data=data))
        self._fold(history)

    def _fold(self, history: History) -> None:
        while (event := history.early.pop(history.version + 1, None)) is not None:
            state = history.moments[-1].state if history.moments else None
            try:
                reduction = folded(state, event, self._strategies)
            except InputError as error:
                history.trouble = str(error)
                return
            history.moments.append(_moment(event, reduction.state))
            for command in reduction.commands:
                if isinstance(command, SubmitJobs):
                    history.issued |= {job.job_id: job for job in command.jobs}


def _moment(event: Event, state: Deliberation) -> Moment:
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
