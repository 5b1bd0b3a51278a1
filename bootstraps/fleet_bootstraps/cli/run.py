"""`fleet run`: an approved plan to recorded decisions."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_bootstraps.cli.logs import LineHandler
from fleet_bootstraps.cli.outcome import Exit, say
from fleet_bootstraps.cli.output import emit, line, table
from fleet_bootstraps.cli.planned import Planned, planned
from fleet_bootstraps.cli.ready import require_models
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.fleet import Orchestrator, running_orchestrator
from fleet_bootstraps.progress.plain import PlainProgress
from fleet_bootstraps.progress.speech import Speech
from fleet_bootstraps.progress.watch import Snapshot, Watch, read
from fleet_bootstraps.report import folder as folders
from fleet_bootstraps.report.data import RunOutcome, report
from fleet_bootstraps.services.roles import Role, ports_of
from fleet_core.domain.plan_run import PlanRun
from fleet_core.errors import FleetError
from fleet_core.ports.token_stream import TokenStream
from fleet_core.usecases import keys
from fleet_plugins.api import PortName

_LAST_LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `fleet run` was told besides plan and profile."""

    fresh: bool = False
    follow: bool = False
    as_json: bool = False
    quiet: bool = False
    monitor: bool = False
    command: str = "the same command"


async def run(opened: Session, plan: str, options: RunOptions) -> Exit:
    """Everything that can be refused is refused before anything is opened."""
    given = planned(opened, plan)
    if opened.profile.durable:
        async with opened.state() as state:
            before = await read(state, given.plan_id)
        if before.run is not None and before.run.decided and not options.fresh:
            return _decided_already(opened, before.run, before, options)
    progress = _progress(options)
    with LineHandler.saying(progress.say):
        async with progress.shown():
            return await _Running(opened, given, options, progress).work()


def _decided_already(
    opened: Session, run_: PlanRun, snapshot: Snapshot, options: RunOptions
) -> Exit:
    where = folders.run_folder(opened.home, run_.plan_id, run_.attempt)
    data = report(run_, snapshot.states, RunOutcome.DECIDED, opened.context.clock())
    path = where / "report.md"
    if not path.is_file():
        path = folders.write(where, data)
    if not options.as_json:
        say("this plan is decided already; no call was made (--fresh deliberates anew)")
    _result(data, path, options)
    return Exit.DONE


def _progress(options: RunOptions) -> Any:
    if options.quiet or options.as_json or not sys.stderr.isatty():
        return PlainProgress(quiet=options.quiet)
    from fleet_bootstraps.progress.live import LiveProgress  # noqa: PLC0415 -- for terminals only

    return LiveProgress()


