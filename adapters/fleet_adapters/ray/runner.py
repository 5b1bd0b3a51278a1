"""Runs agent jobs in Ray actors, through a driver process of its own. Imports no Ray."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from typing import Any

from fleet_adapters.ray.plugin import RaySettings
from fleet_adapters.ray.process import Line, driver_process
from fleet_adapters.ray.wire import Message, bindings_data, error_of
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.job import AgentJob, AgentResult
from fleet_core.errors import FleetError, PluginError, ProfileError, Unavailable
from fleet_core.ports.executor import ClusterStats
from fleet_core.ports.model import OnText
from fleet_core.ports.runner import Runner
from fleet_plugins.api import FactoryContext
from fleet_plugins.kit import trace

_BACK_OFF_S = (0.5, 10.0)
_STOPPING_S = 5.0
_STATS_S = 5.0


@dataclass(slots=True, eq=False)
class _Call:
    ended: asyncio.Future[AgentResult]
    on_text: OnText | None


@asynccontextmanager
async def open_runner(settings: RaySettings, ctx: FactoryContext) -> AsyncIterator[RayRunner]:
    """A runner whose first worker is ready.

    Raises:
        PluginError: Ray is not installed, or other versions run at the cluster or its workers.
        ProfileError: a setting is out of bounds, or the cluster refuses the token.
        Unavailable: the cluster does not answer, or has no room for a worker.
        FleetError: what the adapters refuse with that a worker opens.
    """
    _refuse(settings)
    if find_spec("ray") is None:
        raise PluginError(
            "the adapter runner.ray needs the package ray", "install swe-ai-fleet[ray]"
        )
    given = {
        "settings": to_data(settings),
        "bindings": bindings_data(ctx.bindings),
        "home": str(ctx.home.absolute()),
        "cwd": os.getcwd(),  # noqa: PTH109 -- a text is what is sent
    }
    runner = RayRunner(given, _environment(settings, ctx), ctx.log)
    keeping = asyncio.create_task(runner.keep())
    started = asyncio.create_task(runner.started.wait())
    try:
        await asyncio.wait([keeping, started], return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
        yield runner
    finally:
        started.cancel()
        keeping.cancel()
        await asyncio.wait([keeping, started])


class RayRunner(Runner):
    """Jobs by number, with whoever waits for them; open it with `open_runner`."""

    def __init__(
        self, given: Mapping[str, Any], environ: Mapping[str, str], log: logging.Logger
    ) -> None:
        self._given = given
        self._environ = environ
        self._log = log
        self._line: Line | None = None
        self._served = False  # the driver there is, or was last
        self._away = "the Ray driver has not started"
        self._numbers = count(1)
        self._calls: dict[int, _Call] = {}
        self._asked: dict[int, asyncio.Future[list[int]]] = {}
        self.started = asyncio.Event()

    @property
    def driver_pid(self) -> int | None:
        """The driver's process; None while there is none that serves."""
        return self._line.process.pid if self._line is not None else None

    async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
        """See the port. A cancellation is raised once the worker says that the call has ended."""
        line = self._serving()
        number = next(self._numbers)
        call = _Call(asyncio.get_running_loop().create_future(), on_text)
        self._calls[number] = call
        try:
            line.post(["run", number, on_text is not None, to_data(job), trace.current()])
            return await asyncio.shield(call.ended)
        except asyncio.CancelledError:
            if not call.ended.done():
                call.on_text = None
                line.post(["cancel", number])
                await asyncio.wait([call.ended], timeout=_STOPPING_S)
            raise
        except Exception:  # maybe that of whoever listens: then the call is still under way
            line.post(["cancel", number])
            raise
        finally:
            del self._calls[number]
            if not call.ended.done():
                call.ended.cancel()
            elif not call.ended.cancelled():
                call.ended.exception()  # whoever was cancelled does not look at it

    async def stats(self) -> ClusterStats:
        """See the port. Nodes as Ray counted them a second ago; no slots while it is away."""
        if self._line is None:
            return ClusterStats("ray", 0, 0, 0, 0)
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._line.post(["stats", number])
            async with asyncio.timeout(_STATS_S):
                return ClusterStats("ray", *await self._asked[number])
        except (TimeoutError, Unavailable):
            return ClusterStats("ray", 0, 0, 0, 0)
        finally:
            del self._asked[number]

    async def keep(self) -> None:
        """Keep a driver process; start another one whenever it has ended.

        Raises:
            FleetError: the first one could not serve.
        """
        wait, longest = _BACK_OFF_S
        while True:
            self._served = False
            try:
                async with driver_process(self._given, self._environ, self._log) as line:
                    self._away = await self._serve(line)
            except FleetError as error:
                if not self.started.is_set():
                    raise
                self._away = str(error)
            if self._served:
                wait = _BACK_OFF_S[0]
            if not self.started.is_set():
                raise Unavailable(self._away)
            self._log.warning("%s; a new driver is started in %.1f s", self._away, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, longest)

    async def _serve(self, line: Line) -> str:
        """Why a driver that served has ended.

        Raises:
            FleetError: it could not serve.
        """
        reason = ""
        try:
            while (messages := await line.read()) is not None:
                for message in messages:
                    if message[0] == "leaving":
                        reason = message[1]
                    elif message[0] == "refused":
                        raise error_of(message[1:])
                    else:
                        self._hear(line, message)
        finally:
            self._line = None
            self._hand_back(reason or "the Ray driver has ended")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STATS_S):
                await line.process.wait()
        said = "; ".join(line.last_words)
        return reason or f"the Ray driver ended with {line.process.returncode}: {said}"

    def _hear(self, line: Line, message: Message) -> None:
        kind, number, *rest = message
        if kind == "ready":
            self._line = line
            self._served = True
            self.started.set()
        elif kind == "stats":
            if number in self._asked and not self._asked[number].done():
                self._asked[number].set_result(rest)
        elif number in self._calls:
            _answer(self._calls[number], kind, *rest)

    def _hand_back(self, reason: str) -> None:
        """What was in flight may be run again, elsewhere or here later."""
        self._away = reason
        ended = [call.ended for call in self._calls.values()]
        waiters: list[asyncio.Future[Any]] = [*ended, *self._asked.values()]
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(Unavailable(f"runner.ray: {reason}"))

    def _serving(self) -> Line:
        if self._line is None:
            raise Unavailable(f"runner.ray: {self._away}", "the job is run again")
        return self._line


