"""What runs in each Ray actor: models and checks of its own, and the jobs it is given.

It imports no Ray, and reaches nothing but what its models and checks reach.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet_adapters.ray.versions import versions
from fleet_adapters.ray.wire import Message, bindings_of, error_data, packed, unpacked
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.job import AgentJob, AgentResult
from fleet_core.errors import FleetError
from fleet_core.ports.check import Check
from fleet_core.ports.model import Model, OnText
from fleet_core.usecases.perform import perform
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.kit import trace
from fleet_plugins.kit.secrets import secrets_from
from fleet_plugins.lifetimes import open_ports
from fleet_plugins.rebind import rebound
from fleet_plugins.registry import Registry

_log = logging.getLogger("fleet.runner.ray.worker")
_GATHER_S = 0.001
"""How long an ended run waits for others to be told with: an answer by Ray costs as much as a run.
"""


class Worker:
    """Runs jobs and keeps what there is to tell of them until it is fetched.

    Its methods take and give bytes only: what Ray would pickle besides may not load on both sides.
    """

    def __init__(self) -> None:
        self._models: Mapping[str, Model] = {}
        self._checks: Mapping[str, Check] = {}
        self._stream_s = 0.0
        self._runs: dict[int, asyncio.Task[AgentResult]] = {}
        self._said: dict[int, list[str]] = {}
        self._spans: dict[int, list[Any]] = {}
        self._ended: list[Message] = []
        self._timer: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def about(self) -> bytes:
        """Versions and the process's id, as JSON."""
        return json.dumps({**versions(), "pid": os.getpid()}).encode()

    async def open(self, data: bytes) -> bytes:
        """Open models and checks by their factories.

        Args:
            data: JSON of `bindings`, `home`, `cwd` and `stream_ms`.

        Returns:
            JSON of null, or of the error that refuses.
        """
        given = json.loads(data)
        self._stream_s = given["stream_ms"] / 1000
        ready: asyncio.Future[list[str] | None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(given, ready))
        return json.dumps(await ready).encode()

    async def take(self, data: bytes) -> None:
        """Begin and cancel runs; returns at once."""
        for kind, number, *rest in unpacked(data):
            if kind == "run":
                job, heard, traceparent = rest
                run = asyncio.create_task(self._run(number, job, traceparent, heard=heard))
                self._runs[number] = run
                run.add_done_callback(lambda run, number=number: self._end(number, run))  # type: ignore[misc]  # the number is bound now
            elif number in self._runs:
                self._runs[number].cancel()

    async def listen(self) -> bytes:
        """What has happened since the last call; waits until something has."""
        await self._news.wait()
        self._news.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        said: list[Message] = [["said", number, pieces] for number, pieces in self._said.items()]
        ended, self._ended, self._said = self._ended, [], {}
        return packed(said + ended)

    async def close(self) -> None:
        """Stop what runs and close models and checks."""
        for run in self._runs.values():
            run.cancel()
        self._closing.set()
        if self._life is not None:
            await self._life

    async def _live(self, given: Any, ready: asyncio.Future[list[str] | None]) -> None:
        """Hold the ports open; one task enters and leaves them."""
        try:
            if given["cwd"]:
                os.chdir(given["cwd"])
            context = FactoryContext(_clock, secrets_from(os.environ), _home(given), "worker")
            bindings = rebound(bindings_of(given["bindings"]), Registry.discovered())
            async with open_ports(bindings, context) as ports:
                self._models = ports.get(PortName.MODEL, {})
                self._checks = ports.get(PortName.CHECK, {})
                ready.set_result(None)
                await self._closing.wait()
        except FleetError as error:
            if ready.done():
                _log.warning("%s", error)
            else:
                ready.set_result(error_data(error))
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _run(self, number: int, data: Any, traceparent: str, *, heard: bool) -> AgentResult:
        job = from_data(AgentJob, data)
        hearing = self._hearing(number) if heard else None
        if not traceparent:
            return await perform(job, self._models, self._checks, _clock, hearing)
        # A worker reaches no collector of spans: they go home with what it tells.
        spans = self._spans[number] = []
        with trace.recording(_Kept(spans)), trace.span("ray worker", parent=traceparent) as span:
            span.note({"process.pid": os.getpid(), "host.name": platform.node()})
            return await perform(job, self._models, self._checks, _clock, hearing)

    def _hearing(self, number: int) -> OnText:
        def on_text(piece: str) -> None:
            said = self._said.get(number)
            if said is not None:
                said.append(piece)
                return
            self._said[number] = [piece]
            self._tell(self._stream_s)

        return on_text

    def _end(self, number: int, run: asyncio.Task[AgentResult]) -> None:
        del self._runs[number]
        spans = self._spans.pop(number, ())
        if spans:
            self._ended.append(["traced", number, spans])
        if run.cancelled():
            self._ended.append(["gone", number])
        elif (error := run.exception()) is not None:
            _log.error("run %d", number, exc_info=error)
            self._ended.append(["broken", number, f"{type(error).__name__}: {error}"])
        else:
            self._ended.append(["done", number, to_data(run.result())])
        self._tell(_GATHER_S if self._runs else 0.0)

    def _tell(self, within_s: float) -> None:
        """Let `listen` answer; a later wish than one there is already changes nothing."""
        if not within_s:
            self._news.set()
            return
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + within_s:
                return
            self._timer.cancel()
        self._timer = loop.call_later(within_s, self._news.set)


class _Kept:
    """Keeps the spans of one run, as data."""

    def __init__(self, spans: list[Any]) -> None:
        self._spans = spans

    def samples(self, trace_id: str) -> bool:
        """A trace never begins here."""
        del trace_id
        return False

    def ended(self, span: trace.Span) -> None:
        """One more."""
        self._spans.append(to_data(span))


def _home(given: Any) -> Path:
    home = Path(given["home"] or os.environ.get("FLEET_HOME", ".fleet"))
    home.mkdir(parents=True, exist_ok=True)
    return home


def _clock() -> int:
    return time.time_ns() // 1_000_000
