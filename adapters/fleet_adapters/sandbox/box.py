"""One running sandbox, and the frames that cross its wall."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fleet_adapters.sandbox.bubblewrap import Walls, arguments, environment
from fleet_adapters.sandbox.inside import wire
from fleet_adapters.sandbox.program import program
from fleet_adapters.sandbox.userns import USERS
from fleet_core.errors import CheckRefused

MAX_ANSWER = 32 * 1024 * 1024
_START_SECONDS = 20
_users = itertools.count()


class Ended(Exception):
    """The sandbox is gone: what ran in it ended it, or sent what is no answer."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a request ended: see `inside.warden.Box.run`. Nothing in it is to be trusted.

    Attributes:
        frames: the mappings among what was sent.
    """

    end: str = "died"
    detail: str = "ended the sandbox"
    code: int = -1
    frames: tuple[dict[str, Any], ...] = ()
    output: str = ""


GONE = Report()


class Box:
    """A sandbox that answers one request after another."""

    def __init__(self, sock: socket.socket, process: asyncio.subprocess.Process) -> None:
        self._sock = sock
        self._process = process

    async def ready(self) -> None:
        """Wait until it runs. Raises CheckRefused where it does not start."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._answer()
        except TimeoutError:
            raise CheckRefused(f"the sandbox did not start within {_START_SECONDS} s") from None
        except Ended:
            assert self._process.stderr is not None, "asked for when it was started"
            said = (await self._process.stderr.read(4096)).decode("utf-8", "replace").strip()
            reason = said.splitlines()[-1] if said else "no reason given"
            raise CheckRefused(f"the sandbox does not start: {reason}") from None

    async def ask(self, request: dict[str, Any]) -> Report:
        """The answer to a request (see `inside.main`); GONE where what ran in it ended it."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._sock, wire.encode(request))
            return _report(await self._answer())
        except (OSError, Ended):
            return GONE

    async def _answer(self) -> dict[str, Any]:
        size = int.from_bytes(await self._exactly(wire.HEADER), "big")
        if size > MAX_ANSWER:
            raise Ended
        try:
            frame = wire.decode(await self._exactly(size))
        except wire.Malformed:
            raise Ended from None
        if not isinstance(frame, dict):
            raise Ended
        return frame

    async def _exactly(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        got = bytearray()
        while len(got) < size:
            try:
                chunk = await loop.sock_recv(self._sock, min(size - len(got), 262_144))
            except OSError:
                raise Ended from None
            if not chunk:
                raise Ended
            got += chunk
        return bytes(got)


def _report(frame: dict[str, Any]) -> Report:
    code, frames = frame.get("code"), frame.get("frames")
    return Report(
        end=str(frame.get("end")),
        detail=str(frame.get("detail"))[:200],
        code=code if isinstance(code, int) else -1,
        frames=tuple(f for f in frames if isinstance(f, dict)) if isinstance(frames, list) else (),
        output=str(frame.get("output", "")),
    )


@asynccontextmanager
async def open_box(
    walls: Walls, limits: dict[str, int], peer: socket.socket | None = None
) -> AsyncIterator[Box]:
    """A fresh sandbox, not awaited yet; everything in it dies when this is left.

    Args:
        walls: what it is made of.
        limits: see `inside.warden.Box`.
        peer: a socket to another sandbox; closed here once it is handed over.

    Raises:
        CheckRefused: bubblewrap does not start.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    namespace = walls.namespace
    # Each sandbox has a user of its own: the kernel counts processes by user.
    user = 0 if namespace is None else 1 + next(_users) % USERS
    setup = {
        "fd": theirs.fileno(),
        "peer": -1 if peer is None else peer.fileno(),
        "user": user,
        "limits": limits,
    }
    handed = [theirs.fileno()]
    if peer is not None:
        handed.append(peer.fileno())
    if namespace is not None:
        handed.append(namespace)
    inside = [walls.interpreter.executable, "-I", "-S", "-c", program(), json.dumps(setup)]
    with ours:
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments(walls), "--", *inside,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE, pass_fds=handed, env=environment(walls),
            )  # fmt: skip
        except OSError as error:
            raise CheckRefused(f"{walls.bwrap} does not start: {error.strerror}") from None
        finally:
            theirs.close()
            if peer is not None:
                peer.close()
        try:
            yield Box(ours, process)
        finally:
            # Its init dies with it (--die-with-parent), and with the init all that runs inside.
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
