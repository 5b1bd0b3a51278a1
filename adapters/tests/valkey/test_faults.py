"""Servers that are restarted, killed, stopped, too slow, or no Valkey at all."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleet_core.errors import FleetError, Unavailable
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.state_store import Document, Put, StateStore

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
Again = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


async def test_a_restarted_server_is_used_again(server: Any, own: Any, again: Again) -> None:
    state: StateStore = await own.open("state")
    blobs: BlobStore = await own.open("blobs")
    await state.commit([Put("a", b"1")])
    ref = await blobs.put(b"bytes")
    await server.stop()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await state.commit([Put("a", b"2")])
        with pytest.raises(Unavailable):
            await blobs.get(ref)
    await server.start()
    assert list(await state.get(["a"])) == [Document("a", 1, b"1")]
    assert list(await state.commit([Put("a", b"2", expect=1)])) == [2]
    assert await blobs.get(ref) == b"bytes"


async def test_what_was_acknowledged_survives_a_kill(server: Any, own: Any, again: Again) -> None:
    state: StateStore = await own.open("state")
    acknowledged: list[int] = []
    enough = asyncio.Event()

    async def write(first: int) -> None:
        for n in range(first, 100_000, 8):
            try:
                await state.commit([Put(f"{n:06}", b"x", expect=0), Put("last", b"%d" % n)])
            except Unavailable:
                return
            acknowledged.append(n)
            if len(acknowledged) == 500:
                enough.set()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for first in range(8):
            tasks.create_task(write(first))
        await enough.wait()
        await server.kill()
    await server.start()
    kept = await again(lambda: state.get([f"{n:06}" for n in acknowledged]))
    assert [d.version if d else None for d in kept] == [1] * len(acknowledged)


async def test_calls_under_way_fail_when_the_server_dies(server: Any, own: Any) -> None:
    state: StateStore = await own.open("state")
    server.signal(signal.SIGSTOP)
    calls: list[asyncio.Task[Any]] = [asyncio.create_task(state.get(["a"])) for _ in range(50)]
    calls += [asyncio.create_task(state.commit([Put(str(n), b"x")])) for n in range(50)]
    await asyncio.sleep(0)
    await server.kill()
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unavailable}


async def test_no_call_waits_for_ever(server: Any, own: Any, again: Again) -> None:
    state: StateStore = await own.open("state", timeout_ms=300)
    await state.commit([Put("a", b"1")])
    server.signal(signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):
            for _ in range(2):  # on the connection that was there, and on a new one
                with pytest.raises(Unavailable, match=r"within 0\.3 s"):
                    await state.get(["a"])
    finally:
        server.signal(signal.SIGCONT)
    assert (await again(lambda: state.get(["a"])))[0].value == b"1"


async def test_callers_that_go_away_leave_the_others_their_own_answers(
    opener: Any, anyio_backend: str
) -> None:
    state: StateStore = await opener.open("state")
    await state.commit([Put(f"k{n}", b"%d" % n) for n in range(20)])
    draw = random.Random(7)
    left = 0

    async def ask(n: int) -> None:
        (found,) = await state.get([f"k{n % 20}"])
        assert found is not None
        assert found.value == b"%d" % (n % 20)

    async with asyncio.timeout(30):
        while left < 200:
            calls = [asyncio.create_task(ask(n)) for n in range(30)]
            for _ in range(draw.randrange(8)):
                await asyncio.sleep(0)
            for call in draw.sample(calls, 15):
                left += call.cancel()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(o) for o in outcomes} <= {type(None), asyncio.CancelledError}
        await ask(3)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer"),
        (b"*1\r\n$x\r\n", "does not answer"),
        (b"-ERR max number of clients reached\r\n", "max number of clients"),
        (b"", "does not answer"),
        (b"-LOADING Valkey is loading the dataset in memory\r\n", "is loading its data"),
    ],
)
async def test_what_is_no_valkey_is_unavailable(opener: Any, says: bytes, expected: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if says.startswith(b"-LOADING"):
            await reader.readuntil(b"INFO\r\n")
        writer.write(says)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match=expected):
            await opener.open("state", url=f"valkey://127.0.0.1:{port}")


async def test_a_server_that_is_not_there(opener: Any, unused_port: int) -> None:
    with pytest.raises(FleetError) as caught:
        await opener.open("blobs", url=f"valkey://127.0.0.1:{unused_port}")
    assert isinstance(caught.value, Unavailable)
    assert f"127.0.0.1:{unused_port}" in str(caught.value)
