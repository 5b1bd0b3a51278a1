"""Progress as a table that is drawn again in place, for terminals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fleet_bootstraps.progress.view import RunView, TaskView
from fleet_bootstraps.report.text import one_line

_STYLES = {
    "decided": "green",
    "failed": "red",
    "cancelled": "yellow",
    "blocked": "yellow",
    "waiting": "dim",
}
_ENDED = ("decided", "failed", "cancelled", "blocked", "waiting")
_REDRAWN_S = 0.25
_WIDEST = 20


class LiveProgress:
    """Draws on stderr, so that stdout stays for results."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._live: Live | None = None
        self._view: RunView | None = None
        self._at = 0.0

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """The table stands at the bottom of the terminal while this is held."""
        with Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=True,
        ) as live:
            self._live = live
            async with asyncio.TaskGroup() as tasks:
                drawing = tasks.create_task(self._redraw())
                try:
                    yield
                finally:
                    drawing.cancel()
                    self._live = None

    def show(self, view: RunView) -> None:
        """Take a new view; it is drawn soon."""
        self._view = view
        self._at = time.monotonic()

    def say(self, text: str) -> None:
        """A line above the table."""
        self._console.print(Text(one_line(text)))

    async def _redraw(self) -> None:
        while True:
            if self._live is not None and self._view is not None:
                passed_ms = round((time.monotonic() - self._at) * 1000)
                self._live.update(drawn(self._view, passed_ms), refresh=True)
            await asyncio.sleep(_REDRAWN_S)


def drawn(view: RunView, passed_ms: int = 0) -> Group:
    """The view as a table; `passed_ms` since it was taken."""
    priced = view.total("micro_usd") > 0
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("task", "role", "state", "agents"):
        width = max(len(name), *(len(str(c)) for c in _column(view, name)))
        table.add_column(name, no_wrap=True, min_width=min(width, _WIDEST))
    table.add_column("doing", overflow="ellipsis", no_wrap=True, ratio=1)
    for name in ("calls", "tokens", *(("cost",) if priced else ()), "seconds"):
        table.add_column(name, justify="right", no_wrap=True, min_width=7)
    for task in view.tasks:
        table.add_row(*_row(_aged(task, passed_ms), priced=priced))
    spent = f"{view.total('calls')} calls, {view.total('tokens')} tokens"
    title = f"{one_line(view.title, 60)}  {view.plan_id[:12]}, attempt {view.attempt}; {spent}"
    return Group(Text(title, style="bold"), table)


def _aged(task: TaskView, passed_ms: int) -> TaskView:
    return task if task.state in _ENDED else replace(task, ms=task.ms + passed_ms)


def _column(view: RunView, name: str) -> list[str]:
    keys = {"task": "task_id", "agents": "agents", "role": "role", "state": "state"}
    return [one_line(str(getattr(task, keys[name]))) for task in view.tasks]


def _row(task: TaskView, *, priced: bool) -> list[Text]:
    doing = f"{task.answered}/{task.asked} {task.step}" if task.step else ""
    if task.state == "decided":
        doing = f"{task.standing}: {task.winner}"
    elif task.reason:
        doing = task.reason
    row = [
        Text(one_line(task.task_id, _WIDEST)),
        Text(one_line(task.role, _WIDEST)),
        Text(task.state, style=_STYLES.get(task.state, "cyan")),
        Text(str(task.agents) if task.agents else ""),
        Text(one_line(doing)),
        Text(str(task.calls)),
        Text(str(task.tokens)),
    ]
    if priced:
        row.append(Text(f"${task.micro_usd / 1_000_000:.4f}"))
    return [*row, Text(f"{task.seconds:.1f}" if task.ms else "")]
