"""The streams as the core names them: created where they are missing, compared, and changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_adapters.nats._connecting import linked
from fleet_adapters.nats._errors import NO_STREAM, STREAM_THERE, Refused
from fleet_adapters.nats._link import Link
from fleet_adapters.nats.settings import NatsSettings
from fleet_core.domain.events import STREAMS, Stream
from fleet_plugins.api import FactoryContext

_NS = 1_000_000_000
_MEMORY_BYTES = 64 * 1024 * 1024  # what a stream kept in the server's memory may take of it
_QUEUE_WINDOW_S = 120


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of a stream that is not as it should be; `setting` is `stream` for a missing one.

    Values are as NATS names them; ages in seconds.
    """

    stream: str
    setting: str
    found: object
    wanted: object

    def __str__(self) -> str:
        if self.setting == "stream":
            return f"{self.stream} is missing"
        return f"{self.stream}: {self.setting} is {self.found!r}, should be {self.wanted!r}"


def wanted(stream: Stream, settings: NatsSettings) -> dict[str, Any]:
    """A stream's configuration as the JetStream API takes it; ages there are nanoseconds."""
    window_s = min(settings.dedup_s, stream.max_age_s or settings.dedup_s)
    out: dict[str, Any] = {
        "name": stream.name,
        "subjects": [stream.subjects],
        "retention": "workqueue" if stream.work_queue else "limits",
        "storage": "memory" if stream.memory else "file",
        "max_age": stream.max_age_s * _NS,
        "duplicate_window": (_QUEUE_WINDOW_S if stream.work_queue else window_s) * _NS,
        "discard": "old",
        "num_replicas": settings.replicas,
    }
    if stream.memory:
        out["max_bytes"] = _MEMORY_BYTES
    return out


async def create_missing(link: Link, settings: NatsSettings) -> Sequence[Difference]:
    """Create the streams that are missing; how those that exist differ from what they should be.

    Raises:
        StoreError: the server refuses to create one.
        Unavailable: no answer in time.
    """
    different: list[Difference] = []
    for stream in STREAMS:
        found = await _found(link, stream)
        if found is None:
            await _create(link, wanted(stream, settings))
        else:
            different += _differences(found, wanted(stream, settings))
    return different


async def diff(link: Link, settings: NatsSettings) -> Sequence[Difference]:
    """What `apply` would change; changes nothing.

    Raises:
        Unavailable: no answer in time.
    """
    different: list[Difference] = []
    for stream in STREAMS:
        found = await _found(link, stream)
        if found is None:
            different.append(Difference(stream.name, "stream", None, "there"))
        else:
            different += _differences(found, wanted(stream, settings))
    return different


async def apply(link: Link, settings: NatsSettings) -> Sequence[Difference]:
    """Create what is missing and change what differs; what was changed.

    Settings that the core does not name stay as they are. Applied twice, it changes nothing more.

    Raises:
        StoreError: the server refuses a change, e.g. of a stream's retention or storage: that
            stream has to be deleted first, with what it holds.
        Unavailable: no answer in time; apply again.
    """
    changed = await diff(link, settings)
    for stream in STREAMS:
        own = [difference for difference in changed if difference.stream == stream.name]
        if not own:
            continue
        config = wanted(stream, settings)
        if own[0].setting == "stream":
            await _create(link, config)
        else:
            found = await _found(link, stream) or {}
            await _call(link, f"STREAM.UPDATE.{stream.name}", {**found, **config})
    return changed


async def diff_at(settings: NatsSettings, ctx: FactoryContext) -> Sequence[Difference]:
    """`diff` over a connection of its own."""
    async with linked(settings, ctx, "streams") as link:
        return await diff(link, settings)


async def apply_at(settings: NatsSettings, ctx: FactoryContext) -> Sequence[Difference]:
    """`apply` over a connection of its own."""
    async with linked(settings, ctx, "streams") as link:
        return await apply(link, settings)


def report(different: Sequence[Difference], log: logging.Logger) -> None:
    """Tell whoever runs this what is not as it should be, and the way out."""
    for difference in different:
        log.warning("stream %s (fleet streams apply)", difference)


async def _found(link: Link, stream: Stream) -> dict[str, Any] | None:
    try:
        return dict((await link.api(f"STREAM.INFO.{stream.name}"))["config"])
    except Refused as refused:
        if refused.err_code == NO_STREAM:
            return None
        raise refused.spoken() from refused


async def _create(link: Link, config: Mapping[str, Any]) -> None:
    try:
        await link.api(f"STREAM.CREATE.{config['name']}", config)
    except Refused as refused:
        # Somebody else was quicker, with settings of their own: the next look reports them.
        if refused.err_code != STREAM_THERE:
            raise refused.spoken() from refused


async def _call(link: Link, call: str, body: Mapping[str, Any]) -> None:
    try:
        await link.api(call, body)
    except Refused as refused:
        raise refused.spoken() from refused


def _differences(found: Mapping[str, Any], should: Mapping[str, Any]) -> list[Difference]:
    return [
        Difference(str(should["name"]), key, _shown(key, found.get(key)), _shown(key, value))
        for key, value in should.items()
        if found.get(key, 0) != value
    ]


def _shown(key: str, value: Any) -> object:
    return value / _NS if key in ("max_age", "duplicate_window") and value else value
