"""One file between processes, and processes that are killed."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fleet_core.domain.events import Event
from fleet_core.errors import Conflict
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.state_store import Put

pytestmark = pytest.mark.anyio
_SCRIPT = Path(__file__).with_name("processes.py")
_DEADLINE_S = 40.0


@asynccontextmanager
async def _process(
    home: Path, command: str, argument: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_SCRIPT), str(home), command, argument, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()  # `wait` alone would wait for ever behind unread output


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(_DEADLINE_S):
        return (await process.stdout.readline()).decode().strip()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        while not condition():  # noqa: ASYNC110 -- the deadline bounds it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("answers", [1, 57, 400])
async def test_what_was_answered_survives_a_kill(
    opener: Any, durability: str, answers: int
) -> None:
    said: list[str] = []
    async with _process(opener.home, "write", durability) as process:
        said += [await _line(process) for _ in range(answers)]
        process.kill()
        assert process.stdout is not None
        rest = (await process.stdout.read()).decode()
        said += rest.split("\n")[:-1]
    bus, state = await opener.open("bus"), await opener.open("state")
    kept = [s.event.event_id async for s in bus.replay([">"])]
    assert len(kept) == len(set(kept))
    assert set(said) <= set(kept)
    first = {d.key[2:] for d in await state.scan("a/", limit=10**6)}
    second = {d.key[2:] for d in await state.scan("b/", limit=10**6)}
    assert first == second
    assert set(said) <= first
    connection = sqlite3.connect(opener.home / "fleet.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_two_processes_lose_no_update(opener: Any) -> None:
    state = await opener.open("state")
    async with (
        _process(opener.home, "increment", "300") as one,
        _process(opener.home, "increment", "300") as two,
    ):
        for _ in range(100):
            while True:
                (document,) = await state.get(["counter"])
                value = int(document.value) if document else 0
                try:
                    await state.commit(
                        [Put("counter", b"%d" % (value + 1), document.version if document else 0)]
                    )
                except Conflict:
                    continue
                break
        assert await _line(one) == "done"
        assert await _line(two) == "done"
    (document,) = await state.get(["counter"])
    assert (document.version, document.value) == (700, b"700")


async def test_another_process_can_follow(opener: Any) -> None:
    bus = await opener.open("bus")
    async with _process(opener.home, "write", "process") as process:
        seen = []
        async with asyncio.timeout(_DEADLINE_S):
            async for stored in bus.replay(["context.>"], follow=True):
                seen.append(stored)
                if len(seen) in range(50, 501, 50):  # our own events come in between
                    await bus.publish([Event(f"own-{len(seen)}", "context.updated", {})])
                if sum(s.event.event_id.startswith("own") for s in seen) == 10:
                    break
        process.kill()
    assert [s.position for s in seen] == list(range(1, len(seen) + 1))


async def test_a_durable_is_taken_over_when_its_process_is_killed(opener: Any) -> None:
    bus = await opener.open("bus")
    got: list[tuple[str, int]] = []

    async def consume() -> None:
        async with bus.subscribe(Subscription("shared", ("context.updated",))) as deliveries:
            async for delivery in deliveries:
                got.append((delivery.event.event_id, delivery.attempt))
                await delivery.ack()

    async with _process(opener.home, "consume") as process:
        assert await _line(process) == "subscribed"
        await bus.publish([Event("first", "context.updated", {})])
        assert await _line(process) == "first 1"
        consuming = asyncio.create_task(consume())
        await bus.publish([Event("held", "context.updated", {"hold": True})])
        assert await _line(process) == "held 1"
        assert got == []
        process.kill()
        await _until(lambda: "held" in [name for name, _ in got])
        await bus.publish([Event("later", "context.updated", {})])
        await _until(lambda: got[-1][0] == "later")
    consuming.cancel()
    await asyncio.wait([consuming])


async def test_a_durable_forgotten_by_one_process_ends_in_the_other(opener: Any) -> None:
    bus = await opener.open("bus")
    async with _process(opener.home, "consume") as process:
        assert await _line(process) == "subscribed"
        await bus.forget("shared")
        async with asyncio.timeout(_DEADLINE_S):
            assert await process.wait() == 0
