"""The open file: one connection and one writer for all ports of one path in one event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fleet_adapters.sqlite._checkpoint import Checkpointer
from fleet_adapters.sqlite._durables import Durables
from fleet_adapters.sqlite._errors import translated
from fleet_adapters.sqlite._host_locks import HostLocks
from fleet_adapters.sqlite._log import Log
from fleet_adapters.sqlite._retention import Retention, streams
from fleet_adapters.sqlite._schema import open_file
from fleet_adapters.sqlite._writer import Writer
from fleet_core.errors import ProfileError
from fleet_core.ports.clock import Clock

DURABILITIES = ("process", "power")


@dataclass(frozen=True, slots=True)
class File:
    """What the ports share."""

    path: Path
    durability: str
    writer: Writer
    log: Log
    durables: Durables


@dataclass(slots=True)
class _Shared:
    users: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    file: File | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


_shared: dict[tuple[Path, asyncio.AbstractEventLoop], _Shared] = {}


@asynccontextmanager
async def opened(
    path: Path, durability: str, clock: Clock, log: logging.Logger
) -> AsyncIterator[File]:
    """The file, opened by the first user of a path and closed by the last.

    Raises:
        ProfileError: an unknown durability, or not the one it is already open with.
        StoreError, Unavailable: the file cannot be opened.
    """
    if durability not in DURABILITIES:
        raise ProfileError(
            f"{durability!r} is no durability",
            f"set one of: {', '.join(DURABILITIES)}",
            field="durability",
        )
    key = (Path(os.path.realpath(path)), asyncio.get_running_loop())  # noqa: ASYNC240 -- two system calls
    shared = _shared.setdefault(key, _Shared())
    shared.users += 1
    try:
        async with shared.turn:
            if shared.file is None:
                shared.file = await _open(shared.stack, key[0], durability, clock, log)
            file = shared.file
        if file.durability != durability:
            raise ProfileError(
                f"{file.path} is open with durability {file.durability!r}, not {durability!r}",
                "set the same for bus, state, blobs and graph",
                field="durability",
            )
        yield file
    finally:
        shared.users -= 1
        if not shared.users:
            del _shared[key]
            await shared.stack.aclose()


async def _open(
    stack: AsyncExitStack, path: Path, durability: str, clock: Clock, log: logging.Logger
) -> File:
    async with AsyncExitStack() as undo:
        pool = ThreadPoolExecutor(2, "fleet-sqlite")
        undo.callback(pool.shutdown)
        opening = asyncio.get_running_loop().run_in_executor(pool, open_file, path)
        connection = await opening
        undo.push_async_callback(_close, connection, path, pool)
        checkpointer = Checkpointer(path, pool, log)
        undo.push_async_callback(checkpointer.close)
        writer = Writer(
            connection,
            path,
            power=durability == "power",
            pool=pool,
            checkpointer=checkpointer,
            log=log,
        )
        undo.push_async_callback(writer.close)
        events = Log(writer, path, clock, await writer.submit(streams))
        locks = HostLocks(path.with_name(f"{path.name}-lock"))
        undo.callback(locks.close)
        undo.callback(Retention(writer, clock, log).close)
        stack.push_async_exit(undo.pop_all())
    return File(path, durability, writer, events, Durables(writer, events, locks))


async def _close(connection: sqlite3.Connection, path: Path, pool: ThreadPoolExecutor) -> None:
    # The last connection to leave moves the log into the file, which may take its time.
    try:
        await asyncio.get_running_loop().run_in_executor(pool, connection.close)
    except sqlite3.Error as error:
        raise translated(error, path) from error
