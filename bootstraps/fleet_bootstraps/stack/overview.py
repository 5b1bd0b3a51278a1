"""What is shown of a stack: a table that is drawn in place on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fleet_bootstraps.report.text import one_line
from fleet_bootstraps.stack.health import READY
from fleet_bootstraps.stack.parts import Part

ENDED = "ended"
_STYLES = {READY: "green", ENDED: "red"}


@dataclass(frozen=True, slots=True)
class Row:
    """A part as it is shown; `part` is None before it serves."""

    name: str
    state: str = "starting"
    part: Part | None = None


class Overview:
    """Keeps what is known of each part, and says what changes: one line each, on stderr.

    Args:
        quiet: say nothing but what is said by `say`.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self.rows: dict[str, Row] = {}
        self.notes: Sequence[str] = ()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Nothing to set up."""
        yield

    def part(self, name: str, part: Part | None) -> None:
        """A part starts, or serves."""
        self._put(Row(name, READY if part is not None else "starting", part))

    def state(self, name: str, state: str) -> None:
        """A part's state is this now."""
        self._put(replace(self.rows[name], state=state))

    def ending(self) -> None:
        """All of it is being ended."""
        for row in list(self.rows.values()):
            if row.state != ENDED:
                self.rows[row.name] = replace(row, state="ending")
        if not self._quiet:
            self.say("ending all of it")

    def note(self, lines: Sequence[str]) -> None:
        """What to do next."""
        self.notes = lines
        if not self._quiet:
            for line in lines:
                self.say(line)

    def say(self, text: str) -> None:
        """A line of its own."""
        typer.echo(one_line(text), err=True)

    def _put(self, row: Row) -> None:
        before = self.rows.get(row.name)
        self.rows[row.name] = row
        if before != row:
            self._changed(row)

    def _changed(self, row: Row) -> None:
        if self._quiet:
            return
        where = f" at {row.part.address} (process {row.part.pid})" if row.part else ""
        self.say(f"{row.name}: {row.state}{where}")


class LiveOverview(Overview):
    """The same, as a table at the bottom of the terminal."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The table stands while this is held, and stays in the end."""
        with Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=True
        ) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def ending(self) -> None:
        """Every part of the table says so."""
        super().ending()
        self.notes = ()
        self._draw()

    def note(self, lines: Sequence[str]) -> None:
        """What to do next, below the table."""
        self.notes = lines
        self._draw()

    def say(self, text: str) -> None:
        """A line above the table."""
        self._console.print(Text(one_line(text)))

    def _changed(self, row: Row) -> None:  # noqa: ARG002 -- all of it is drawn
        self._draw()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(drawn(list(self.rows.values()), self.notes), refresh=True)


def drawn(rows: Sequence[Row], notes: Sequence[str]) -> Group:
    """The rows as a table, the notes below it."""
    table = Table(box=None, pad_edge=False)
    for name in ("part", "state", "address", "process"):
        table.add_column(name, overflow="fold", justify="right" if name == "process" else "left")
    for row in rows:
        style = _STYLES.get(row.state.partition(":")[0], "yellow")
        table.add_row(
            Text(row.name),
            Text(one_line(row.state), style=style),
            Text(row.part.address if row.part else ""),
            Text(str(row.part.pid) if row.part else ""),
        )
    return Group(table, *(Text(one_line(note), style="dim") for note in notes))


def overview(*, as_json: bool) -> Overview:
    """The one that fits where stderr goes; with JSON on stdout, a quiet one."""
    if not as_json and sys.stderr.isatty():
        return LiveOverview()
    return Overview(quiet=as_json)