class _Running:
    """One run of a plan in this process."""

    def __init__(self, opened: Session, given: Planned, options: RunOptions, progress: Any) -> None:
        self._session = opened
        self._planned = given
        self._options = options
        self._progress = progress
        self._path: Path | None = None

    async def work(self) -> Exit:
        self._progress.say(f"opening profile {self._session.profile.name}")
        profile, clock = self._session.profile, self._session.context.clock
        # Where the executor is a service, models and checks are its affair.
        only = ports_of(Role.ORCHESTRATOR, profile.bindings)
        async with stoppable(), self._session.ports(*only) as ports:
            if PortName.RUNNER in ports:
                await require_models(ports[PortName.MODEL], self._planned.models)
                await self._warn_of_checks(ports)
            async with running_orchestrator(profile, clock, ports) as fleet:
                if not self._options.monitor:
                    return await self._deliberate(fleet)
                async with self._monitored(ports, fleet):
                    return await _until_interrupted(await self._deliberate(fleet))

    @asynccontextmanager
    async def _monitored(
        self, ports: Mapping[PortName, Any], fleet: Orchestrator
    ) -> AsyncIterator[None]:
        """The monitor in this process, where agents can be heard and jobs be killed."""
        from fleet_bootstraps.monitor.opening import (  # noqa: PLC0415 -- when it is asked for
            access_of,
            fleet_site,
        )
        from fleet_bootstraps.monitor.serving import (  # noqa: PLC0415 -- as above
            Followed,
            served_monitor,
        )

        profile, context = self._session.profile, self._session.context
        settings = profile.settings.service(Role.MONITOR)
        async with (
            fleet_site(
                profile, context, ports, access_of(settings, context), executor=fleet.executor
            ) as site,
            served_monitor(site, settings, Followed(site.feed)) as address,
        ):
            self._progress.say(f"the monitor is at http://{address}/")
            yield

    async def _warn_of_checks(self, ports: Mapping[PortName, Any]) -> None:
        wanted = {c.kind for task in self._planned.plan.tasks for c in task.checks}
        for kind in sorted(wanted):
            check = ports[PortName.CHECK].get(kind)
            if check is None:
                self._progress.say(f"warning: no adapter runs the check {kind!r} of this plan")
            elif why := await check.available():
                self._progress.say(f"warning: the check {kind} will not run: {why}")

    async def _deliberate(self, fleet: Orchestrator) -> Exit:
        options, identity = self._options, self._planned.plan_id
        await self._say_what_else_goes_on(fleet)
        before = await fleet.plans.approve(self._planned.plan, fresh=options.fresh)
        attempt = _attempt(before, fresh=options.fresh)
        if before is not None and not before.settled:
            self._progress.say(f"attempt {attempt} is under way and goes on")
            if options.fresh:
                self._progress.say("--fresh waits for its end: run again after it")
        where = folders.run_folder(self._session.home, identity, attempt)
        watch = Watch(
            fleet.bus, fleet.state, identity, attempt, clock=fleet.clock, show=self._progress.show
        )
        listening = self._listening(fleet.tokens) if options.follow else nullcontext()
        with folders.held(where) as shared:
            if shared:
                self._progress.say("another process works on this run too; they share the work")
            try:
                async with listening:
                    dead_end = await watch.ended()
            except asyncio.CancelledError:
                snapshot = await _latest(fleet, identity, watch.snapshot)
                self._written(where, snapshot, RunOutcome.INTERRUPTED)
                self._say_resumable()
                raise
        run_ = watch.snapshot.run
        if dead_end or run_ is None:
            return self._stopped(where, watch.snapshot, dead_end)
        outcome = RunOutcome.DECIDED if run_.decided else RunOutcome.UNDECIDED
        data = self._written(where, watch.snapshot, outcome)
        _result(data, self._path, options)
        return Exit.DONE if run_.decided else Exit.UNDECIDED

    async def _say_what_else_goes_on(self, fleet: Orchestrator) -> None:
        """An opened fleet takes all its unfinished work further, not this plan's alone."""
        open_ = [d.key.removeprefix(keys.PLAN_OPEN) for d in await fleet.state.scan(keys.PLAN_OPEN)]
        others = [identity[:12] for identity in open_ if identity != self._planned.plan_id]
        if others:
            self._progress.say(f"unfinished before, and going on too: plan {', '.join(others)}")

    def _written(
        self, where: Path, snapshot: Snapshot, outcome: RunOutcome, reason: str = ""
    ) -> dict[str, Any]:
        if snapshot.run is None:
            return {}
        data = report(
            snapshot.run,
            snapshot.states,
            outcome,
            self._session.context.clock(),
            profile=self._session.profile.name,
            reason=reason,
        )
        self._path = folders.write(where, data)
        return data

    def _stopped(self, where: Path, snapshot: Snapshot, reason: str) -> Exit:
        data = self._written(where, snapshot, RunOutcome.STOPPED, reason)
        say(f"error: {reason} (see `fleet dead list`)")
        if data:
            _result(data, self._path, self._options)
        return Exit.UNDECIDED

    def _say_resumable(self) -> None:
        if self._session.profile.durable:
            say(f"interrupted; to go on: {self._options.command}")
        else:
            say("interrupted; this profile keeps nothing, so the run begins anew next time")
        if self._path is not None:
            say(f"report so far: {self._path}")

    @asynccontextmanager
    async def _listening(self, tokens: TokenStream) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks, tokens.listen() as words:
            hearing = tasks.create_task(self._hear(words))
            try:
                yield
            finally:
                hearing.cancel()

    async def _hear(self, words: AsyncIterator[Any]) -> None:
        speech = Speech()
        try:
            async for piece in words:
                self._say_lines(speech.hear(piece))
        finally:
            self._say_lines(speech.rest())

    def _say_lines(self, lines: Any) -> None:
        for task, agent, text in lines:
            self._progress.say(f"{task.partition('-')[2]} {agent}| {text}")


async def _until_interrupted(code: Exit) -> Exit:
    """Keep the monitor after the run, until Ctrl-C; that is no interruption of the run then."""
    say("the monitor stays until Ctrl-C")
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        return code
    raise AssertionError("a future that nobody sets")


async def _latest(fleet: Orchestrator, plan_id: str, known: Snapshot) -> Snapshot:
    """The run as it is saved now; what is known of it where that takes too long."""
    try:
        async with asyncio.timeout(_LAST_LOOK_S):
            return await read(fleet.state, plan_id, known)
    except (TimeoutError, FleetError):
        return known


def _attempt(before: PlanRun | None, *, fresh: bool) -> int:
    """The attempt to watch; that of a run that was decided since this command first looked, too."""
    if before is None:
        return 1
    goes_on = not before.settled or (before.decided and not fresh)
    return before.attempt if goes_on else before.attempt + 1


@asynccontextmanager
async def stoppable() -> AsyncIterator[None]:
    """SIGTERM ends what is held as Ctrl-C does: in order, and so that it can be resumed."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _result(data: Mapping[str, Any], path: Path | None, options: RunOptions) -> None:
    if options.as_json:
        emit({**data, "report": str(path)})
        return
    head = ("task", "state", "winner", "standing", "calls", "tokens", "seconds")
    rows = [
        [task[k] if task[k] is not None else "-" for k in head[:-1]] + [f"{task['seconds']:.1f}"]
        for task in data["tasks"]
    ]
    table(head, rows)
    for task in data["tasks"]:
        if task["state"] != "decided" and task["reason"]:
            line(f"{task['task']} {task['state']}: {task['reason']}")
    line(f"report: {path}")
