"""Reading streams from a place on, without leaving a trace in them."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fleet_adapters.nats._errors import Refused
from fleet_adapters.nats._link import Link
from fleet_adapters.nats._pull import Pull, Received
from fleet_core.domain.events import Stream
from fleet_core.errors import FleetError

_AHEAD = 128
_NS = 1_000_000_000
_IDLE_S = 60  # the server forgets a reader that does not read for so long; it begins again


class Reader:
    """One stream's messages in order, each once, however often the connection breaks.

    Attributes:
        more: set when there may be something to take; shared with other readers.
    """

    def __init__(
        self, link: Link, stream: Stream, patterns: Sequence[str], more: asyncio.Event
    ) -> None:
        self.stream, self.more = stream, more
        self._link, self._patterns = link, patterns
        self._got: deque[Received] = deque()
        self._last = 0  # the sequence number that was read last
        self._next = 1  # the delivery that must come next, else one was lost
        self._name = ""
        self._pull: Pull | None = None
        self._running: asyncio.Task[None] | None = None
        self._broken = False
        self._error: FleetError | None = None
        self._begin: dict[str, Any] = {}
        self.caught_up = False
        self.left = 0  # of what was there in the beginning

    @asynccontextmanager
    async def reading(self, begin: dict[str, Any]) -> AsyncIterator[Reader]:
        """Read from a place on: `deliver_policy` and what goes with it."""
        self._begin = begin
        self.left = await self._open()
        self.caught_up = not self.left
        done = self._link.on_return(self._break)
        try:
            yield self
        finally:
            done()
            await self._close()

    @property
    def head(self) -> Received | None:
        """The next message, if it is here."""
        return self._got[0] if self._got else None

    def take(self) -> Received:
        """Take the head."""
        got = self._got.popleft()
        if self._pull is not None:
            self._pull.taken()
        self.left -= 1
        self._last = got.sequence
        self.caught_up = got.pending == 0 and not self._got
        return got

    async def mend(self) -> None:
        """Begin again behind what was taken, where something was lost.

        Raises:
            FleetError: the server refuses, or does not answer.
        """
        if self._error is not None:
            raise self._error
        if self._broken:
            await self._close()
            self._got.clear()
            left = await self._open()
            self.caught_up = not left

    def _break(self) -> None:
        self._broken = True
        self.more.set()

    def _ended(self, error: FleetError) -> None:
        if error.retryable:
            self._break()
        else:
            self._error = error
            self.more.set()

    def _arrived(self, pull: Pull, got: Received) -> None:
        if pull is not self._pull or self._broken:
            return
        if got.number != self._next:
            self._break()
            return
        self._next += 1
        self._got.append(got)
        self.more.set()

    async def _open(self) -> int:
        """Make a consumer of our own; how many messages it has for us."""
        self._name = f"replay-{secrets.token_hex(8)}"
        self._next, self._broken = 1, False
        begin = self._begin
        if self._last:
            begin = {"deliver_policy": "by_start_sequence", "opt_start_seq": self._last + 1}
        config = {
            "name": self._name,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _IDLE_S * _NS,
            "filter_subjects": list(self._patterns),
            **begin,
        }
        call = f"CONSUMER.CREATE.{self.stream.name}.{self._name}"
        try:
            info = await self._link.api(call, {"stream_name": self.stream.name, "config": config})
        except Refused as refused:
            raise refused.spoken() from refused
        pull = Pull(
            self._link,
            self.stream.name,
            self._name,
            room=_AHEAD,
            arrived=self._arrived,
            ended=self._ended,
        )
        self._pull = pull
        self._running = asyncio.create_task(self._run(pull))
        return int(info["num_pending"])

    async def _run(self, pull: Pull) -> None:
        try:
            await pull.run()
        except FleetError as error:
            self._ended(error)

    async def _close(self) -> None:
        pull, running = self._pull, self._running
        self._pull = self._running = None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        if pull is not None:
            await pull.stop()
        if self._link.reached.is_set():
            # Nobody waits for the answer: a consumer that is not deleted goes by itself.
            await self._link.tell(f"$JS.API.CONSUMER.DELETE.{self.stream.name}.{self._name}")


async def merged(
    readers: Sequence[Reader], *, follow: bool
) -> AsyncIterator[tuple[Reader, Received]]:
    """The messages of all readers, the oldest first; with `follow`, then as they come.

    Without, it ends behind what was there in the beginning.
    """
    while True:
        for reader in readers:
            await reader.mend()
        unread = [reader for reader in readers if follow or reader.left > 0]
        heads = [reader for reader in unread if reader.head is not None]
        if any(reader.head is None and not reader.caught_up for reader in unread):
            heads = []  # an older one may be under way
        elif not heads and not follow:
            return
        if heads:
            first = min(heads, key=_time)
            yield first, first.take()
            continue
        more = readers[0].more
        more.clear()
        await more.wait()


def _time(reader: Reader) -> int:
    head = reader.head
    return head.time_ns if head is not None else 0
