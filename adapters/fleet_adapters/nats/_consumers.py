"""The consumer behind a durable, one in each stream that it listens to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_adapters.nats._errors import CONSUMER_THERE, NO_CONSUMER, NO_STREAM, Refused
from fleet_adapters.nats._link import Link
from fleet_core.domain.events import STREAMS, Stream
from fleet_core.ports.event_bus import Subscription

_MS = 1_000_000
_UNSEEN = "fleet-unseen"


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer as it is.

    Attributes:
        unseen: by sequence number, deliveries that nobody ever looked at: fetched ahead by a
            subscriber that left. They count as no attempts.
    """

    stream: Stream
    name: str
    unseen: Mapping[int, int]


async def ensured(
    link: Link, stream: Stream, name: str, patterns: Sequence[str], terms: Subscription
) -> Consumer:
    """The durable's consumer in a stream, made if it is missing, brought to these terms if not.

    Raises:
        StoreError: the server refuses it.
        Unavailable: no answer in time.
    """
    filters = [] if list(patterns) == [stream.subjects] else sorted(patterns)
    # How often an event is delivered is for the subscriber to count: the server would drop it.
    own: dict[str, Any] = {
        "durable_name": name,
        "ack_policy": "explicit",
        "ack_wait": terms.ack_wait_ms * _MS,
        "max_ack_pending": terms.max_in_flight,
        "max_deliver": -1,
    }
    policy = "all" if terms.from_start or stream.work_queue else "new"
    while True:
        try:
            found = await _config(link, stream, name)
            if found is None:
                fresh = {**own, "filter_subjects": filters, "deliver_policy": policy}
                await _put(link, stream, fresh, "create")
                return Consumer(stream, name, {})
            if _filters(found) != filters or any(found.get(k) != v for k, v in own.items()):
                found.pop("filter_subject", None)
                await _put(link, stream, {**found, **own, "filter_subjects": filters}, "update")
            return Consumer(stream, name, _unseen(found))
        except Refused as refused:
            # Another subscriber was quicker, or the durable was forgotten in between.
            if refused.err_code not in (NO_CONSUMER, *CONSUMER_THERE):
                raise refused.spoken() from refused


async def remember_unseen(link: Link, consumer: Consumer, unseen: Mapping[int, int]) -> None:
    """Keep what was fetched and never looked at with the consumer."""
    try:
        found = await _config(link, consumer.stream, consumer.name)
        if found is None:
            return
        text = ",".join(f"{sequence}:{times}" for sequence, times in unseen.items())
        own = {k: v for k, v in found.get("metadata", {}).items() if not k.startswith("_nats.")}
        found["metadata"] = {**own, _UNSEEN: text}
        await _put(link, consumer.stream, found, "update")
    except Refused as refused:
        raise refused.spoken() from refused


async def dropped(link: Link, name: str) -> None:
    """Delete a durable's consumers in all streams.

    Raises:
        Unavailable: no answer in time; some may be left.
    """
    for stream in STREAMS:
        try:
            await link.api(f"CONSUMER.DELETE.{stream.name}.{name}")
        except Refused as refused:
            if refused.err_code not in (NO_CONSUMER, NO_STREAM):
                raise refused.spoken() from refused


async def _config(link: Link, stream: Stream, name: str) -> dict[str, Any] | None:
    try:
        return dict((await link.api(f"CONSUMER.INFO.{stream.name}.{name}"))["config"])
    except Refused as refused:
        if refused.err_code != NO_CONSUMER:
            raise
        return None


async def _put(link: Link, stream: Stream, config: Mapping[str, Any], action: str) -> None:
    name = config["durable_name"]
    body = {"stream_name": stream.name, "config": config, "action": action}
    await link.api(f"CONSUMER.CREATE.{stream.name}.{name}", body)


def _filters(config: Mapping[str, Any]) -> list[str]:
    single = config.get("filter_subject")
    return sorted(config.get("filter_subjects") or ([single] if single else []))


def _unseen(config: Mapping[str, Any]) -> dict[int, int]:
    text = str(config.get("metadata", {}).get(_UNSEEN, ""))
    pairs = (entry.split(":") for entry in text.split(",") if entry)
    return {int(sequence): int(times) for sequence, times in pairs}
