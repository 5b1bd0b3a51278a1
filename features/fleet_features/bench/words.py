"""How old an agent's words are when a subscriber hears them, through the services.

A model in this process streams the time itself, a word each 10 ms, to 16 calls at once: Ray
workers hear it, the executor passes it on, NATS brings it to a listener, which compares it with
its clock. All of it is on one machine, so both are the same clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import bound
from fleet_bootstraps.secrets import secrets_from
from fleet_core.ports.token_stream import TokenStream
from fleet_features.bench.executor import opened
from fleet_features.bench.figures import Figure, report
from fleet_features.bench.servers import real_servers, settings
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

_WORDS, _EVERY_S, _AT_ONCE = 200, 0.01, 16
_BAR_MS = 100.0
_LAST_S = 1.0


def run(rounds: int) -> int:
    """Measure; the exit code is 1 where the bar does not hold."""
    return asyncio.run(_run(rounds))


async def _run(rounds: int) -> int:
    with tempfile.TemporaryDirectory(prefix="fleet-words-") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            servers = await real_servers(stack, folder)
            url = await stack.enter_async_context(_model())
            sets = {**settings(servers, streamed=True), "model.base_url": url}
            listed = [f"{key}={value}" for key, value in sets.items()]
            profile = bound("fleet", layered("fleet", {}, listed), Registry.discovered())
            context = FactoryContext(system_clock, secrets_from(os.environ), folder / "home")
            ports = await stack.enter_async_context(
                opened_ports(profile, context, only=(PortName.TOKENS,))
            )
            ours = await stack.enter_async_context(opened(servers, sets, folder, keeps=True))
            measured = []
            async with _ages(ports[PortName.TOKENS]) as ages:
                for _ in range(rounds + 1):  # the first one warms up
                    ages.clear()
                    await ours.rate(_AT_ONCE)
                    async with asyncio.timeout(_LAST_S):
                        while len(ages) < _WORDS * _AT_ONCE:  # noqa: ASYNC110 -- nobody tells
                            await asyncio.sleep(_EVERY_S)
                    measured.append(sorted(ages))
    return report("words", rounds, _figures(measured[1:]))


def _figures(measured: list[list[float]]) -> list[Figure]:
    return [
        Figure("age, median", tuple(statistics.median(m) for m in measured), "ms", "lower"),
        Figure("age, oldest", tuple(m[-1] for m in measured), "ms", "lower", _BAR_MS),
    ]


@asynccontextmanager
async def _ages(tokens: TokenStream) -> AsyncIterator[list[float]]:
    """Milliseconds of each word that is heard meanwhile."""
    ages: list[float] = []

    async def listen(ready: asyncio.Event) -> None:
        async with tokens.listen() as heard:
            ready.set()
            async for words in heard:
                now = time.time_ns()
                ages.extend((now - int(word)) / 1e6 for word in words.text.split())

    ready = asyncio.Event()
    listening = asyncio.create_task(listen(ready))
    await ready.wait()
    try:
        yield ages
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


@asynccontextmanager
async def _model() -> AsyncIterator[str]:
    """The URL of a model that says what time it is."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r")[0]))
            kind = b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + kind)
            for _ in range(_WORDS):
                writer.write(_event({"content": f"{time.time_ns()} "}))
                await asyncio.sleep(_EVERY_S)
            writer.write(_event({}, "stop") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            await writer.drain()
    writer.close()


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
    return _chunk(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
