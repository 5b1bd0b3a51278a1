"""What a stack is made of: processes, where each serves, what it writes, and whether it lives."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

_LOOK_S = 0.2
_TAIL_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A process that serves.

    Attributes:
        name: `nats`, `valkey`, `neo4j`, `model`, `ray`, or a service's.
        address: as settings take it.
        pid: of the process without which it does not serve.
        log: the file that it writes.
    """

    name: str
    address: str
    pid: int
    log: Path


async def gone(pid: int) -> None:
    """Return once that process, a child of ours, has ended."""
    if sys.platform != "linux":
        while _is_there(pid):  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(_LOOK_S)
        return
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(watched, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def last_lines(log: Path, count: int = 12) -> list[str]:
    """The end of a log; empty where there is none."""
    try:
        with log.open("rb") as reading:
            size = reading.seek(0, os.SEEK_END)
            reading.seek(max(0, size - _TAIL_BYTES))
            said = reading.read().decode("utf-8", "replace")
    except OSError:
        return []
    return list(deque((line for line in said.splitlines() if line.strip()), maxlen=count))
