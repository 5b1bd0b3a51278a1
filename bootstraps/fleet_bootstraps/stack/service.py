"""A service of the fleet as a child process: `fleet serve`, started, waited for and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fleet_adapters.ray.sessions import end_session
from fleet_bootstraps.stack.child import end
from fleet_bootstraps.stack.parts import Part, last_lines
from fleet_bootstraps.stack.tied import tied
from fleet_core.errors import FleetError, InputError, Unavailable

_PROGRAM = "from fleet_bootstraps.cli import main; main()"
_BAD_INPUT = 2
_MARGIN_S = 15.0  # to leave its ports, once its RPCs have ended


@asynccontextmanager
async def served(
    name: str,
    folder: Path,
    options: Sequence[str],
    *,
    environ: Mapping[str, str],
    start_s: float,
    drain_s: float,
) -> AsyncIterator[Part]:
    """Run a service for as long as the context is held.

    Args:
        name: which.
        folder: where `NAME.log` is written, and that of the time before kept as `NAME.log.1`.
        options: of `fleet serve`: the profile and what is laid over it.
        environ: what it finds in its environment beside ours.
        start_s: how long it may take to serve.
        drain_s: how long its RPCs may take to end.

    Raises:
        InputError: it refuses the profile; with what it said.
        Unavailable: it ended before it served, or does not serve in time.
    """
    log = _fresh_log(folder, name)
    command = [sys.executable, "-P", "-c", _PROGRAM, "-v", "serve", name, "--json"]
    with log.open("wb") as writing:
        process = await asyncio.create_subprocess_exec(
            *tied([*command, "--log", "text", *options]),  # a person reads it
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=writing,
            env={**os.environ, **environ},
            start_new_session=True,  # a Ctrl-C is ours to handle
        )
    try:
        address = await _announced(process, name, log, start_s)
        yield Part(name, address, process.pid, log)
    finally:
        await _stop(process, drain_s + _MARGIN_S)


def _fresh_log(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    return log


async def _announced(process: Process, name: str, log: Path, start_s: float) -> str:
    """Where it serves, as it says itself once it does."""
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(start_s):
            while line := await process.stdout.readline():
                said += line
                if line == b"}\n":
                    return str(json.loads(said)["address"])
            await process.wait()
    except TimeoutError:
        raise Unavailable(
            f"the {name} does not serve after {start_s:g} s", f"look at {log}"
        ) from None
    raise _ended(process.returncode, name, log)


def _ended(code: int | None, name: str, log: Path) -> FleetError:
    lines = last_lines(log, 1)
    said = lines[0].removeprefix("fleet: error: ") if lines else "it said nothing"
    if code == _BAD_INPUT:
        return InputError(f"the {name} refuses to start: {said}")
    return Unavailable(f"the {name} ended with exit code {code}: {said}", f"look at {log}")


async def _stop(process: Process, patience_s: float) -> None:
    """Ask it to end; kill it, and what it left, where it does not."""
    try:
        await end(process, patience_s)
    finally:
        end_session(process.pid)
