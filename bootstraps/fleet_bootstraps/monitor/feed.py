"""Follows the log into the picture, and says what changed to whoever listens.

A listener is not sent events but told which entities changed; what it then takes is how they are
at that moment. So who reads slowly gets fewer states, and never one that is past.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fleet_bootstraps.monitor.log import Log
from fleet_bootstraps.monitor.picture import LETTERS, SUBJECTS, Key, Picture
from fleet_bootstraps.monitor.rows import deliberation_row, plan_row
from fleet_core.errors import DecodeError, FleetError, NotFound
from fleet_core.ports.event_bus import Stored
from fleet_core.usecases.patience import until_available
from fleet_plugins.kit.json_bytes import dump_wire

_RENDERED = 4_096  # rows kept as JSON, which all listeners share
_BURST = 16
_RECOUNT_S = 0.2
_TURN = 64  # events between two turns of the others, while a long log is read


class Listener:
    """What changed since it last took; in the order of the last change of each."""

    def __init__(self) -> None:
        self._changed: OrderedDict[Key, None] = OrderedDict()
        self.wake = asyncio.Event()

    def hear(self, keys: Iterable[Key]) -> None:
        """These changed."""
        for key in keys:
            self._changed[key] = None
            self._changed.move_to_end(key)
        self.wake.set()

    def take(self) -> Key | None:
        """The one whose last change is the longest ago; None where there is none."""
        return self._changed.popitem(last=False)[0] if self._changed else None

    def __len__(self) -> int:
        return len(self._changed)


class Feed:
    """The log, followed.

    Args:
        log: what is followed.
        picture: what it is folded into.
        open_letters: how many dead letters nobody has settled; None where nobody can.

    Attributes:
        epoch: of this process; positions are comparable only within one.
        caught_up: set once everything that was there in the beginning is folded.
        trouble: why the log cannot be followed now; empty while it can.
    """

    def __init__(
        self,
        log: Log,
        picture: Picture,
        open_letters: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._log, self.picture = log, picture
        self._open_letters, self._letter_came = open_letters, asyncio.Event()
        self._recounted = -math.inf
        self._listeners: set[Listener] = set()
        self._rendered: dict[Key, tuple[int, bytes]] = {}
        self.epoch = secrets.token_hex(4)
        self.caught_up = asyncio.Event()
        self.trouble = ""

    async def run(self) -> None:
        """Follow for ever; an outage of the bus is waited for."""
        await until_available(self._noting(self._read), "the monitor's reading of the log")
        await self.recount()
        self.caught_up.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._recounting())
            what = "the monitor's following of the log"
            tasks.create_task(until_available(self._noting(self._follow), what))

    async def recount(self, *, fresh_s: float = 0.0) -> None:
        """Ask how many dead letters are open: what became of them is not in the log.

        Args:
            fresh_s: an answer that is no older than so many seconds will do.
        """
        now = asyncio.get_running_loop().time()
        if now - self._recounted < fresh_s:
            return
        self._recounted = now
        try:
            number = await self._open_letters() if self._open_letters else self.picture.letters
        except FleetError:
            return  # it is asked again with the next letter, and whenever somebody looks
        if number != self.picture.open_letters:
            self.picture.open_letters = number
            self._tell([LETTERS])

    async def _recounting(self) -> None:
        while True:
            await self._letter_came.wait()
            self._letter_came.clear()
            await self.recount()
            await asyncio.sleep(_RECOUNT_S)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        """Hear of changes while held."""
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def known(self, newest: int) -> list[Key]:
        """Every plan, the newest deliberations and all open ones, by their last change."""
        picture = self.picture
        found = self._since(0)
        wanted = set(list(picture.deliberations)[-newest:])
        return [k for k in found if k[0] != "deliberation" or k[1] in wanted or self._open(k[1])]

    def since(self, position: int) -> list[Key]:
        """What changed beyond a position, by its last change."""
        return self._since(position)

    def rendered(self, key: Key) -> tuple[int, bytes] | None:
        """The position of its last change and its row as JSON; None where it is not held."""
        position = self._position(key)
        if position is None:
            return None
        if key == LETTERS:  # what became of them moves no position
            return position, dump_wire(self._row(key))
        held = self._rendered.get(key)
        if held is None or held[0] != position:
            if len(self._rendered) > _RENDERED:
                self._rendered.clear()
            held = self._rendered[key] = (position, dump_wire(self._row(key)))
        return held

    def _since(self, position: int) -> list[Key]:
        picture = self.picture
        keys: list[Key] = [("plan", i) for i in picture.plans]
        keys += [("deliberation", i) for i in picture.deliberations]
        keys.append(LETTERS)
        placed = [(self._position(key) or 0, key) for key in keys]
        return [k for at, k in sorted(placed) if at > position or not position or k == LETTERS]

    def _open(self, identity: str) -> bool:
        return self.picture.deliberations[identity].open

    def _position(self, key: Key) -> int | None:
        kind, identity = key
        picture = self.picture
        if kind == "letters":
            return picture.letters_position
        found: Any = (picture.plans if kind == "plan" else picture.deliberations).get(identity)
        return found.position if found is not None else None

    def _row(self, key: Key) -> dict[str, Any]:
        kind, identity = key
        picture = self.picture
        if kind == "letters":
            return {"letters": picture.open_letters, "kept": picture.letters}
        if kind == "plan":
            return plan_row(picture.plans[identity], picture.deliberations)
        return deliberation_row(picture.deliberations[identity])

    async def _read(self) -> None:
        number = 0
        async for stored in self._log.replay(SUBJECTS, after=self.picture.position):
            await self._take(stored)
            number += 1
            if number % _TURN == 0:
                await asyncio.sleep(0)

    async def _follow(self) -> None:
        self.trouble, number = "", 0
        async for stored in self._log.replay(SUBJECTS, after=self.picture.position, follow=True):
            changed = await self._take(stored)
            self._tell(changed)
            if LETTERS in changed:
                self._letter_came.set()
            number += 1
            if number % _BURST == 0:
                await asyncio.sleep(0)  # a burst must not keep others from their turn

    async def _take(self, stored: Stored) -> list[Key]:
        event, lost = stored.event, ""
        try:
            data = await self._log.opened(event.data)
            if data is not event.data:
                event = replace(event, data=data)
        except (NotFound, DecodeError) as error:
            lost = str(error)
        return self.picture.take(event, stored.position, lost=lost)

    def _tell(self, keys: list[Key]) -> None:
        for listener in self._listeners:
            listener.hear(keys)

    def _noting(self, act: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """The same, with why it fails kept for whoever asks."""

        async def noted() -> None:
            try:
                await act()
            except FleetError as error:
                self.trouble = str(error)
                raise

        return noted
