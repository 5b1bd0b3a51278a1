"""The world of one scenario: its plan and its script, and the fleet in an event loop of its own.

Steps are plain functions; what has to be awaited goes through a portal into that loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from anyio.from_thread import BlockingPortal

from fleet_adapters.scripted.server import ScriptedServer
from fleet_bootstraps.plans import parse_plan
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.events import Event
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.domain.plan_run import PlanRun, TaskRun
from fleet_core.errors import NotFound
from fleet_features.observing import calls_by_place, events_of, kept_calls, prompts_of
from fleet_features.place import Apart, Asked, Commanded, Door, Kept, Place, Told
from fleet_features.profiles import ROLES, ProfileSource

T = TypeVar("T")
WITHIN_S = 20.0
ANOTHER = "another"
_OTHER = Plan("another", "Another story", (Task(ANOTHER, "Another task", "DEV"),))
_LOOK_S = 0.01
TERMS: Mapping[str, Any] = {"deliberation.sweep_ms": 25}
"""Deadlines are looked at often, so that scenarios about them are quick."""


class SupportsClose(Protocol):
    """Something that ends by `close`."""

    def close(self) -> object:
        """End it."""


@dataclass
class World(Told):
    """What steps act on.

    Attributes:
        source: the profile under test.
        place: where its fleet runs.
        within_s: how long anything is waited for.
        notes: what one step leaves for another.
    """

    source: ProfileSource = field(kw_only=True)
    place: Place = field(kw_only=True)
    within_s: float = WITHIN_S
    notes: dict[str, Any] = field(default_factory=dict)
    _fleet: Door | None = None
    _closing: ExitStack = field(default_factory=ExitStack)
    _serving: ExitStack = field(default_factory=ExitStack)
    _server: ScriptedServer | None = None
    _commanded: bool = False

    @staticmethod
    @contextmanager
    def opened(
        source: ProfileSource, place: Place, folder: Path, environ: Mapping[str, str]
    ) -> Iterator[World]:
        """A world for as long as it is held; whatever it started ends with it."""
        world = World(folder, environ, dict(TERMS), source=source, place=place)
        with world._serving, world._closing:
            yield world

    @property
    def plan(self) -> Plan:
        """The plan, through the same door as a file."""
        return parse_plan(self.plan_text.encode(), "the scenario's plan", ROLES)

    @property
    def fleet(self) -> Door:
        """The fleet; opened at first use."""
        if self._fleet is None:
            self._serve()
            opening: AbstractContextManager[Door] = self.portal.wrap_async_context_manager(
                self.place.fleet(self)
            )
            self._fleet = self._closing.enter_context(opening)
        return self._fleet

    @property
    def server(self) -> ScriptedServer:
        """The server of the script; only where the profile's model is called over HTTP."""
        if self._server is None:
            serving: AbstractContextManager[ScriptedServer] = (
                self.portal.wrap_async_context_manager(self.place.model(self))
            )
            self._server = self._serving.enter_context(serving)
        return self._server

    @property
    def portal(self) -> BlockingPortal:
        """Into the loop in which the fleet is used."""
        return self.place.portal

    def _serve(self) -> None:
        """See that the script is served before anybody asks for it."""
        if not self.live and not self.source.scripted:
            assert self.server

    def apart(self) -> Apart:
        """Run the plan in processes that can be killed."""
        self._serve()
        apart = self.place.apart(self)
        self.keep(apart)
        return apart

    def commanded(self) -> Commanded:
        """What a command needs to work on the scenario's fleet."""
        self._serve()
        self._commanded = True
        return self.place.commanded(self)

    def look(self, act: Callable[[Kept], Awaitable[T]]) -> T:
        """Look at what is kept, whether or not the fleet runs."""
        self._serve()
        opening = self.place.looking(self)

        async def looked() -> T:
            async with opening as kept:
                return await act(kept)

        return self.portal.call(looked)

    def kept(self) -> set[str]:
        """Headers of the calls whose answers are kept."""
        return self.look(lambda kept: kept_calls(kept.state))

    def asked(self, task_id: str) -> Asked:
        """What the fleet's services say of a task."""
        identity = self.task(task_id).deliberation_id
        return self.call(self.place.asked, self.fleet, identity)

    def calls_if_seen(self) -> Counter[str]:
        """`calls`, where the fleet that made them runs elsewhere."""
        if self._server is None:  # it keeps nothing that could be read from here
            return Counter()
        return self.calls()

    def close_fleet(self) -> None:
        """End the fleet in good order; the next use opens it anew over what it kept."""
        self._closing.close()
        self._fleet = None
        self.portal.call(self.place.end)

    def call(self, act: Callable[..., Awaitable[T]], *given: Any, **named: Any) -> T:
        """Await something in the fleet's loop."""

        async def awaited() -> T:
            return await act(*given, **named)

        return self.portal.call(awaited)

    def until(self, what: str, look: Callable[[], Awaitable[T | None]]) -> T:
        """What `look` gives once it gives something; fails, saying `what`, when time is up."""

        async def wait() -> T:
            async with asyncio.timeout(self.within_s):
                while (found := await look()) is None:  # noqa: ASYNC110 -- seen from outside
                    await asyncio.sleep(_LOOK_S)
            return found

        try:
            return self.portal.call(wait)
        except TimeoutError:
            raise AssertionError(f"after {self.within_s:g} s still not: {what}") from None

    def approve(self, *, fresh: bool = False) -> PlanRun | None:
        """Hand the plan in; what the fleet says of it."""
        return self.call(self.fleet.plans.approve, self.plan, fresh=fresh)

    def run_another(self) -> None:
        """Run a further plan to its end: what was asked of the fleet before has been heard."""
        self.call(self.fleet.plans.approve, _OTHER, fresh=True)
        self.settle(_OTHER)

    def another(self) -> PlanRun:
        """The run of that further plan."""
        return self.call(self.fleet.plans.get, plan_id(_OTHER))

    def keep(self, closing: SupportsClose) -> None:
        """Close something at the end of the scenario."""
        self._serving.callback(closing.close)

    def run(self) -> PlanRun:
        """The plan's run, as it stands."""
        return self.call(self.fleet.plans.get, plan_id(self.plan))

    def settle(self, plan: Plan | None = None) -> PlanRun:
        """Wait for the end of the scenario's plan, or of another."""
        identity, plans = plan_id(plan or self.plan), self.fleet.plans

        async def settled() -> PlanRun | None:
            try:
                run = await plans.get(identity)
            except NotFound:
                return None
            return run if run.settled else None

        return self.until("the plan has ended", settled)

    def task(self, task_id: str) -> TaskRun:
        """A task's run."""
        return self.run().task(task_id)

    def deliberation(self, task_id: str) -> Deliberation:
        """A task's deliberation, as it stands."""
        return self.call(self.fleet.deliberate.get, self.task(task_id).deliberation_id)

    def events(self, *subjects: str) -> list[Event]:
        """The log, or what of it is about some subjects."""
        return self.call(events_of, self.fleet.bus, subjects or (">",))

    @property
    def started(self) -> bool:
        """Whether the fleet is open."""
        return self._fleet is not None

    @property
    def ran(self) -> bool:
        """Whether a fleet, or a command, worked on its plan with the script."""
        return not self.live and (self.started or self._commanded)

    def prompts_sent(self, task_id: str) -> bool:
        """Whether anything was asked about a task."""
        marked = f'"task":"{task_id}"'
        return any(marked in place for place in self.calls())

    def prompts(self, task_id: str) -> list[str]:
        """What the agents of a task were asked, as it arrived at the model."""
        if self._server is not None:
            marked = f'"task":"{task_id}"'
            return [asked.prompt for asked in self._server.seen if marked in asked.header]
        return self.call(prompts_of, self.fleet.state, self.task(task_id).deliberation_id)

    def calls(self) -> Counter[str]:
        """Model calls so far by the place they were made at, retries counted.

        Those of `run_another` are not among them.
        """
        if self._server is not None:
            counts = Counter(self._server.calls)
        else:
            counts = self.call(calls_by_place, self.fleet.state)
        return Counter({at: n for at, n in counts.items() if f'"task":"{ANOTHER}"' not in at})
