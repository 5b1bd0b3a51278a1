"""Progress as lines of plain text: one for each change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import typer

from fleet_bootstraps.progress.view import RunView, told
from fleet_bootstraps.report.text import one_line


class PlainProgress:
    """Writes to stderr, so that stdout stays for results."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._before: RunView | None = None

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Nothing to set up."""
        yield

    def show(self, view: RunView) -> None:
        """Say what has changed."""
        for line in told(self._before, view):
            self.say(line)
        self._before = view

    def say(self, text: str) -> None:
        """A line of its own."""
        if not self._quiet:
            typer.echo(one_line(text), err=True)
