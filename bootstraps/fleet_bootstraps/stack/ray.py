"""A Ray cluster of one node on this machine: its head, on loopback only, with a token."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fleet_adapters.ray.sessions import ended_session, session_of
from fleet_bootstraps.stack.tied import tied
from fleet_core.errors import PluginError, StoreError, Unavailable

_HOST = "127.0.0.1"
_STARTED = b"Ray runtime started"
_OBJECTS = 100_000_000  # bytes of shared memory: jobs are small
_LOOK_S = 0.05
_END_S = 15.0
_LAST_WORDS = 600


@dataclass(frozen=True, slots=True)
class RayHead:
    """A head that serves.

    Attributes:
        address: `host:port`, for `runner.address`.
        pid: of the process that started all others; its session is theirs too.
        gcs_pid: of the process without which there is no cluster.
    """

    address: str
    pid: int
    gcs_pid: int


@asynccontextmanager
async def ray_head(
    folder: Path,
    token: str,
    *,
    port: int = 0,
    cpus: int = 2,
    environ: Mapping[str, str] | None = None,
    python: str = sys.executable,
    timeout_s: float = 60.0,
) -> AsyncIterator[RayHead]:
    """Run a head for as long as the context is held; several can run side by side.

    Ray keeps its own files under `/tmp`, where the paths of its sockets are short enough, and they
    go with it.

    Args:
        folder: where `ray.log` is written; made if it is missing.
        token: who has it may run anything there; see `runner.token`. At least 32 characters.
        port: 0 takes a free one.
        cpus: processors it offers.
        environ: what its workers find in their environment beside ours, secrets among it.
        python: the interpreter whose Ray it is.
        timeout_s: how long it may take to start.

    Raises:
        PluginError: Ray is not installed.
        StoreError: it does not start; with what it said last.
        Unavailable: it did not start in time.
    """
    if python == sys.executable and find_spec("ray") is None:
        raise PluginError("a Ray head needs the package ray", "install swe-ai-fleet[ray]")
    port = _free_port(port)
    log = _log_in(folder)
    own = Path(tempfile.mkdtemp(prefix="fleet-ray-", dir="/tmp"))
    try:
        with log.open("wb") as writing:
            process = await asyncio.create_subprocess_exec(
                *tied(_command(python, port, cpus, own)),
                stdin=DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=own,  # Ray puts the current folder before the modules of its workers
                env={**os.environ, **(environ or {}), **_environment(token)},
                start_new_session=True,  # a Ctrl-C is ours to handle; and by it all are found
            )
        try:
            await _started(process, log, timeout_s)
            gcs = next((p for p, said in session_of(process.pid) if "gcs_server" in said), 0)
            yield RayHead(f"{_HOST}:{port}", process.pid, gcs)
        finally:
            await _end(process)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _command(python: str, port: int, cpus: int, own: Path) -> list[str]:
    # Where gRPC is installed Ray serves its client too, at a port that may be another cluster's.
    client = find_spec("grpc") is not None and python == sys.executable
    return [
        python,
        *("-P", "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        f"--node-ip-address={_HOST}",
        f"--port={port}",
        f"--num-cpus={cpus}",
        "--include-dashboard=false",
        *([f"--ray-client-server-port={_free_port()}"] if client else []),
        "--min-worker-port=0",  # free ones, so that clusters do not meet
        "--max-worker-port=0",
        f"--object-store-memory={_OBJECTS}",
        "--disable-usage-stats",
        f"--temp-dir={own}",
    ]


def _environment(token: str) -> dict[str, str]:
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else it listens on every address
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
    }


async def _started(process: Process, log: Path, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            while _STARTED not in _said(log):
                if process.returncode is not None:
                    last = " ".join(_said(log)[-_LAST_WORDS:].decode("utf-8", "replace").split())
                    raise StoreError(
                        f"the Ray head ended with exit code {process.returncode}: {last}",
                        f"look at {log}",
                    )
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise Unavailable(
            f"the Ray head has not started after {timeout_s:g} s", f"look at {log}"
        ) from None


async def _end(process: Process) -> None:
    """Ask it to end its own, then end what is left of its session; never another cluster's."""
    try:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        pass  # it is ended below
    finally:
        await ended_session(process.pid)
        await process.wait()


def _log_in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "ray.log"


def _said(log: Path) -> bytes:
    return log.read_bytes()


def _free_port(port: int = 0) -> int:
    """Ray itself takes most of a minute to say that a port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            raise StoreError(
                f"port {port} is taken", "stop what listens there, or set another"
            ) from None
        return int(probe.getsockname()[1])
