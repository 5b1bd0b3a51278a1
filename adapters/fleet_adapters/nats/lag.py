"""What the streams hold, and how far behind those are that consume them; asked, never counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fleet_adapters.nats._connecting import linked
from fleet_adapters.nats._errors import NO_STREAM, Refused
from fleet_adapters.nats._link import Link
from fleet_adapters.nats.settings import NatsSettings
from fleet_core.domain.events import STREAMS
from fleet_core.errors import NotFound
from fleet_plugins.api import FactoryContext


@dataclass(frozen=True, slots=True)
class ConsumerLag:
    """How far a durable is behind.

    Attributes:
        pending: messages that it has not been given yet.
        unacknowledged: given, and not settled.
        redelivered: of those, given more than once.
    """

    durable: str
    pending: int
    unacknowledged: int
    redelivered: int


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What a stream holds, in messages and bytes, and its durables."""

    name: str
    messages: int
    bytes: int
    consumers: tuple[ConsumerLag, ...]


AskStream = Callable[[str], Awaitable[StreamFigures]]


@asynccontextmanager
async def opened_lag(settings: NatsSettings, ctx: FactoryContext) -> AsyncIterator[AskStream]:
    """Whoever is given may be asked about a stream by its name, again and again.

    Asking raises NotFound for a stream that is missing, Unavailable without an answer in time.
    """
    async with linked(settings, ctx, "lag") as link:

        async def ask(name: str) -> StreamFigures:
            try:
                return await _figures(link, name)
            except Refused as refused:
                if refused.err_code == NO_STREAM:
                    hint = "fleet streams apply"
                    raise NotFound(f"there is no stream {name}", hint) from refused
                raise refused.spoken() from refused

        yield ask


def stream_names() -> Sequence[str]:
    """The streams of a fleet."""
    return [stream.name for stream in STREAMS]


async def _figures(link: Link, name: str) -> StreamFigures:
    state = (await link.api(f"STREAM.INFO.{name}"))["state"]
    found: list[ConsumerLag] = []
    offset = 0
    while True:
        page = await link.api(f"CONSUMER.LIST.{name}", {"offset": offset})
        consumers = page.get("consumers") or []
        # A replay's consumer has no durable name: it is nobody's place in the stream.
        found += [_lag(one) for one in consumers if one["config"].get("durable_name")]
        offset += len(consumers)
        if not consumers or offset >= int(page["total"]):
            break
    return StreamFigures(name, int(state["messages"]), int(state["bytes"]), tuple(found))


def _lag(consumer: dict[str, Any]) -> ConsumerLag:
    return ConsumerLag(
        str(consumer["name"]),
        int(consumer["num_pending"]),
        int(consumer["num_ack_pending"]),
        int(consumer["num_redelivered"]),
    )
