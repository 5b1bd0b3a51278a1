"""The durable log of events on JetStream."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from fleet_adapters.nats._connecting import linked
from fleet_adapters.nats._consumers import dropped, ensured
from fleet_adapters.nats._errors import Refused
from fleet_adapters.nats._link import Link, Question
from fleet_adapters.nats._positions import position, sequences
from fleet_adapters.nats._reading import read
from fleet_adapters.nats._replay import Reader, merged
from fleet_adapters.nats._subjects import (
    consumer_name,
    is_subject,
    require_patterns,
    streams_of,
)
from fleet_adapters.nats._subscriber import Subscriber
from fleet_adapters.nats.settings import NatsSettings
from fleet_adapters.nats.streams import create_missing, report
from fleet_core.domain.events import DEAD, Event, Stream, stream_of, to_cloudevent
from fleet_core.errors import DecodeError, InputError, StoreError
from fleet_core.ports.clock import Clock
from fleet_core.ports.event_bus import EventBus, Stored, Subscription
from fleet_plugins.api import FactoryContext
from fleet_plugins.kit.json_bytes import dump_wire

_PLAIN_ID = re.compile(r"[!-~]{1,200}")
_TURN = 64  # replayed events before other tasks get a turn
_SLACK = timedelta(seconds=2)  # clocks of a cluster's servers may differ by so much


@asynccontextmanager
async def open_bus(settings: NatsSettings, ctx: FactoryContext) -> AsyncIterator[NatsEventBus]:
    """A bus over a connection of its own; streams that are missing are created.

    A stream that exists with other settings is left as it is, and reported with each difference.
    """
    async with linked(settings, ctx, "bus") as link:
        report(await create_missing(link, settings), ctx.log)
        yield NatsEventBus(link, settings, ctx.clock, ctx.log)


class NatsEventBus(EventBus):
    """Any number of processes on any hosts publish, follow and share durables.

    Publishing several events is not a transaction: see `publish`.
    """

    def __init__(
        self, link: Link, settings: NatsSettings, clock: Clock, log: logging.Logger
    ) -> None:
        self._link, self._settings = link, settings
        self._clock, self._log = clock, log

    async def publish(self, events: Sequence[Event]) -> None:
        """Keep the events; returns once the server has acknowledged each.

        What can be seen beforehand (a subject without a stream, an event that is too large) keeps
        none of them. Beyond that each event stands for itself: where this raises Unavailable, or
        this process is killed, some may be kept. Publishing them all again is what makes it whole:
        those that are kept are passed over, by id, for as long as the stream's window lasts.
        """
        questions: dict[tuple[str, str], Event] = {}
        for event in events:
            questions.setdefault((stream_of(event.subject).name, event.event_id), event)
        asked = [self._question(event) for event in questions.values()]
        if not asked:
            return
        for question, answer in zip(asked, await self._link.ask(asked), strict=True):
            said = json.loads(answer.data)
            if "error" in said:
                refused = Refused(said["error"], f"an event on {question.subject}")
                raise refused.spoken() from refused

    @asynccontextmanager
    async def subscribe(self, subscription: Subscription) -> AsyncIterator[Subscriber]:
        """Deliveries until the context is left; see the port.

        Raises:
            InputError: the durable's name, or a pattern, is none that NATS can take.
        """
        name = consumer_name(subscription.durable)
        consumers = [
            await ensured(self._link, stream, name, patterns, subscription)
            for stream, patterns in self._streams(subscription.subjects).items()
        ]
        subscriber = Subscriber(
            self._link,
            consumers,
            subscription,
            bury=self._bury,
            clock=self._clock,
            max_bytes=self._settings.max_event_bytes,
            log=self._log,
        )
        async with subscriber.open():
            yield subscriber

    async def replay(
        self, subjects: Sequence[str], *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """Events in log order; see the port.

        Within a stream the order is that of its sequence numbers; between streams it is the
        server's time of storing, and with `follow`, once all is caught up, that of arrival. What
        is no event of ours is passed over, with a warning in the log.
        """
        passed = sequences(after)
        more = asyncio.Event()
        async with AsyncExitStack() as stack:
            readers = []
            streams = self._streams(subjects)
            begins = await self._begins(streams, passed)
            for stream, patterns in streams.items():
                reader = Reader(self._link, stream, patterns, more)
                reading = reader.reading(begins[stream.name])
                readers.append(await stack.enter_async_context(reading))
            turn = 0
            async for reader, got in merged(readers, follow=follow):
                passed[reader.stream.name] = got.sequence
                try:
                    event = read(got, self._settings.max_event_bytes)
                except DecodeError as error:
                    self._log.warning("passed over in a replay: %s", error)
                    continue
                yield Stored(position(passed), event)
                turn += 1
                if turn % _TURN == 0:
                    await asyncio.sleep(0)

    async def forget(self, durable: str) -> None:
        """Drop a durable in every stream; whoever is subscribed to it is told so by an error."""
        await dropped(self._link, consumer_name(durable))

    def _streams(self, subjects: Sequence[str]) -> dict[Stream, tuple[str, ...]]:
        require_patterns(subjects)
        found = streams_of(subjects)
        if not found:
            raise InputError(f"no stream holds {', '.join(subjects)}", field="subjects")
        return found

    def _question(self, event: Event) -> Question:
        if not is_subject(event.subject):
            raise StoreError(
                f"event {event.event_id}: NATS has no subject {event.subject!r}",
                "subjects are words with dots between, without spaces, * and >",
            )
        raw = dump_wire(to_cloudevent(event))
        most = self._settings.max_event_bytes
        if event.subject.startswith(f"{DEAD}."):  # a letter holds an event, and says why
            most = max(most, self._link.client.max_payload)
        if len(raw) > most:
            raise StoreError(
                f"event {event.event_id} has {len(raw)} bytes; at most {most} travel",
                "put what is large into a blob, and its reference into the event",
            )
        return Question(event.subject, raw, {"Nats-Msg-Id": _message_id(event.event_id)})

    async def _bury(self, letter: Event) -> None:
        await self.publish([letter])

    async def _begins(
        self, streams: Iterable[Stream], passed: Mapping[str, int]
    ) -> dict[str, dict[str, Any]]:
        """Where a replay begins in each stream, as a consumer's configuration says it.

        A position that was reached in other streams only does not tell about a stream: there the
        replay begins with what was stored when the newest of those events was.
        """
        streams = tuple(streams)
        untold = any(not passed[stream.name] for stream in streams)
        since = await self._stored(passed) if untold else ""
        begins: dict[str, dict[str, Any]] = {}
        for stream in streams:
            begin: dict[str, Any] = {"deliver_policy": "all"}
            if passed[stream.name]:
                begin = {
                    "deliver_policy": "by_start_sequence",
                    "opt_start_seq": passed[stream.name] + 1,
                }
            elif since:
                begin = {"deliver_policy": "by_start_time", "opt_start_time": since}
            begins[stream.name] = begin
        return begins

    async def _stored(self, passed: Mapping[str, int]) -> str:
        """When the newest event that was passed was stored; empty where that is not known."""
        times = []
        for stream, sequence in passed.items():
            if sequence:
                try:
                    found = await self._link.api(f"STREAM.MSG.GET.{stream}", {"seq": sequence})
                except Refused as refused:  # aged out: all that is left came after it
                    self._log.debug("%s %d: %s", stream, sequence, refused.description)
                else:
                    times.append(datetime.fromisoformat(_micros(found["message"]["time"])))
        if not times:
            return ""
        return (max(times) - _SLACK).isoformat().replace("+00:00", "Z")


def _micros(stamp: str) -> str:
    """A time of the server's, which has nanoseconds, as Python reads it."""
    return re.sub(r"(\.\d{6})\d+", r"\1", stamp)


def _message_id(event_id: str) -> str:
    """An id as a header can carry it; other ids stay other ids."""
    if _PLAIN_ID.fullmatch(event_id) and not event_id.startswith("sha256:"):
        return event_id
    return f"sha256:{hashlib.sha256(event_id.encode('utf-8', 'surrogatepass')).hexdigest()}"
