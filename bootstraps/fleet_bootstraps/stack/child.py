"""What servers of one's own have in common: a folder that is theirs, a port, start and end."""

from __future__ import annotations

import asyncio
import fcntl
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fleet_bootstraps.stack.tied import tied
from fleet_core.errors import FleetError, StoreError, Unavailable

HOST = "127.0.0.1"

_TRIES = 5  # another program can take a free port before the server does
_AGAIN_S = 0.02
_LAST_WORDS = 600


class PortTaken(StoreError):
    """Something else listens there."""


@dataclass(frozen=True, slots=True)
class Child:
    """A server's program, in a folder of its own.

    Attributes:
        called: what it is, for messages: the `called` in that folder.
        command: the program and its words.
        folder: its working folder.
        log: what it says is added to this file.
        lock: of `held`, which it holds on to.
        patience_s: how long it may take to end.
        told: what it reads from its input; unlike a command line nobody else sees that.
        pid: the file for its process id, where it writes none itself.
    """

    called: str
    command: Sequence[str | Path]
    folder: Path
    log: Path
    lock: int
    patience_s: float
    told: bytes = b""
    pid: Path | None = None

    async def started(
        self, serves: Callable[[Process, bytes], Awaitable[bool]], timeout_s: float
    ) -> Process:
        """Start it and wait until it serves.

        Args:
            serves: whether that process does; it is given what it has said since its start.
            timeout_s: how long that may take.

        Raises:
            PortTaken: something else listens where it wants to.
            StoreError: it has ended; with what it said last.
            Unavailable: it does not serve in time.
        """
        logged = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *tied(self.command),
                stdin=PIPE if self.told else DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                pass_fds=(self.lock,),
                start_new_session=True,  # a Ctrl-C is ours to handle
            )
        try:
            if process.stdin is not None:
                process.stdin.write(self.told)
                process.stdin.close()
            if self.pid is not None:
                self.pid.write_text(f"{process.pid}\n")
            await self._until(serves, process, logged, timeout_s)
        except BaseException:
            await end(process, self.patience_s)
            raise
        return process

    async def _until(
        self,
        serves: Callable[[Process, bytes], Awaitable[bool]],
        process: Process,
        logged: int,
        timeout_s: float,
    ) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not await serves(process, self._said(logged)):
                    if process.returncode is not None:
                        raise self._ended(process, logged)
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            raise Unavailable(
                f"the {self.called} in {self.folder} does not serve after {timeout_s:g} s",
                f"look at {self.log}",
            ) from None

    def _said(self, since: int) -> bytes:
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read()

    def _ended(self, process: Process, logged: int) -> FleetError:
        said = self._said(logged).decode("utf-8", "replace")
        if "Address already in use" in said:
            return PortTaken("its port is taken", "stop what listens there, or set another")
        lines = [line for line in said.splitlines() if not line.startswith("\tat ")]  # of Java
        return StoreError(
            f"the {self.called} in {self.folder} ended with exit code {process.returncode}:"
            f" {' '.join(' '.join(lines)[-_LAST_WORDS:].split())}",
            f"look at {self.log}",
        )


async def on_a_port(start: Callable[[int], Awaitable[Process]], port: int) -> tuple[Process, int]:
    """Start a server at that port, or, where it is 0, at a free one; the process and the port.

    Raises:
        PortTaken: names the port that was asked for.
    """
    if port:
        try:
            return await start(port), port
        except PortTaken as taken:
            raise PortTaken(f"port {port} is taken", taken.hint) from None
    for _ in range(_TRIES - 1):
        own = _free_port()
        with suppress(PortTaken):
            return await start(own), own
    own = _free_port()
    return await start(own), own


@contextmanager
def held(folder: Path, name: str, called: str) -> Iterator[int]:
    """A lock on the folder, which is made if missing, for a server that holds on to it.

    So it ends with the last of the two: nobody else gets the folder while the server still runs.

    Args:
        folder: the server's own.
        name: of the files `NAME.lock` and `NAME.pid` in it.
        called: the server, for the message.

    Raises:
        StoreError: another has it; says which process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = folder / f"{name}.pid"
            running = pid.read_text().strip() if pid.exists() else "unknown"
            raise StoreError(
                f"a {called} runs on {folder} already, as process {running}", "stop it first"
            ) from None
        yield lock.fileno()


async def end(process: Process, patience_s: float) -> None:
    """End it in order; one that takes longer is killed, which costs nothing it acknowledged."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await process.wait()
    finally:
        if process.returncode is None:  # also where we were cancelled meanwhile
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])
