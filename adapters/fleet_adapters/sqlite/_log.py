"""The log of events in the file, and the newest part of it in memory.

What this process publishes goes from memory to whoever is up to date; only what another process
published, or what is older than that, is read from the file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from fleet_adapters.delivery import Wants
from fleet_adapters.sqlite._mapping import dump, load, to_bytes, to_text
from fleet_adapters.sqlite._writer import Writer
from fleet_core.domain.events import Event, stream_of
from fleet_core.errors import FleetError, StoreError, Unavailable
from fleet_core.ports.clock import Clock

_POLL_S = 0.02
_READ_AT_ONCE = 64
_TAIL_EVENTS = 2048
_TAIL_BYTES = 8 * 1024 * 1024

Row = tuple[bytes, int, int, int, int, bytes, bytes, bytes]
Published = list[tuple[int, Event, int]]

_INSERT = (
    "INSERT INTO log(event_id, stream, kept_ms, time_ms, sequence, traceparent,"
    " subject, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(event_id) DO NOTHING"
)
_COLUMNS = "position, subject, event_id, data, time_ms, sequence, traceparent"
_SELECT = f"SELECT {_COLUMNS} FROM log WHERE position > ? ORDER BY position LIMIT ?"  # noqa: S608 -- constants
_SELECT_ONE = f"SELECT {_COLUMNS} FROM log WHERE position = ?"  # noqa: S608 -- constants


class Log:
    """Appends, and reads on; wakes those who listen when there is more.

    Args:
        streams: each stream's number in the file.
    """

    def __init__(self, writer: Writer, path: Path, clock: Clock, streams: dict[str, int]) -> None:
        self._writer = writer
        self._path = path
        self._clock = clock
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[object, tuple[Callable[[], None], Callable[[bool], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._seen_version = -1
        # Events beyond `_start` and up to `_end` are all in these three lists.
        self._start = self._end = 0
        self._positions: list[int] = []
        self._events: list[Event] = []
        self._sizes: list[int] = []
        self._bytes = 0

    def append(
        self, events: Sequence[Event], first: Callable[[sqlite3.Cursor], object] = lambda _: None
    ) -> asyncio.Future[Published]:
        """Keep events whose id is new, and what `first` writes; all or none.

        Raises:
            KeyError: a subject that no stream holds.
        """
        now = self._clock()
        rows = [self._row(event, now) for event in events]

        def insert(cursor: sqlite3.Cursor) -> Published:
            first(cursor)
            kept = []
            for row, event in zip(rows, events, strict=True):
                if cursor.execute(_INSERT, row).rowcount:
                    kept.append((cast("int", cursor.lastrowid), event, len(row[7])))
            return kept

        return self._writer.submit(insert, self._published)

    def listen(self, wake: Callable[[], None], tick: Callable[[bool], None]) -> object:
        """Be called when there is more to read, and every few milliseconds.

        `tick` is told whether another process wrote to the file since the last time.

        Returns:
            The handle that `leave` takes.
        """
        if not self._listeners:
            self._seen_version = self._version()
            self._forget_tail()
            self._timer = self._loop.call_later(_POLL_S, self._poll)
        else:
            self.refresh()
        handle = object()
        self._listeners[handle] = (wake, tick)
        return handle

    def leave(self, handle: object) -> None:
        """Listen no more."""
        self._listeners.pop(handle, None)
        if not self._listeners and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._positions, self._events, self._sizes, self._bytes = [], [], [], 0

    def refresh(self) -> None:
        """Take note of what other processes published."""
        if self._newest() > self._end:
            self._catch_up()

    def read(self, after: int, wanted: Wants) -> tuple[Sequence[tuple[int, Event]], int]:
        """Some of the wanted events beyond a position, and how far the log was read."""
        if after >= self._end:
            return (), after
        if after >= self._start:
            begin = bisect_right(self._positions, after)
            end = min(begin + _READ_AT_ONCE, len(self._positions))
            found = [
                (self._positions[i], self._events[i])
                for i in range(begin, end)
                if wanted(self._events[i].subject)
            ]
            return found, self._positions[end - 1] if end > begin else self._end
        try:
            rows = self._rows(after)
        except Unavailable:
            self._loop.call_later(_POLL_S, self._wake)
            return (), after
        found = [(row[0], self._event(row)) for row in rows if wanted(to_text(row[1]))]
        return found, rows[-1][0] if rows else self._end

    def one(self, cursor: sqlite3.Cursor, position: int) -> Event | None:
        """The event at a position; None once it has aged out."""
        row = cursor.execute(_SELECT_ONE, (position,)).fetchone()
        return None if row is None else self._event(row)

    def _row(self, event: Event, now: int) -> Row:
        stream = self._streams[stream_of(event.subject).name]
        return (
            to_bytes(event.event_id),
            stream,
            now,
            event.time_ms,
            event.sequence,
            to_bytes(event.traceparent),
            to_bytes(event.subject),
            dump(event.data),
        )

    def _event(self, row: tuple[int, bytes, bytes, bytes, int, int, bytes]) -> Event:
        position, subject, event_id, data, time_ms, sequence, traceparent = row
        try:
            payload = load(data)
        except ValueError as error:
            raise StoreError(
                f"{self._path}: event {position} is damaged: {error}", "restore a copy of the file"
            ) from error
        return Event(
            to_text(event_id), to_text(subject), payload, time_ms, sequence, to_text(traceparent)
        )

    def _published(self, kept: Published) -> None:
        if not kept or not self._listeners:
            return
        if kept[0][0] != self._end + 1:
            try:
                self._catch_up()
            except FleetError:
                self._seen_version = -1  # the next poll reads it, or tells the listeners
                return
        for position, event, size in kept:
            if position > self._end:
                self._remember(position, event, size)
        self._wake()

    def _remember(self, position: int, event: Event, size: int) -> None:
        self._positions.append(position)
        self._events.append(event)
        self._sizes.append(size)
        self._bytes += size
        self._end = position
        if len(self._positions) > _TAIL_EVENTS or self._bytes > _TAIL_BYTES:
            half = -(-len(self._positions) // 2)
            self._start = self._positions[half - 1]
            self._bytes -= sum(self._sizes[:half])
            del self._positions[:half], self._events[:half], self._sizes[:half]

    def _catch_up(self) -> None:
        """Read what others published; where that is much, leave it in the file."""
        rows = self._rows(self._end)
        if len(rows) >= _READ_AT_ONCE:
            self._forget_tail()
        else:
            for row in rows:
                self._remember(row[0], self._event(row), len(row[3]))
        self._wake()

    def _forget_tail(self) -> None:
        self._start = self._end = self._newest()
        self._positions, self._events, self._sizes, self._bytes = [], [], [], 0

    def _newest(self) -> int:
        return self._writer.read_now(_newest)

    def _version(self) -> int:
        return self._writer.read_now(_version)

    def _rows(self, after: int) -> list[tuple[int, bytes, bytes, bytes, int, int, bytes]]:
        return self._writer.read_now(
            lambda cursor: cursor.execute(_SELECT, (after, _READ_AT_ONCE)).fetchall()
        )

    def _poll(self) -> None:
        self._timer = self._loop.call_later(_POLL_S, self._poll)
        try:
            version = self._version()
            foreign = version != self._seen_version
            if foreign:
                self.refresh()
            self._seen_version = version
        except Unavailable:
            return
        except StoreError:
            self._wake()  # whoever reads on is told why it cannot
            return
        for _, tick in tuple(self._listeners.values()):
            tick(foreign)

    def _wake(self) -> None:
        for wake, _ in tuple(self._listeners.values()):
            wake()


def _newest(cursor: sqlite3.Cursor) -> int:
    return int(cursor.execute("SELECT coalesce(max(position), 0) FROM log").fetchone()[0])


def _version(cursor: sqlite3.Cursor) -> int:
    return int(cursor.execute("PRAGMA data_version").fetchone()[0])
