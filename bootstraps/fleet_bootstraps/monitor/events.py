"""Server-sent events: states as they change, words as they are said."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from aiohttp import web

from fleet_bootstraps.monitor.feed import Feed, Listener
from fleet_bootstraps.monitor.guard import HEADERS
from fleet_bootstraps.monitor.speaking import Hearing, Speaking
from fleet_core.errors import InputError, Unavailable
from fleet_core.ports.clock import Clock
from fleet_plugins.kit.json_bytes import dump_wire

NEWEST = 500
_FLUSH_S, _BUSY_FLUSH_S = 0.1, 0.5  # changes within it are one state; where many change at once
_MANY = 20
_QUIET_S = 15.0  # a comment, so that nobody on the way takes it for dead
_PATIENCE_S = 60.0  # for a reader that takes nothing
_CHUNK = 64 * 1024
_MOST_STREAMS = 256
_SYSTEM_BUFFER = 128 * 1024


class Stream:
    """What one client is sent.

    Args:
        feed: the states.
        speaking: the words.
        clock: UTC milliseconds.
        last_id: the last id that the client has had; empty for none.
        deliberation: whose words it wants, too; empty for none.
        newest: so many deliberations to begin with, besides those that are open.
    """

    def __init__(
        self,
        feed: Feed,
        speaking: Speaking,
        clock: Clock,
        *,
        last_id: str = "",
        deliberation: str = "",
        newest: int = NEWEST,
    ) -> None:
        self._feed, self._speaking, self._clock = feed, speaking, clock
        self._after = self._position(last_id)
        self._deliberation, self._newest = deliberation, newest

    def _position(self, last_id: str) -> int | None:
        """The position that the id names; None where it is of another process, or none."""
        epoch, _, position = last_id.partition(".")
        if epoch != self._feed.epoch or not (position.isascii() and position.isdigit()):
            return None
        return int(position) if len(position) <= 100 else None

    @property
    def others(self) -> int:
        """How many streams are open besides this one."""
        return self._feed.listeners

    async def chunks(self) -> AsyncIterator[bytes]:
        """What is to be written, for ever; nothing is lost where the reader is slow."""
        feed = self._feed
        await feed.caught_up.wait()
        async with AsyncExitStack() as held:
            listener = await held.enter_async_context(feed.listening())
            hearing = await held.enter_async_context(
                self._speaking.heard(self._deliberation, listener.wake)
            )
            resumed = self._after is not None
            listener.hear(
                feed.known(self._newest) if self._after is None else feed.since(self._after)
            )
            yield _event("hello", self._hello(resumed=resumed))
            for chunk in self._changes(listener, hearing):
                yield chunk
            yield _event("ready", {})
            while True:
                if not await _woken(listener.wake):
                    yield b": still here\n\n"
                    continue
                await asyncio.sleep(_FLUSH_S if len(listener) < _MANY else _BUSY_FLUSH_S)
                listener.wake.clear()
                for chunk in self._changes(listener, hearing):
                    yield chunk

    def _hello(self, *, resumed: bool) -> dict[str, object]:
        picture = self._feed.picture
        return {
            "epoch": self._feed.epoch,
            "now_ms": self._clock(),
            "resumed": resumed,
            "deliberations": len(picture.deliberations),
            "plans": len(picture.plans),
        }

    def _changes(self, listener: Listener, hearing: Hearing) -> list[bytes]:
        """All that is to be told now."""
        parts: list[bytes] = []
        while (key := listener.take()) is not None:
            rendered = self._feed.rendered(key)
            if rendered is not None:
                position, row = rendered
                head = f"id: {self._feed.epoch}.{position}\nevent: {key[0]}\ndata: "
                parts.append(head.encode() + row + b"\n\n")
        parts += [_event("words", piece) for piece in hearing.take()]
        return _joined(parts)


def _joined(parts: list[bytes]) -> list[bytes]:
    """Together, but in chunks that a slow reader's buffer can bear."""
    chunks, size, some = [], 0, []
    for part in parts:
        some.append(part)
        size += len(part)
        if size >= _CHUNK:
            chunks.append(b"".join(some))
            size, some = 0, []
    if some:
        chunks.append(b"".join(some))
    return chunks


def _event(name: str, data: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dump_wire(data) + b"\n\n"


async def _woken(wake: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(_QUIET_S):
            await wake.wait()
    except TimeoutError:
        return False
    return True


async def streamed(request: web.Request, stream: Stream) -> web.StreamResponse:
    """Write a stream until the client goes, or takes nothing for a minute.

    Raises:
        Unavailable: as many are open as this process bears.
    """
    if stream.others >= _MOST_STREAMS:
        raise Unavailable(f"{_MOST_STREAMS} event streams are open", "close some of the pages")
    response = web.StreamResponse(headers={**HEADERS, "Cache-Control": "no-store"})
    response.content_type = "text/event-stream"
    response.charset = "utf-8"
    await response.prepare(request)
    _bounded(request)
    chunks = stream.chunks()
    try:
        async for chunk in chunks:
            async with asyncio.timeout(_PATIENCE_S):
                await response.write(chunk)
    except (ConnectionError, TimeoutError):
        pass  # it connects again, and goes on from its last id
    finally:
        await chunks.aclose()  # type: ignore[attr-defined]  # a generator
    return response


def _bounded(request: web.Request) -> None:
    """What the system holds for a slow reader is past when it arrives: let that be little."""
    given = request.transport.get_extra_info("socket") if request.transport is not None else None
    if given is not None:
        given.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SYSTEM_BUFFER)


def last_id_of(request: web.Request) -> str:
    """The id that a client goes on from: as the browser sends it, or in the query."""
    given = request.headers.get("Last-Event-ID") or request.query.get("last_event_id", "")
    if len(given) > 200:
        raise InputError("is too long", "send an id that came with an event", field="Last-Event-ID")
    return given
