"""Kills `fleet run` in the middle of a plan and starts it again, and reads what is left behind.

The model is a server in this process that answers from a hash of the request and counts. A kill
comes when something has been observed, never after a time: when so many events are in the log, or
so many calls have been asked.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fleet_adapters.scripted.answering import HashedAnswers
from fleet_adapters.scripted.server import ScriptedServer, serve
from fleet_bootstraps.cli.session import session
from fleet_core.domain.events import DEAD
from fleet_core.domain.job import ModelCall
from fleet_core.domain.job_header import format_header
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_features.canonical import Log, canonical_log
from fleet_features.observing import ends_of, issued, journaled, opened_log
from fleet_features.victim import Victim
from fleet_plugins.api import PortName

_LOOK_S = 0.005
_WAIT_S = 60.0
_RUN = "from fleet_bootstraps.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Point:
    """Where a run is killed: at that share of its way, by events or by calls."""

    share: float
    by: str


@dataclass(frozen=True, slots=True)
class Left:
    """What a run left in its FLEET_HOME.

    Attributes:
        tasks: of each task its state, winner, standing, attempt and whether it is recorded.
        log: the event log, canonical.
        events: how many there are, of all subjects.
        kept: headers of the calls whose answers are journaled.
        lost: jobs that were issued and have no journaled result.
        dead: reasons of dead letters.
    """

    tasks: Mapping[str, tuple[str, str, str, int, bool]]
    log: Log
    events: int
    kept: Counter[str]
    lost: int
    dead: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ground:
    """Where runs take place.

    Attributes:
        plan: a plan file.
        sets: settings over the profile `embedded`, besides the model's.
        server: the model.
    """

    plan: Path
    sets: tuple[str, ...]
    server: ScriptedServer

    def _sets(self) -> list[str]:
        model = ("use=openai", f"base_url={self.server.base_url}", "model=scripted")
        return [*(f"model.{each}" for each in model), *self.sets]

    def start(self, home: Path) -> Victim:
        """`fleet run` over a FLEET_HOME."""
        home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", _RUN, "run", str(self.plan)]
        for entry in self._sets():
            command += ["--set", entry]
        return Victim(command, home / "said.log", {"FLEET_HOME": str(home)})

    @asynccontextmanager
    async def looking(self, home: Path) -> AsyncIterator[Look]:
        """The log and the stores of a FLEET_HOME, seen from this process."""
        home.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 -- nothing else runs here yet
        ports = (PortName.BUS, PortName.STATE, PortName.BLOBS)
        async with session("embedded", self._sets(), home).ports(*ports) as found:
            yield Look(*(found[port] for port in ports))


@dataclass(frozen=True, slots=True)
class Look:
    """Reads a FLEET_HOME; leaves no trace in it."""

    bus: EventBus
    state: StateStore
    blobs: BlobStore

    async def count(self) -> int:
        """Events so far."""
        return sum([1 async for _ in self.bus.replay([">"])])

    async def left(self) -> Left:
        """Everything."""
        events = await opened_log(self.bus, self.blobs)
        results = await journaled(self.state)
        jobs = await issued(self.state)
        kept = Counter(
            format_header(job)
            for job in jobs
            if isinstance(job.work, ModelCall) and job.job_id in results
        )
        lost = sum(job.job_id not in results for job in jobs)
        dead = tuple(str(e.data["reason"]) for e in events if e.subject.startswith(f"{DEAD}."))
        return Left(await ends_of(self.state), canonical_log(events), len(events), kept, lost, dead)


@asynccontextmanager
async def ground(plan: Path, sets: tuple[str, ...], delay_ms: int) -> AsyncIterator[Ground]:
    """A server that answers from a hash after a delay, and what runs need besides it."""
    async with serve(HashedAnswers(delay_ms), keep_seen=False) as server:
        yield Ground(plan, sets, server)


async def to_end(place: Ground, home: Path) -> None:
    """Run to the end, without a kill.

    Raises:
        AssertionError: it does not end, or not with 0; says what it printed.
    """
    victim = place.start(home)
    try:
        async with asyncio.timeout(_WAIT_S):
            while victim.ended is None:  # noqa: ASYNC110 -- another process's end
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise AssertionError(f"the run does not end; it said:\n{victim.said}") from None
    finally:
        victim.close()
    assert victim.ended == 0, f"exit code {victim.ended}; it said:\n{victim.said}"


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill.

    Attributes:
        seen: events in the log, places asked, and calls in all, when it was decided on.
        in_flight: calls asked whose answer was not journaled, by header.
        answered: how many of them the server had answered.
        ended: the run had ended before the kill.
    """

    seen: tuple[int, int, int]
    in_flight: Counter[str]
    answered: int
    ended: bool


async def killed(place: Ground, home: Path, point: Point, whole: tuple[int, int]) -> Kill:
    """Start, and kill once the point is reached; where it was before, at the next thing seen.

    Args:
        place: the servers and the plan.
        home: FLEET_HOME of the run.
        point: how far.
        whole: events and calls of an undisturbed run.
    """
    index = 0 if point.by == "events" else 1
    target = max(1, round(point.share * whole[index]))
    asked_before, cancelled_before = Counter(place.server.calls), place.server.cancelled
    async with place.looking(home) as look:
        seen = before = await _seen(place, look)
        victim = place.start(home)
        try:
            async with asyncio.timeout(_WAIT_S):
                while victim.ended is None:
                    seen = await _seen(place, look)
                    if seen[index] >= target and seen != before:
                        break
                    await asyncio.sleep(_LOOK_S)
            ended = victim.ended is not None
        finally:
            victim.close()
        await place.server.until(lambda server: server.in_flight == 0)
        kept = (await look.left()).kept
    asked = Counter(place.server.calls)
    asked.subtract(asked_before)
    in_flight = Counter({at: 1 for at, n in asked.items() if n > 0 and at not in kept})
    answered = in_flight.total() - (place.server.cancelled - cancelled_before)
    return Kill(seen, in_flight, answered, ended)


async def _seen(place: Ground, look: Look) -> tuple[int, int, int]:
    return await look.count(), len(place.server.calls), place.server.total


def points(seed: int, number: int) -> list[Point]:
    """Random points of a run, in order."""
    draw = Random(seed)
    shares = sorted(draw.random() for _ in range(number))
    return [Point(share, draw.choice(("events", "calls"))) for share in shares]
