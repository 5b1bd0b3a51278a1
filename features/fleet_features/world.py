"""The world of one scenario: its plan and its script, and the fleet in an event loop of its own.

Steps are plain functions; what has to be awaited goes through a portal into that loop.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from fleet_adapters.scripted.server import ScriptedServer, serve_script
from fleet_bootstraps.fleet import Fleet, open_fleet, system_clock
from fleet_bootstraps.layers import home
from fleet_bootstraps.plans import parse_plan
from fleet_bootstraps.secrets import secrets_from
from fleet_core.domain.deliberation import Deliberation
from fleet_core.domain.events import Event
from fleet_core.domain.plan import Plan, Task, plan_id
from fleet_core.domain.plan_run import PlanRun, TaskRun
from fleet_core.errors import NotFound
from fleet_features.answers import ScriptBook
from fleet_features.observing import calls_by_place, events_of, prompts_of
from fleet_features.profiles import ROLES, ProfileSource
from fleet_plugins.api import FactoryContext

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
class World:
    """What steps act on.

    Attributes:
        source: the profile under test.
        folder: a folder of the scenario's own; FLEET_HOME lies in it.
        environ: where secrets come from.
        terms: settings by `table.key`, over the defaults.
        book: the script.
        plan_text: what is put before the fleet, YAML.
        live: the profile's own model answers, instead of the script.
        within_s: how long anything is waited for.
        notes: what one step leaves for another.
    """

    source: ProfileSource
    folder: Path
    environ: Mapping[str, str]
    portal: BlockingPortal
    terms: dict[str, Any] = field(default_factory=lambda: dict(TERMS))
    book: ScriptBook = field(default_factory=ScriptBook)
    plan_text: str = ""
    live: bool = False
    within_s: float = WITHIN_S
    notes: dict[str, Any] = field(default_factory=dict)
    _fleet: Fleet | None = None
    _closing: ExitStack = field(default_factory=ExitStack)
    _serving: ExitStack = field(default_factory=ExitStack)
    _server: ScriptedServer | None = None

    @staticmethod
    @contextmanager
    def opened(source: ProfileSource, folder: Path, environ: Mapping[str, str]) -> Iterator[World]:
        """A world for as long as it is held; whatever it started ends with it."""
        with start_blocking_portal() as portal:
            world = World(source, folder, environ, portal)
            with world._serving, world._closing:
                yield world

    @property
    def home(self) -> Path:
        """FLEET_HOME."""
        return self.folder / "home"

    @property
    def plan(self) -> Plan:
        """The plan, through the same door as a file."""
        return parse_plan(self.plan_text.encode(), "the scenario's plan", ROLES)

    @property
    def fleet(self) -> Fleet:
        """The fleet; opened at first use."""
        if self._fleet is None:
            context = FactoryContext(system_clock, secrets_from(self.environ), self.home)
            opening: AbstractContextManager[Fleet] = self.portal.wrap_async_context_manager(
                open_fleet(self._profile(), context)
            )
            self._fleet = self._closing.enter_context(opening)
        return self._fleet

    @property
    def server(self) -> ScriptedServer:
        """The server of the script; only where the profile's model is called over HTTP."""
        if self._server is None:
            serving = self.portal.wrap_async_context_manager(serve_script(self.book.script()))
            self._server = self._serving.enter_context(serving)
        return self._server

    def _profile(self) -> Any:
        if self.live:
            return self.source.with_terms(self.terms | self.source.kept_models(home(self.environ)))
        if self.source.scripted:
            return self.source.with_terms(self.terms, script=self._written_script())
        return self.source.with_terms(self.terms, base_url=self.server.base_url)

    def told_terms(self) -> dict[str, Any]:
        """The terms and the model, as settings for a profile file."""
        if self.source.scripted:
            return {**self.terms, "model.script": str(self._written_script())}
        model = {"use": "openai", "base_url": self.server.base_url, "model": "scripted"}
        return {**self.terms, **{f"model.{key}": value for key, value in model.items()}}

    def kept_calls(self) -> Counter[str]:
        """`calls`, where the fleet that made them runs elsewhere."""
        if self._server is None:  # it keeps nothing that could be read from here
            return Counter()
        return self.calls()

    def _written_script(self) -> Path:
        path = self.folder / "script.json"
        path.write_text(json.dumps(self.book.data()), encoding="utf-8")
        return path

    def close_fleet(self) -> None:
        """End the fleet in good order; the next use opens it anew over what it kept."""
        self._closing.close()
        self._fleet = None

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
