"""The other process of the tests: `python processes.py HOME COMMAND ...`; prints what was kept."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from fleet_adapters.sqlite import plugin
from fleet_core.domain.events import Event
from fleet_core.errors import Conflict
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.state_store import Put
from fleet_plugins.api import FactoryContext


def _no_secret(name: str) -> str:
    raise AssertionError(f"asked for secret {name}")


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def write_for_ever(bus: Any, state: Any, durability: str) -> None:
    """Publish and commit from several tasks; says what was answered."""

    async def one(worker: int) -> None:
        number = 0
        while True:
            number += 1
            name = f"{worker}-{number}"
            await bus.publish([Event(name, "context.updated", {"n": name})])
            await state.commit([Put(f"a/{name}", b"x", 0), Put(f"b/{name}", b"y", 0)])
            _say(name)

    async with asyncio.TaskGroup() as group:
        for worker in range(4):
            group.create_task(one(worker))


async def increment(state: Any, times: int) -> None:
    """Add to one document by compare-and-set."""
    for _ in range(times):
        while True:
            (document,) = await state.get(["counter"])
            value = int(document.value) if document else 0
            expect = document.version if document else 0
            try:
                await state.commit([Put("counter", b"%d" % (value + 1), expect)])
            except Conflict:
                continue
            break
    _say("done")


async def consume(bus: Any) -> None:
    """Subscribe; says each event and acknowledges it, unless its data say not to."""
    async with bus.subscribe(Subscription("shared", ("context.updated",))) as deliveries:
        _say("subscribed")
        async for delivery in deliveries:
            _say(delivery.event.event_id, delivery.attempt)
            if not delivery.event.data.get("hold"):
                await delivery.ack()


async def main(home: str, command: str, argument: str) -> None:
    """Open bus and state of a home, and do what is asked."""
    durability = argument if command == "write" else "process"
    ctx = FactoryContext(lambda: time.time_ns() // 1_000_000, _no_secret, Path(home))
    async with AsyncExitStack() as stack:
        ports = []
        for entry in (plugin.bus, plugin.state):
            adapter = entry.fleet_adapter()
            settings = adapter.settings(durability=durability)
            ports.append(await stack.enter_async_context(adapter.factory(settings, ctx)))
        bus, state = ports
        if command == "write":
            await write_for_ever(bus, state, durability)
        elif command == "increment":
            await increment(state, int(argument))
        elif command == "consume":
            await consume(bus)
        else:
            raise AssertionError(command)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
