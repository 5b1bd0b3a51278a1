"""`fleet watch`: what a fleet is doing, live, from another process."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import typer

from fleet_bootstraps.cli.kept import find_plan, is_plan, require_home
from fleet_bootstraps.cli.outcome import Exit, say
from fleet_bootstraps.cli.output import emit, line
from fleet_bootstraps.cli.planned import planned
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.progress.plain import PlainProgress
from fleet_bootstraps.progress.watch import Watch
from fleet_bootstraps.report.data import RunOutcome, report, stamp
from fleet_core.domain.events import Event, to_cloudevent
from fleet_core.errors import NotFound
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_plugins.api import PortName

SUBJECTS = ("planning.>", "orchestration.>", "context.>", "dead.>")


async def watch(opened: Session, plan: str, *, from_start: bool, as_json: bool) -> Exit:
    """Follow one plan to its end, or every event until interrupted."""
    require_home(opened)
    async with opened.ports(PortName.BUS, PortName.STATE) as ports:
        if plan:
            return await _one(opened, ports, plan, as_json=as_json)
        await _every(ports[PortName.BUS], from_start=from_start, as_json=as_json)
    return Exit.DONE


async def _one(opened: Session, ports: Any, plan: str, *, as_json: bool) -> Exit:
    bus, state = ports[PortName.BUS], ports[PortName.STATE]
    identity, attempt = await _wanted(opened, state, plan)
    progress: Any = PlainProgress(quiet=as_json)
    if not as_json and sys.stderr.isatty():
        from fleet_bootstraps.progress.live import LiveProgress  # noqa: PLC0415 -- for terminals

        progress = LiveProgress()
    clock = opened.context.clock
    following = Watch(bus, state, identity, attempt, clock=clock, show=progress.show)
    async with progress.shown():
        reason = await following.ended()
    now = following.snapshot.run
    if reason or now is None:
        say(f"error: {reason} (see `fleet dead list`)")
        return Exit.UNDECIDED
    outcome = RunOutcome.DECIDED if now.decided else RunOutcome.UNDECIDED
    if as_json:
        emit(report(now, following.snapshot.states, outcome, clock()))
    else:
        for task in now.tasks:
            line(f"{task.task_id}: {task.state.value}{_by(task.winner)}")
    return Exit.DONE if now.decided else Exit.UNDECIDED


async def _wanted(opened: Session, state: StateStore, plan: str) -> tuple[str, int]:
    """Plan id and attempt; a plan that nobody has taken up yet is waited for."""
    try:
        run = await find_plan(opened, state, plan)
    except NotFound:
        if not is_plan(plan):
            raise
        say(f"plan {plan} has not begun; waiting for it")
        return planned(opened, plan).plan_id, 1
    return run.plan_id, run.attempt


def _by(winner: str) -> str:
    return f" by {winner}" if winner else ""


async def _every(bus: EventBus, *, from_start: bool, as_json: bool) -> None:
    after = 0 if from_start else await _newest(bus)
    async for stored in bus.replay(SUBJECTS, after=after, follow=True):
        if as_json:
            typer.echo(json.dumps({"position": stored.position, **to_cloudevent(stored.event)}))
        else:
            line(_told(stored.event))
        await asyncio.sleep(0)


async def _newest(bus: EventBus) -> int:
    position = 0
    async for stored in bus.replay(SUBJECTS):
        position = stored.position
    return position


def _told(event: Event) -> str:
    """One line: when, what, and which task."""
    data = event.data
    words = [stamp(event.time_ms), event.subject]
    words += [str(data[name]) for name in ("task_id", "phase") if data.get(name)]
    if event.subject.startswith("dead."):
        words.append(str(data.get("reason", "")))
    return "  ".join(words)
