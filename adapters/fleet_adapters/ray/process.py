"""The driver process, seen from the runner: started, spoken with, ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fleet_adapters.ray.sessions import ended_session
from fleet_adapters.ray.wire import Message, framed, read_frame

_END_S = 10.0
_LEVELS = {"INFO": logging.INFO, "WARNING": logging.WARNING, "ERROR": logging.ERROR}
_LIMIT = 2**20  # bytes of a line of its log


class Line:
    """The connection; what is posted in one turn of the loop goes as one frame."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, process: Process
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._outgoing: list[Message] = []
        self.process = process
        self.last_words: deque[str] = deque(maxlen=3)

    def post(self, message: Message) -> None:
        """Send it with what else this turn of the loop has to send."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(message)

    async def read(self) -> list[Message] | None:
        """The next messages; None once the process has ended."""
        return await read_frame(self._reader)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if not self._writer.is_closing():
            self._writer.write(framed(outgoing))


@asynccontextmanager
async def driver_process(
    given: Mapping[str, Any], environ: Mapping[str, str], log: logging.Logger
) -> AsyncIterator[Line]:
    """Run a driver for as long as the context is held.

    Args:
        given: JSON data of the message `open`.
        environ: what it is given beside our own environment.
        log: hears what it writes.
    """
    # In /tmp itself: Ray keeps Unix sockets in it, whose paths may have 107 bytes only.
    folder = tempfile.mkdtemp(prefix="fleet-ray-", dir="/tmp")
    try:
        async with _process(folder, environ, log) as line:
            line.post(["open", given])
            yield line
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _process(
    folder: str, environ: Mapping[str, str], log: logging.Logger
) -> AsyncIterator[Line]:
    ours, theirs = socket.socketpair()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the current folder holds the user's files, not our modules
            "-m",
            "fleet_adapters.ray.driver",
            str(theirs.fileno()),
            folder,
            stdin=PIPE,
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LIMIT,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, **environ},
            start_new_session=True,  # a Ctrl-C is ours to handle
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    line = Line(reader, writer, process)
    logging_ = asyncio.create_task(_log_lines(process, line.last_words, log))
    try:
        yield line
    finally:
        writer.close()
        await _end(process)
        logging_.cancel()
        await asyncio.wait([logging_])


async def _log_lines(process: Process, last: deque[str], log: logging.Logger) -> None:
    if process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:  # a line beyond all limits
            continue
        if not line:
            return
        said = line.decode("utf-8", "replace").rstrip()
        last.append(said)
        level = _LEVELS.get(said.partition(" ")[0], logging.DEBUG)
        log.log(level, "driver: %s", said.partition(" ")[2] if level > logging.DEBUG else said)


async def _end(process: Process) -> None:
    """It ends once its connection is closed, then at the latest when its standard input is."""
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await process.wait()
    finally:
        if process.returncode is None:  # it hangs, or we were cancelled while it ended
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await ended_session(process.pid)  # what Ray leaves behind where its driver was killed
