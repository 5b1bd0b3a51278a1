"""`fleet up`: a profile's servers and services on this machine, until they are stopped."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from fleet_bootstraps.cli.outcome import Exit, say
from fleet_bootstraps.cli.session import Session
from fleet_bootstraps.services.roles import Role
from fleet_bootstraps.stack.health import watch
from fleet_bootstraps.stack.overview import ENDED, Overview, overview
from fleet_bootstraps.stack.ports import parsed
from fleet_bootstraps.stack.up import NEO4J_PASSWORD, Asked, Ended, Stack, running_stack
from fleet_plugins.api import PortName

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OPENED = (PortName.BUS, PortName.STATE, PortName.BLOBS)


async def up(
    opened: Session, sets: Sequence[str], ports: Sequence[str], gguf: str, *, as_json: bool
) -> Exit:
    """Start all of it, show it, and end it in reverse order once a signal asks for that.

    A second signal does not wait for those that are slow to end.

    Raises:
        Ended: a part has ended by itself; the others were stopped.
        FleetError: something could not be started; what was started has been stopped.
    """
    asked = Asked(opened.profile.name, tuple(sets), parsed(ports), gguf)
    shown = overview(as_json=as_json)
    with _stoppable() as stopped:
        try:
            with shown.shown():
                await _run(opened, asked, shown, as_json=as_json)
        except asyncio.CancelledError:
            if not stopped:
                raise
            say("all of it has ended")
    return Exit.DONE


async def _run(opened: Session, asked: Asked, shown: Overview, *, as_json: bool) -> None:
    profile, context = opened.profile, opened.context
    async with running_stack(profile, context, asked, shown.part) as stack:
        if as_json:
            typer.echo(json.dumps(_told(opened, asked, stack)))
        shown.note(_next(opened, asked, stack))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch(stack.parts, profile, context.secret, shown.state))
            try:
                await stack.until_one_ends()
            except Ended as ended:
                shown.state(ended.part.name, ENDED)
                for line in ended.last_lines:
                    shown.say(f"{ended.part.name}: {line}")
                raise
            finally:
                shown.ending()


def _told(opened: Session, asked: Asked, stack: Stack) -> dict[str, Any]:
    return {
        "profile": asked.profile,
        "home": str(opened.home),
        "pid": os.getpid(),
        "parts": {
            part.name: {"address": part.address, "pid": part.pid, "log": str(part.log)}
            for part in stack.parts
        },
        "set": [*asked.sets, *stack.sets],
    }


def _next(opened: Session, asked: Asked, stack: Stack) -> list[str]:
    """How other commands find it: with options only where it is not where profiles look."""
    sets = [*asked.sets, *(entry for entry in stack.sets if _differs(opened, entry))]
    options = ["--profile", asked.profile] if asked.profile != "fleet" else []
    options += [word for entry in sets for word in ("--set", entry)]
    told = [shlex.join(["fleet", "--home", str(opened.home), "submit", "PLAN", *options])]
    told += _graph_told(opened, asked, stack)
    pages = [part.address for part in stack.parts if part.name == Role.MONITOR]
    scheme = "https" if opened.profile.settings.service(Role.MONITOR).tls_cert else "http"
    return [
        *(f"watch it at {scheme}://{address}/" for address in pages),
        *told,
        f"logs and data: {opened.home / 'stack'}; Ctrl-C ends all of it",
    ]


def _graph_told(opened: Session, asked: Asked, stack: Stack) -> list[str]:
    """How commands that open the graph themselves find it, where its server asks for our secret."""
    file = stack.environ.get(f"{NEO4J_PASSWORD}_FILE")
    if file is None:
        return []
    sets = [*asked.sets, *(entry for entry in stack.sets if entry.startswith("graph."))]
    words = ["fleet", "--home", str(opened.home), "story", "list", "--profile", asked.profile]
    words += [word for entry in sets for word in ("--set", entry)]
    return [f"{NEO4J_PASSWORD}_FILE={shlex.quote(file)} {shlex.join(words)}"]


def _differs(opened: Session, entry: str) -> bool:
    """Whether a setting is one that such commands need, and not the profile's own."""
    path, _, value = entry.partition("=")
    table, _, key = path.partition(".")
    if table not in _OPENED:
        return False
    bound: Any = opened.profile.bindings[PortName(table)]
    own = getattr(bound.settings, key)
    return value != (",".join(own) if isinstance(own, tuple) else str(own))


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Signals cancel this task; which came is in the list."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        task.cancel()

    for one in _SIGNALS:
        loop.add_signal_handler(one, stop, one)
    try:
        yield came
    finally:
        for one in _SIGNALS:
            loop.remove_signal_handler(one)
