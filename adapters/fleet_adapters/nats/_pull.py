"""Pull requests that stand at one consumer, so that what is published is there at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as Inbox

from fleet_adapters.nats._errors import NO_CONSUMER, NO_STREAM, Refused, translate
from fleet_adapters.nats._link import Link
from fleet_core.errors import FleetError, Unavailable

_NS = 1_000_000_000
_BEAT_S = 2.0  # the server says that it still holds a request
_STANDS_S = 60.0
_AGAIN_S = 0.1
_PATIENCE_S = 2.0
_UNDER_WAY_S = 0.25  # what the server has sent may be another subscriber's


@dataclass(frozen=True, slots=True)
class Received:
    """A message of a stream, with what the server says of it.

    Attributes:
        deliveries: of this message to this consumer, this one included.
        sequence: its number in the stream.
        number: of this delivery, among the consumer's.
        time_ns: when it was stored.
        pending: how many more the consumer has for us after it.
    """

    msg: Msg
    deliveries: int
    sequence: int
    number: int
    time_ns: int
    pending: int


def received(msg: Msg) -> Received:
    """Read a message's reply subject, `$JS.ACK...`, in its older or its newer form."""
    parts = msg.reply.split(".")
    deliveries, sequence, number, time_ns, pending = map(int, _numbers(parts))
    return Received(msg, deliveries, sequence, number, time_ns, pending)


def _numbers(parts: list[str]) -> list[str]:
    begin = 4 if len(parts) == 9 else 6
    return parts[begin : begin + 5]


class Pull:
    """Asks one consumer for messages, as many ahead as there is room for.

    Args:
        link: the connection.
        stream, consumer: whom to ask.
        room: messages asked for and not `taken` at most.
        arrived: is handed each message; must not block.
        ended: is told why no more come; the consumer may be gone.
    """

    def __init__(
        self,
        link: Link,
        stream: str,
        consumer: str,
        *,
        room: int,
        arrived: Callable[[Pull, Received], None],
        ended: Callable[[FleetError], None],
    ) -> None:
        self.stream, self.consumer = stream, consumer
        self._link, self._room = link, room
        self._arrived, self._ended = arrived, ended
        self._inbox: Inbox | None = None
        self._asked = 0
        self._waiting = 0  # arrived and not taken
        self._heard = 0.0
        self._newest = 0  # of what arrived, by the consumer's count of deliveries
        self._more = asyncio.Event()
        self._kick = asyncio.Event()
        self._doubtful = False
        self._done: Callable[[], None] | None = None

    async def run(self) -> None:
        """Ask until cancelled; what is asked already goes on arriving until `stop`."""
        loop = asyncio.get_running_loop()
        inbox = self._link.client.new_inbox()
        with translate("a subscription"):
            self._inbox = await self._link.client.subscribe(inbox, cb=self._on)
        self._done = self._link.on_return(self._renew)
        while True:
            if self._doubtful and self._link.reached.is_set():
                await self._look()
            await self._ask(inbox)
            try:
                async with asyncio.timeout(_BEAT_S):
                    await self._kick.wait()
            except TimeoutError:
                if self._asked and loop.time() - self._heard > 2.5 * _BEAT_S:
                    self._renew()
            self._kick.clear()

    def taken(self) -> None:
        """One of those that arrived makes room."""
        self._waiting -= 1
        if self._asked + self._waiting <= self._room // 2:
            self._kick.set()

    async def stop(self) -> None:
        """Ask no more; what is under way arrives before this returns."""
        if self._done is not None:
            self._done()
        if self._inbox is None:
            return
        try:
            with translate("a subscription"):
                async with asyncio.timeout(_PATIENCE_S):
                    if self._link.reached.is_set():
                        await self._catch_up()
                        await self._inbox.drain()  # type: ignore[no-untyped-call]  # the driver's
                    else:
                        await self._inbox.unsubscribe()
        except (FleetError, TimeoutError) as error:
            self._link.log.debug("a subscription was not ended: %s", error)

    async def _catch_up(self) -> None:
        """Wait a little for what is under way.

        What the server finds no inbox for any more it has counted as delivered all the same: the
        event would come again at once, an attempt short that nobody made.
        """
        with suppress(TimeoutError, Refused, Unavailable):  # it may have been dropped, or be away
            async with asyncio.timeout(_UNDER_WAY_S):
                said = await self._link.api(f"CONSUMER.INFO.{self.stream}.{self.consumer}")
                while self._asked and self._newest < said["delivered"]["consumer_seq"]:
                    self._more.clear()
                    await self._more.wait()

    async def _ask(self, inbox: str) -> None:
        wanted = self._room - self._asked - self._waiting
        if wanted < max(1, self._room // 2) or not self._link.reached.is_set():
            return
        request = {
            "batch": wanted,
            "expires": int(_STANDS_S * _NS),
            "idle_heartbeat": int(_BEAT_S * _NS),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.consumer}"
        self._asked += wanted
        self._heard = asyncio.get_running_loop().time()
        with translate(subject):
            await self._link.client.publish(subject, json.dumps(request).encode(), inbox)

    async def _on(self, msg: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if msg.reply.startswith("$JS.ACK."):
            self._asked = max(0, self._asked - 1)
            self._waiting += 1
            got = received(msg)
            self._newest = max(self._newest, got.number)
            self._more.set()
            self._arrived(self, got)
            return
        headers = msg.headers or {}
        status, said = headers.get("Status", ""), headers.get("Description", "")
        if status == "100":
            return
        left = int(headers.get("Nats-Pending-Messages", self._asked))
        self._asked = max(0, self._asked - left)
        self._doubtful = status not in ("404", "408")
        if self._doubtful:
            self._link.log.debug("consumer %s: %s %s", self.consumer, status, said)
        self._kick.set()

    def _renew(self) -> None:
        """Whatever was asked is forgotten by now: the server is another, or was away."""
        self._asked = 0
        self._kick.set()

    async def _look(self) -> None:
        """See whether the consumer is still there; it may only be that the server is not ready."""
        self._doubtful = False
        try:
            await self._link.api(f"CONSUMER.INFO.{self.stream}.{self.consumer}")
        except Refused as refused:
            gone = refused.err_code in (NO_CONSUMER, NO_STREAM)
            self._ended(
                Unavailable(
                    f"the durable {self.consumer} in {self.stream} was dropped", "subscribe again"
                )
                if gone
                else refused.spoken()
            )
        except Unavailable:
            self._doubtful = True
        await asyncio.sleep(_AGAIN_S)
        self._asked = 0