def _answer(call: _Call, kind: str, data: Any = None) -> None:
    if call.ended.done():
        return
    if kind == "gone":
        call.ended.cancel()
    elif kind == "done":
        try:
            call.ended.set_result(from_data(AgentResult, data))
        except FleetError as error:
            call.ended.set_exception(error)
    elif kind == "traced":
        for span in data:
            trace.record(from_data(trace.Span, span))
    elif call.on_text is not None:
        try:
            for piece in data:
                call.on_text(piece)
        except Exception as error:  # noqa: BLE001 -- it is told to whoever gave us `on_text`
            call.ended.set_exception(error)


def _refuse(settings: RaySettings) -> None:
    """Refuse what Ray would fail on later."""
    for name in ("actors", "calls", "checks", "start_timeout_ms", "head_timeout_ms"):
        if getattr(settings, name) < 1:
            raise ProfileError("should be at least 1", field=f"runner.{name}")
    for name in ("cpus", "stream_ms", "retries"):
        if getattr(settings, name) < 0:
            raise ProfileError("should not be below 0", field=f"runner.{name}")
    host, _, port = settings.address.rpartition(":")
    if settings.address and not (host and "/" not in host and port.isdecimal()):
        raise ProfileError(
            f"{settings.address!r} is no host:port",
            "give the address that `ray start --head` serves, without a scheme; "
            "leave it empty for a Ray of our own",
            field="runner.address",
        )


def _environment(settings: RaySettings, ctx: FactoryContext) -> dict[str, str]:
    """For the driver: Ray takes its token, and where it listens, from the environment only."""
    environ = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PYTHONUNBUFFERED": "1",
    }
    host = settings.address.rpartition(":")[0]
    if not host or host in ("localhost", "[::1]") or host.startswith("127."):
        environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # else it listens on every address
    if not host:
        token = secrets.token_hex(32)
    elif settings.token:
        token = ctx.secret(settings.token)
    else:
        return environ
    return environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
