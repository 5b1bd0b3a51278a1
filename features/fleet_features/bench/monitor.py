"""What the monitor bears: 1,000 events a second for a minute, 200 deliberations open at any time.

The service `monitor` in a process of its own follows NATS; one Chromium has the overview open and
19 clients read the event stream, five of them too slowly. In the end each of them, the page too,
shows what the server does. Deliberations are real ones, folded by the core's reducer.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from fleet_adapters.nats.bus import open_bus
from fleet_adapters.nats.settings import NatsSettings
from fleet_bootstraps.fleet import system_clock
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.stack.nats import nats_server
from fleet_bootstraps.stack.valkey import valkey_server
from fleet_features.bench.figures import Figure, report
from fleet_features.bench.monitor_clients import Reader, Watched, watched
from fleet_features.bench.monitor_load import interleaved, published
from fleet_features.bench.servers import free_address, served
from fleet_plugins.api import FactoryContext

RATE, SECONDS, OPEN = 1_000, 60, 200
QUICK, SLOW, SLOW_PAUSE_S = 14, 5, 0.1
_SETTLE_S, _LOOK_S, _PAGE = 60.0, 0.25, 1_000
_MIB = 1024


@dataclass(frozen=True)
class Round:
    """What one round came to."""

    rate: float
    ages: list[float]
    delays: list[float]
    clicks: list[float]
    memory: list[float]
    settled_s: float
    agree: int
    page_agrees: bool


def run(rounds: int) -> int:
    """Measure; the exit code is 1 where a bar does not hold."""
    events = interleaved(RATE * SECONDS, OPEN)
    measured = [asyncio.run(_round(events)) for _ in range(rounds)]
    return report("monitor", rounds, _figures(measured))


async def _round(events: list[Any]) -> Round:
    with tempfile.TemporaryDirectory(prefix="fleet-monitor-") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            nats = await stack.enter_async_context(nats_server(folder / "nats"))
            valkey = await stack.enter_async_context(valkey_server(folder / "valkey"))
            address = free_address()
            sets = {
                "bus.servers": f'["{nats}"]',
                "tokens.servers": f'["{nats}"]',
                "state.url": valkey,
                "blobs.url": valkey,
                "services.monitor.listen": address,
            }
            stack.enter_context(served("monitor", sets, folder))
            context = FactoryContext(system_clock, secrets_from({}), folder)
            bus = await stack.enter_async_context(open_bus(NatsSettings((nats,)), context))
            return await _measured(f"http://{address}", bus, events)


async def _measured(url: str, bus: Any, events: list[Any]) -> Round:
    readers = [Reader() for _ in range(QUICK)] + [Reader(SLOW_PAUSE_S) for _ in range(SLOW)]
    async with aiohttp.ClientSession() as http, watched(url) as page, asyncio.TaskGroup() as tasks:
        own = [tasks.create_task(reader.read(url)) for reader in readers]
        memory: list[float] = []
        clicks: list[float] = []
        own.append(tasks.create_task(_weighed(http, url, memory)))
        own.append(tasks.create_task(_clicked(page, clicks)))
        rate = await published(bus, events, RATE)
        ages = [age for reader in readers[:QUICK] for age in reader.ages]
        begun = time.perf_counter()
        own.pop().cancel()  # the page stays where it is now
        final = await _final(http, url, len(events))
        agree, page_agrees = await _agreed(readers, page, final)
        settled = time.perf_counter() - begun
        delays = await page.delays()
        for task in own:
            task.cancel()
    return Round(rate, ages, delays, clicks, memory, settled, agree, page_agrees)


async def _weighed(http: aiohttp.ClientSession, url: str, memory: list[float]) -> None:
    """The server's resident memory in MiB, each second, as its metrics tell it."""
    while True:
        async with http.get(f"{url}/metrics") as response:
            told = dict(line.rsplit(" ", 1) for line in (await response.text()).splitlines())
        memory.append(float(told["process_resident_memory_bytes"]) / _MIB / _MIB)
        await asyncio.sleep(1)


async def _clicked(page: Watched, clicks: list[float]) -> None:
    while True:
        await asyncio.sleep(2)
        clicks.append(await page.click_ms())


async def _final(http: aiohttp.ClientSession, url: str, events: int) -> dict[str, Any]:
    """The server's rows once it has read every event."""
    async with asyncio.timeout(_SETTLE_S):
        while True:
            async with http.get(f"{url}/api/overview") as response:
                if (await response.json())["log"]["events"] >= events:
                    break
            await asyncio.sleep(_LOOK_S)
    found: dict[str, Any] = {}
    while True:
        params = {"offset": str(len(found)), "limit": str(_PAGE)}
        async with http.get(f"{url}/api/deliberations", params=params) as response:
            page = await response.json()
        found |= {row["deliberation_id"]: row for row in page["deliberations"]}
        if len(found) >= page["total"]:
            return found


async def _agreed(readers: list[Reader], page: Watched, final: dict[str, Any]) -> tuple[int, bool]:
    """How many clients came to the server's final states, and whether the page did."""
    states = [row["state"] for row in final.values()]
    decided = states.count("decided")
    await page.page.evaluate("location.hash = '#/'")
    try:
        async with asyncio.timeout(_SETTLE_S):
            while True:
                agree = sum(reader.is_as(final) for reader in readers)
                shown = await page.shows(len(states) - decided, decided)
                if agree == len(readers) and shown:
                    return agree, shown
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        return agree, shown


def _figures(measured: list[Round]) -> list[Figure]:
    def of(take: Any) -> tuple[float, ...]:
        return tuple(float(take(one)) for one in measured)

    def high(values: list[float]) -> float:
        return statistics.quantiles(values, n=100)[98]

    return [
        Figure("events published", of(lambda r: r.rate), "1/s", "higher", 0.98 * RATE),
        Figure("clients with the final states", of(lambda r: r.agree), "of 19", "higher", 19),
        Figure("the page shows them", of(lambda r: r.page_agrees), "of 1", "higher", 1),
        Figure("age of a row, median", of(lambda r: statistics.median(r.ages)), "ms", "lower"),
        Figure("age of a row, p99", of(lambda r: high(r.ages)), "ms", "lower", 3_000),
        Figure("the page's timers late, p99", of(lambda r: high(r.delays)), "ms", "lower", 250),
        Figure("a click to its page, worst", of(lambda r: max(r.clicks)), "ms", "lower", 1_000),
        Figure("memory, most", of(lambda r: max(r.memory)), "MiB", "lower", 512),
        Figure(
            "memory, second half to first",
            of(lambda r: max(r.memory[len(r.memory) // 2 :]) / max(r.memory[: len(r.memory) // 2])),
            "ratio",
            "lower",
            1.25,
        ),
        Figure("all settled after the last event", of(lambda r: r.settled_s), "s", "lower", 30),
    ]
