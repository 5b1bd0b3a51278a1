"""The process that holds the Ray driver: `python -m fleet_adapters.ray.driver FD FOLDER`.

Ray ends a driver whose head is gone, without an exception; so it is not the process that faces
clients. It ends itself when its standard input is closed, which is how its parent's death shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from fleet_adapters.ray.plugin import RaySettings
from fleet_adapters.ray.pool import Limits, Pool
from fleet_adapters.ray.sessions import end_session
from fleet_adapters.ray.versions import versions
from fleet_adapters.ray.wire import Message, error_data, framed, read_frame
from fleet_core.domain.codec import from_data
from fleet_core.errors import FleetError, Unavailable
from fleet_plugins.kit.json_bytes import dump_wire

_log = logging.getLogger("fleet.runner.ray")
_WATCH_S = 1.0


class _Line:
    """The connection to the runner; what is told in one turn of the loop goes as one frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer
        self._outgoing: list[Message] = []

    def tell(self, message: Message) -> None:
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self.flush)
        self._outgoing.append(message)

    def flush(self) -> None:
        if self._outgoing:
            self._writer.write(framed(self._outgoing))
            self._outgoing = []

    async def close(self) -> None:
        self.flush()
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        self._writer.close()


class _Driver:
    def __init__(self, line: _Line, settings: RaySettings, given: Any, folder: Path) -> None:
        # Ray is slow to import: not before the runner has been answered that we are here.
        from fleet_adapters.ray.actors import hired  # noqa: PLC0415 -- as above
        from fleet_adapters.ray.cluster import attach  # noqa: PLC0415 -- as above

        self._line = line
        self._folder = folder
        self._settings = settings
        ours = versions()
        self._cluster = attach(settings, ours, folder)
        self._nodes = self._cluster.nodes()
        opening = dump_wire(
            {
                "bindings": given["bindings"],
                "home": "" if settings.address else given["home"],
                "cwd": "" if settings.address else given["cwd"],
                "stream_ms": settings.stream_ms,
            }
        )
        limits = Limits(settings.actors, settings.calls, settings.checks, settings.retries)
        self._pool = Pool(lambda: hired(settings, opening, ours), line.tell, limits)

    async def serve(self) -> None:
        """Until the runner ends the connection.

        Raises:
            FleetError: no worker can serve; alone in a group.
        """
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(self._pool.serve())
            await asyncio.sleep(0)  # it has begun, and can be waited for
            watching = tasks.create_task(self._watch())
            try:
                await self._start()
                await self._obey()
            finally:
                serving.cancel()
                watching.cancel()

    async def _start(self) -> None:
        try:
            await self._pool.started(self._settings.start_timeout_ms / 1000)
        except Unavailable as error:
            has = await asyncio.to_thread(self._cluster.resources)
            asked = f"each of {self._settings.actors} workers asks for CPU {self._settings.cpus:g}"
            more = "".join(f", {k} {v:g}" for k, v in self._settings.resources.items())
            raise Unavailable(
                f"{error.message}: {asked}{more}, the cluster has {has}",
                "give the cluster more, or ask for less by runner.actors and runner.cpus",
            ) from None
        self._line.tell(["ready", self._cluster.address, os.getpid()])

    async def _obey(self) -> None:
        while (frame := await read_frame(self._line.reader)) is not None:
            for kind, number, *rest in frame:
                if kind == "run":
                    heard, job, trace = rest
                    self._pool.run(number, job, heard=heard, trace=trace)
                elif kind == "cancel":
                    self._pool.cancel(number)
                else:
                    self._line.tell(["stats", number, *self._pool.stats(), self._nodes])

    async def _watch(self) -> None:
        """See whether the head that we know still lives.

        Workers live on without it, so it is given time to come back; but one that comes back as
        another session knows nothing of us. Then this process ends at once: what waits for Ray
        would wait for another minute.
        """
        last = time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                async with asyncio.timeout(self._settings.head_timeout_ms / 1000):
                    session = await asyncio.to_thread(self._cluster.current_session)
                    if session == self._cluster.session:
                        self._nodes = await asyncio.to_thread(self._cluster.nodes)
            except (FleetError, TimeoutError) as error:
                silent = time.monotonic() - last
                if not self._pool.ready or silent > self._settings.head_timeout_ms / 1000:
                    at = f"the Ray head at {self._cluster.address} is silent for {silent:.0f} s"
                    await self._leave(f"{at}: {error or 'no answer'}")
                continue
            if session != self._cluster.session:
                await self._leave(f"another Ray head has started at {self._cluster.address}")
            last = time.monotonic()

    async def _leave(self, reason: str) -> NoReturn:
        self._line.tell(["leaving", reason])
        await self._line.close()
        _end(self._folder, 0)


async def _main(fd: int, folder: Path) -> int:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=fd))
    line = _Line(reader, writer)
    first = await read_frame(reader)
    if first is None:
        return 0
    given = first[0][1]
    try:
        settings = from_data(RaySettings, given["settings"])
        await _Driver(line, settings, given, folder).serve()
    except FleetError as error:
        line.tell(["refused", *error_data(error)])
    except BaseExceptionGroup as group:
        ours, rest = group.split(FleetError)
        if rest is not None or ours is None:
            raise
        line.tell(["refused", *error_data(_first(ours))])
    finally:
        await line.close()
    return 0


def _first(group: BaseExceptionGroup[FleetError]) -> FleetError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _end_with_the_parent(folder: Path) -> None:
    """In a thread: Ray blocks the main one for up to a minute."""
    while os.read(0, 1024):
        pass
    _end(folder, 1)


def _end(folder: Path, code: int) -> NoReturn:
    """At once, with all that Ray has started on this machine."""
    end_session(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)


def main() -> None:
    """The process."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    folder = Path(sys.argv[2])
    os.chdir(folder)  # Ray puts the current folder before the modules of every worker
    threading.Thread(target=_end_with_the_parent, args=(folder,), daemon=True).start()
    try:
        asyncio.run(_main(int(sys.argv[1]), folder))
    finally:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
        end_session(os.getpid())
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
