"""The floor of the executor: bare Ray actors that make the same HTTP calls.

It imports nothing of the fleet but its neighbour floor: one driver, two asynchronous actors, each
with one pooled session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

import aiohttp
import ray

from fleet_features.bench.overhead_floor import answered


class Caller:
    """A worker: model calls over one pooled session."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def call(self, body: dict[str, Any]) -> str:
        """The model's answer."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return await answered(self._session, self._url, body)


async def measured(callers: list[Any], body: dict[str, Any], count: int, at_once: int) -> float:
    """Calls a second, so many in flight."""
    seats = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with seats:
            assert await callers[number % len(callers)].call.remote(body)

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(count)))
    return count / (time.perf_counter() - began)


async def main() -> None:
    """A line of JSON, `{"rate": calls a second}`, for each line on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ray", "model"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("count", "at-once"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--body", type=json.loads, required=True)
    given = parser.parse_args()
    ray.init(given.ray, log_to_driver=False, logging_level=logging.ERROR)
    remote: Any = ray.remote
    actor = remote(num_cpus=0, max_concurrency=64)(Caller)
    callers = [actor.remote(f"{given.model}/v1/chat/completions") for _ in range(2)]
    await measured(callers, given.body, given.at_once, given.at_once)
    loop = asyncio.get_running_loop()
    _say("up")
    while await loop.run_in_executor(None, sys.stdin.readline):
        _say({"rate": await measured(callers, given.body, given.count, given.at_once)})


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
    os._exit(0)  # Ray's own ending takes seconds and keeps nothing
