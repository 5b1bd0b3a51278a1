"""The floor: the ten calls of a peer-review council with bare asyncio and aiohttp.

It imports nothing of the fleet and keeps nothing: three proposals, three critiques, three
revisions and a judgement, each step's calls side by side, on one pooled session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import aiohttp

STEPS = (3, 3, 3, 1)
_PATH = "/v1/chat/completions"


async def answered(session: aiohttp.ClientSession, url: str, body: dict[str, object]) -> str:
    """The text that a chat completion ends with, whether it is streamed or not."""
    payload = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    async with session.post(url, data=payload, headers=headers) as response:
        response.raise_for_status()
        if not body.get("stream"):
            return str((await response.json())["choices"][0]["message"]["content"])
        text: list[str] = []
        async for line in response.content:
            if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                choices = json.loads(line[6:])["choices"]
                if choices:
                    text.append(choices[0]["delta"].get("content", ""))
        return "".join(text)


async def _council(session: aiohttp.ClientSession, bodies: list[dict[str, object]]) -> None:
    at = 0
    for size in STEPS:
        step = bodies[at : at + size]
        answers = await asyncio.gather(*(answered(session, _PATH, body) for body in step))
        assert all(answers)
        at += size


async def _run(
    base_url: str, open_: int, count: int, bodies: list[dict[str, object]]
) -> tuple[float, float]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base_url, connector=connector) as session:
        seats = asyncio.Semaphore(open_)

        async def one() -> None:
            async with seats:
                await _council(session, bodies)

        await _council(session, bodies)
        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one() for _ in range(count)))
        return time.perf_counter() - started, time.process_time() - cpu


def main() -> None:
    """Print one line of JSON: seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--open", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--stream", action="store_true")
    given = parser.parse_args()
    bodies = [dict(b, stream=given.stream) for b in json.load(sys.stdin)]
    if given.stream:
        bodies = [dict(b, stream_options={"include_usage": True}) for b in bodies]
    seconds, cpu = asyncio.run(_run(given.base_url, given.open, given.count, bodies))
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu_seconds": cpu}) + "\n")


if __name__ == "__main__":
    main()
