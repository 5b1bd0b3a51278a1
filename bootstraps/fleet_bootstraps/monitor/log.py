"""Where events are read: a bus, or a file that was exported from one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from fleet_core.domain.events import Event, from_cloudevent, matches, to_cloudevent
from fleet_core.errors import DecodeError, InputError
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.event_bus import EventBus, Stored
from fleet_core.usecases.payload import opened

FORMAT = 1
_HEAD = "fleet_log"
_AT_ONCE = 256


class Log(Protocol):
    """Events in the order of the log."""

    def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """As `EventBus.replay`."""

    async def opened(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """A payload with what travelled by reference fetched; see `usecases.payload`."""


class BusLog(Log):
    """The log of a fleet that runs, or ran, here."""

    def __init__(self, bus: EventBus, blobs: BlobStore) -> None:
        self._bus, self._blobs = bus, blobs

    def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """See the protocol."""
        return self._bus.replay(subjects, after=after, follow=follow)

    async def opened(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """See the protocol."""
        return await opened(data, self._blobs)


class FileLog(Log):
    """A log that was exported: nothing is added to it any more."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = [Stored(number, event) for number, event in enumerate(events, 1)]

    async def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """See the protocol."""
        for stored in self._events[after:]:
            if any(matches(pattern, stored.event.subject) for pattern in subjects):
                yield stored
            if stored.position % _AT_ONCE == 0:
                await asyncio.sleep(0)
        if follow:
            await asyncio.get_running_loop().create_future()

    async def opened(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nothing travels by reference in a file."""
        return data


async def exported(log: Log, subjects: Sequence[str], plan_id: str = "") -> AsyncIterator[str]:
    """The lines of a file, without their ends: a head, then an event a line, whole.

    Args:
        log: what is read, to its end.
        subjects: which events.
        plan_id: only what names this plan; all where it is empty.

    Raises:
        NotFound: something that travelled by reference is gone.
    """
    yield json.dumps({_HEAD: FORMAT})
    async for stored in log.replay(subjects):
        event = stored.event
        data = event.data
        if plan_id and _plan_of(event) != plan_id:
            data = await log.opened(data)
            if _plan_of(replace(event, data=data)) != plan_id:
                continue
        whole = replace(event, data=await log.opened(data))
        # Escaped: a lone surrogate, which a model can write, has no UTF-8.
        yield json.dumps(to_cloudevent(whole), separators=(",", ":"))


def read_log(path: Path) -> FileLog:
    """The log in a file.

    Raises:
        InputError: it cannot be read.
        DecodeError: it is no such file; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", source=str(path)) from None
    return FileLog(list(_events(text, str(path))))


def _events(text: str, source: str) -> Iterator[Event]:
    lines = text.split("\n")
    head = _parsed(lines[0], f"{source}:1")
    if not isinstance(head, dict) or head.get(_HEAD) != FORMAT:
        raise DecodeError(
            f"is no log of format {FORMAT}",
            "give a file that `fleet export` wrote",
            source=source,
            field=_HEAD,
        )
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            at = f"{source}:{number}"
            yield from_cloudevent(_parsed(line, at), source=at)


def _parsed(line: str, at: str) -> object:
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"is not JSON: {error}", source=at) from None
    return found


def _plan_of(event: Event) -> object:
    found = event.data.get("plan_id")
    if found is None and isinstance(buried := event.data.get("event"), Mapping):
        inner = buried.get("data")
        found = inner.get("plan_id") if isinstance(inner, Mapping) else None
    return found
