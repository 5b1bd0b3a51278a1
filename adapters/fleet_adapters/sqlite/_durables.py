"""The durables that this process takes part in, and their place in the file.

A durable's place is a cursor and the events before it that have not ended, each with its attempts.
It is written some time after it moved, so a crash delivers again what was acknowledged just before.
Of the processes that subscribe to one durable, one delivers; the others stand by.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass

from fleet_adapters.delivery import Durable, Ledger, Subscriber
from fleet_adapters.sqlite._host_locks import HostLocks
from fleet_adapters.sqlite._log import Log
from fleet_adapters.sqlite._mapping import dump, load, to_bytes
from fleet_adapters.sqlite._writer import Writer
from fleet_core.errors import StoreError, Unavailable
from fleet_core.ports.event_bus import Subscription

_CREATE = (
    "INSERT OR IGNORE INTO durable(name, cursor, unfinished) VALUES"
    " (?, CASE WHEN ? THEN 0 ELSE (SELECT coalesce(max(position), 0) FROM log) END, x'5b5d')"
)


@dataclass(eq=False)
class _Place:
    """A durable of this process; `number` is its row, 0 until it is known."""

    durable: Durable
    number: int = 0
    listening: object = None

    def save(self, cursor: sqlite3.Cursor) -> None:
        """Write the place; a durable that another process forgot ends."""
        ledger = self.durable.ledger
        if ledger is None:
            return
        cursor.execute(
            "UPDATE durable SET cursor = ?, unfinished = ? WHERE id = ?",
            (ledger.cursor, dump(list(ledger.unfinished().items())), self.number),
        )
        if not cursor.rowcount:
            self.durable.gone = True


class Durables:
    """Joins and leaves durables for the subscribers of this process."""

    def __init__(self, writer: Writer, log: Log, locks: HostLocks) -> None:
        self._writer = writer
        self._log = log
        self._locks = locks
        self._places: dict[str, _Place] = {}
        self._turn = asyncio.Lock()

    async def join(self, terms: Subscription) -> Subscriber:
        """A subscriber of a durable, which is made where it does not exist."""
        async with self._turn:
            place = self._places.get(terms.durable)
            if place is None:
                place = await self._enter(terms)
                self._places[terms.durable] = place
            place.durable.renew(terms)
            place.durable.subscribers += 1
            return Subscriber(place.durable)

    async def leave(self, terms: Subscription, subscriber: Subscriber) -> None:
        """What the subscriber still had goes to others; the last to leave writes the place."""
        durable = subscriber.durable
        durable.release(subscriber)
        durable.subscribers -= 1
        async with self._turn:
            place = self._places.get(terms.durable)
            if place is None or place.durable is not durable or durable.subscribers:
                return
            del self._places[terms.durable]
            try:
                self._writer.undefer(place)
                if durable.ledger is not None:
                    await self._writer.submit(place.save)
            finally:
                self._leave(place)

    async def forget(self, name: str) -> None:
        """Drop a durable; its subscribers, here and in other processes, see their events end."""

        def drop(cursor: sqlite3.Cursor) -> None:
            cursor.execute("DELETE FROM durable WHERE name = ?", (to_bytes(name),))

        async with self._turn:
            await self._writer.submit(drop)
            place = self._places.pop(name, None)
            if place is not None:
                self._end(place)

    async def _enter(self, terms: Subscription) -> _Place:
        name = to_bytes(terms.durable)

        def create(cursor: sqlite3.Cursor) -> int:
            cursor.execute(_CREATE, (name, terms.from_start))
            return int(
                cursor.execute("SELECT id FROM durable WHERE name = ?", (name,)).fetchone()[0]
            )

        place = _Place(
            Durable(terms, self._log.read, lambda _: self._writer.defer(place, place.save))
        )
        place.number = await self._writer.submit(create)
        place.listening = self._log.listen(
            place.durable.notify, lambda foreign: self._tick(place, foreign=foreign)
        )
        self._tick(place, foreign=False)
        return place

    def _tick(self, place: _Place, *, foreign: bool) -> None:
        """Begin to deliver once no other process does; end once the durable is forgotten."""
        durable = place.durable
        try:
            if durable.ledger is None and self._locks.take(place.number):
                durable.ledger = self._writer.read_now(lambda cursor: self._load(cursor, place))
                durable.wake_all()
            elif foreign and not durable.gone:
                durable.gone = not self._writer.read_now(
                    lambda cursor: cursor.execute(
                        "SELECT 1 FROM durable WHERE id = ?", (place.number,)
                    ).fetchone()
                )
        except Unavailable:
            return  # the next tick finds the file free
        except StoreError as error:
            durable.error = error
            durable.wake_all()
        if durable.gone:
            self._places.pop(durable.terms.durable, None)
            self._end(place)

    def _load(self, cursor: sqlite3.Cursor, place: _Place) -> Ledger | None:
        row = cursor.execute(
            "SELECT cursor, unfinished FROM durable WHERE id = ?", (place.number,)
        ).fetchone()
        if row is None:
            place.durable.gone = True
            return None
        ledger = Ledger(row[0])
        for position, attempt in load(row[1]):
            event = self._log.one(cursor, position)
            if event is not None:
                ledger.offer(position, event, attempt)
        return ledger

    def _end(self, place: _Place) -> None:
        self._writer.undefer(place)
        place.durable.gone = True
        self._leave(place)

    def _leave(self, place: _Place) -> None:
        place.durable.stop()
        self._log.leave(place.listening)
        self._locks.leave(place.number)
