"""What the executor service adds to bare Ray actors that make the same HTTP calls.

Steps of four jobs go over gRPC to an executor, which claims them, runs them in Ray workers,
journals and publishes each result; results are counted on NATS. Twice: an executor whose stores are
in memory, which like the floor keeps nothing, shows what gRPC, Execute and the Ray runner cost; the
service of the profile `fleet` shows what it costs on top to keep claims, jobs and journal on Valkey
and results on JetStream. In turn with the floor (`executor_floor`): the same calls by bare actors,
first for answers in one piece, then for streamed ones. As many are in flight everywhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats

from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import bound
from fleet_bootstraps.secrets import secrets_from
from fleet_core.domain.ids import task_token
from fleet_core.domain.job import AgentJob, JobKey, ModelCall, job_id
from fleet_core.domain.lease import Slice
from fleet_core.domain.model_call import Message, ModelRequest, Sampling, Speaker, estimate_prompt
from fleet_core.ports.executor import Executor
from fleet_features.bench.figures import Figure, report
from fleet_features.bench.servers import (
    PROMPT,
    Servers,
    asked,
    free_address,
    real_servers,
    running,
    served,
    settings,
)
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

_COUNT, _AT_ONCE, _STEP = 960, 32, 4
_HOUR_MS = 3_600_000
_PATIENCE_S = 120.0
_PLAN = "0" * 32


def run(rounds: int) -> int:
    """Measure; the exit code is 1 where a bar does not hold."""
    return asyncio.run(_run(rounds))


async def _run(rounds: int) -> int:
    figures = []
    for streamed in (False, True):
        figures += await _measured(rounds, streamed=streamed)
    return report("executor", rounds, figures)


async def _measured(rounds: int, *, streamed: bool) -> list[Figure]:
    """Round by round in turn, on servers of their own."""
    bare: list[float] = []
    ours: list[float] = []
    kept: list[float] = []
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            servers = await real_servers(stack, folder)
            floor = await stack.enter_async_context(_floor(servers, folder, streamed=streamed))
            sets = settings(servers, streamed=streamed)
            light = await stack.enter_async_context(opened(servers, sets, folder, keeps=False))
            fleet = await stack.enter_async_context(opened(servers, sets, folder, keeps=True))
            for one in (light, fleet):
                await one.rate(_AT_ONCE * 4)
            for _ in range(rounds):
                bare.append(await floor.rate())
                ours.append(await light.rate(_COUNT))
                kept.append(await fleet.rate(_COUNT))
    how = ", streamed" if streamed else ""
    through = f"jobs through gRPC and Ray, 32 in flight{how}"
    keeping = f"the same, claimed, journaled, published{how}"
    return [
        Figure(through, _over(ours, bare), "ratio", "higher", 0.6),
        Figure(keeping, _over(kept, bare), "ratio", "higher"),
        Figure(f"bare actors{how}", tuple(bare), "1/s", "higher"),
        Figure(f"through gRPC and Ray{how}", tuple(ours), "1/s", "higher"),
        Figure(f"claimed, journaled, published{how}", tuple(kept), "1/s", "higher"),
    ]


def _over(ours: Sequence[float], bare: Sequence[float]) -> tuple[float, ...]:
    return tuple(o / b for o, b in zip(ours, bare, strict=True))


class _Floor:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE_S):
            return json.loads(await self._process.stdout.readline())

    async def rate(self) -> float:
        """One round."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return float((await self.said())["rate"])


@asynccontextmanager
async def _floor(servers: Servers, folder: Path, *, streamed: bool) -> AsyncIterator[_Floor]:
    body = asked(streamed=streamed)
    command = [sys.executable, "-m", "fleet_features.bench.executor_floor"]
    command += ["--ray", servers.ray, "--model", servers.model, "--body", json.dumps(body)]
    command += ["--count", str(_COUNT), "--at-once", str(_AT_ONCE)]
    pipe = asyncio.subprocess.PIPE
    with (folder / "floor.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=log
        )
        floor = _Floor(process)
        assert await floor.said() == "up"
        try:
            yield floor
        finally:
            process.terminate()
            await process.wait()


class Submitting:
    """Submits steps, and counts results as they are published."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._left: dict[str, int] = {}
        self._ended: dict[str, asyncio.Future[None]] = {}

    def arrived(self, deliberation_id: str, outcome: str) -> None:
        """A result was published."""
        assert outcome == "ok", outcome
        if deliberation_id in self._left:
            self._left[deliberation_id] -= 1
            if not self._left[deliberation_id]:
                self._ended[deliberation_id].set_result(None)

    async def rate(self, count: int) -> float:
        """Jobs a second."""
        seats = asyncio.Semaphore(_AT_ONCE // _STEP)

        async def one() -> None:
            async with seats:
                await self._step()

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(count // _STEP)))
        return count / (time.perf_counter() - began)

    async def _step(self) -> None:
        identity = uuid.uuid4().hex
        self._left[identity] = _STEP
        ended = self._ended[identity] = asyncio.get_running_loop().create_future()
        await self._executor.submit(_jobs(identity))
        async with asyncio.timeout(_PATIENCE_S):
            await ended
        del self._left[identity], self._ended[identity]


@asynccontextmanager
async def opened(
    servers: Servers, sets: Mapping[str, str], folder: Path, *, keeps: bool
) -> AsyncIterator[Submitting]:
    """The executor service, and who submits to it; `keeps`: claims, journal and results."""
    address = free_address()
    listed = [f"{key}={value}" for key, value in sets.items()]
    listed.append(f'executor.address=["{address}"]')
    profile = bound("fleet", layered("fleet", {}, listed), Registry.discovered())
    context = FactoryContext(system_clock, secrets_from(os.environ), folder / "home")
    client = await nats.connect(servers.nats)
    only = (PortName.EXECUTOR, PortName.BLOBS)
    with _service(servers, sets, folder, address, keeps=keeps):
        async with opened_ports(profile, context, only=only) as ports:
            ours = Submitting(ports[PortName.EXECUTOR])

            async def result(message: Any) -> None:
                data = json.loads(message.data)["data"]
                ours.arrived(data["deliberation_id"], data["outcome"])

            await client.subscribe("agent.results.>", cb=result)
            yield ours
    await client.close()


def _service(
    servers: Servers, sets: Mapping[str, str], folder: Path, address: str, *, keeps: bool
) -> AbstractContextManager[None]:
    # The workers of both lie side by side, and one is idle.
    sets = {**sets, "runner.cpus": "0"}
    if keeps:
        return served("executor", {**sets, "services.executor.listen": address}, folder)
    command = [sys.executable, "-m", "fleet_features.bench.executor_service"]
    command += ["--home", str(folder / "home"), "--listen", address, "--nats", servers.nats]
    for key, value in sets.items():
        command += ["--set", f"{key}={value}"]
    return running(command, folder / "light.log")


def _jobs(deliberation_id: str) -> Sequence[AgentJob]:
    request = ModelRequest(
        "default", "stub", (Message(Speaker.USER, PROMPT),), Sampling(max_tokens=512)
    )
    work = ModelCall(request)
    share = Slice(estimate_prompt(request.messages), 512, 0, system_clock() + _HOUR_MS)
    out = []
    for seat in range(1, _STEP + 1):
        key = JobKey(1, "propose", seat)
        identity = job_id(deliberation_id, key, work)
        token = task_token(_PLAN, "t")
        out.append(
            AgentJob(
                identity,
                deliberation_id,
                _PLAN,
                "bench",
                "t",
                token,
                f"dev-{seat}",
                "DEV",
                key,
                work,
                share,
            )
        )
    return out
