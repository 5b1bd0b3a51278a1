"""`fleet story`: what the context graph keeps of stories; export, import, retention."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from fleet_bootstraps.cli.kept import require_home
from fleet_bootstraps.cli.outcome import Exit
from fleet_bootstraps.cli.output import emit, line, written
from fleet_bootstraps.cli.session import Session
from fleet_core.domain.context import PlanRecord
from fleet_core.errors import InputError
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.usecases.history import exported, imported
from fleet_plugins.api import PortName
from fleet_plugins.kit.redaction import REDACTOR

_HERE = "-"


async def list_stories(opened: Session, *, as_json: bool) -> Exit:
    """Print the names of the stories that are kept, one a line."""
    found: list[str] = []
    async with _graph(opened) as graph:
        while page := await graph.stories(after=found[-1] if found else ""):
            found += page
    if as_json:
        emit(found)
    else:
        for name in found:
            line(name)
    return Exit.DONE


async def export(opened: Session, story: str, out: str) -> Exit:
    """Write a story's history as JSON lines to a file, or to stdout."""
    async with _graph(opened) as graph:
        with written(out) as to:
            async for text in exported(graph, story):
                to.write(f"{text}\n")
    return Exit.DONE


async def import_(opened: Session, file: str, *, as_json: bool) -> Exit:
    """Record what a file of JSON lines holds; what is known already stays as it is."""
    source = "stdin" if file == _HERE else file
    async with _graph(opened, new=True) as graph:
        with _read(file) as lines:
            found = await imported(graph, lines, source, REDACTOR)
    if as_json:
        emit(asdict(found))
    else:
        line(
            f"story {found.story}: {found.plans} plans and {found.decisions} decisions,"
            f" revision {found.revision}"
        )
    return Exit.DONE


async def prune(opened: Session, story: str, before: str, *, as_json: bool) -> Exit:
    """Drop superseded decisions of a story that were recorded before a day or time (UTC)."""
    at = _moment(before)
    async with _graph(opened) as graph:
        dropped = await graph.prune(story, at)
        left = [r async for r in _records(graph, story)]
    if not left:
        raise InputError(f"nothing is known of story {story!r}", "see fleet story list")
    decisions = sum(not isinstance(record, PlanRecord) for record in left)
    if as_json:
        emit({"story": story, "dropped": dropped, "decisions": decisions})
    else:
        line(f"story {story}: {dropped} superseded decisions dropped, {decisions} kept")
    return Exit.DONE


@asynccontextmanager
async def _graph(opened: Session, *, new: bool = False) -> AsyncIterator[ContextGraph]:
    """The profile's graph; where nothing is kept yet only if it may be `new`."""
    if not (new and opened.profile.durable):
        require_home(opened)
    async with opened.ports(PortName.GRAPH) as ports:
        yield ports[PortName.GRAPH]


async def _records(graph: ContextGraph, story: str) -> AsyncIterator[object]:
    after = ""
    while page := await graph.records(story, after=after):
        for recorded in page:
            yield recorded.record
        after = page[-1].place


def _moment(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{text!r} is no day or time", "write it like 2026-01-31", field="--before"
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp() * 1000)


@contextmanager
def _read(file: str) -> Iterator[Iterator[str]]:
    if file == _HERE:
        yield iter(sys.stdin)
        return
    try:
        with Path(file).open(encoding="utf-8") as lines:
            yield iter(lines)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", "check the path", source=file
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not UTF-8: {error.reason} at byte {error.start}",
            "give a file that `fleet story export` wrote",
            source=file,
        ) from None
