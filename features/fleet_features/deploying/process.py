"""One service of the fleet as a process: `fleet serve`, stopped in order or killed."""

from __future__ import annotations

import asyncio
import json
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN = "from fleet_bootstraps.cli import main; main()"
_UP_S, _END_S = 90.0, 30.0
_LAST_WORDS = 3_000


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A service that serves.

    Attributes:
        service: its name.
        address: `host:port` of its RPCs.
        process: the process.
        log: what it writes to stderr.
    """

    service: str
    address: str
    process: Process
    log: Path

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    async def stop(self) -> None:
        """SIGTERM, as an operator stops it.

        Raises:
            AssertionError: it does not end, or not with 0; says what it wrote last.
        """
        if self.runs:
            self.process.terminate()
        try:
            async with asyncio.timeout(_END_S):
                code = await self.process.wait()
        except TimeoutError:
            await self.kill()
            raise AssertionError(self._said("does not stop")) from None
        if code != 0:
            raise AssertionError(self._said(f"ended with {code}"))

    async def kill(self) -> int:
        """SIGKILL; its exit code, which is that of its own end where it was faster."""
        if self.runs:
            self.process.send_signal(signal.SIGKILL)
        return await self.process.wait()

    def _said(self, what: str) -> str:
        return f"the {self.service} {what}; it said:\n{last_words(self.log)}"


async def served(
    service: str,
    profile: Path,
    *,
    python: str,
    home: Path,
    environ: Mapping[str, str],
    log: Path,
) -> ServiceProcess:
    """Start a service and wait until it serves.

    Args:
        service: `orchestrator`, `executor` or `context`.
        profile: its profile file.
        python: the interpreter that runs it.
        home: FLEET_HOME.
        environ: its environment, FLEET_HOME apart.
        log: what it writes to stderr is added to this file.

    Raises:
        AssertionError: it does not serve; says what it wrote last.
    """
    arguments = ("-c", RUN, "serve", service, "--profile", str(profile), "--json")
    with log.open("ab") as writing:
        process = await asyncio.create_subprocess_exec(
            python,
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=writing,
            env={**environ, "FLEET_HOME": str(home)},
            start_new_session=True,  # a Ctrl-C is ours to handle
        )
    try:
        async with asyncio.timeout(_UP_S):
            up = await _up(process)
    except TimeoutError:
        up = None
    except BaseException:
        process.kill()
        raise
    if up is None:
        if process.returncode is None:
            process.kill()
        code = await process.wait()
        said = last_words(log)
        raise AssertionError(f"the {service} does not serve, and ended with {code}:\n{said}")
    return ServiceProcess(service, str(up["address"]), process, log)


async def _up(process: Process) -> dict[str, Any] | None:
    """What it says of itself once it serves; None where it ends before."""
    assert process.stdout is not None
    said = b""
    while line := await process.stdout.readline():
        said += line
        if line.rstrip() == b"}":
            return dict(json.loads(said))
    await process.wait()
    return None


def last_words(log: Path) -> str:
    """The end of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:]
