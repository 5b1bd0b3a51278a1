"""What the fleet profile adds to the hops and the durable writes of its chain.

A plan of one task with a council of one (`vote`: one model call) goes from
`planning.plan.approved` to `orchestration.deliberation.completed` through the services: JetStream,
the orchestrator, gRPC to the context service for the pack, gRPC, the executor, a Ray worker, HTTP,
and back. In turn with the floor (`chain_floor`), on the same servers: one at a time for the latency
(the next is handed in once the last is settled: its decision recorded, its plan saved as ended), 32
in flight for the throughput. Both keep plans and decisions in the same Neo4j and read there what a
pack is made from, the floor by one statement each. Documents and events of the floor are as large
as ours, and both ask the model in the same way: first for answers in one piece, then for streamed
ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import redis.asyncio as redis

from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import bound
from fleet_bootstraps.secrets import secrets_from
from fleet_core.domain.events import COMPLETED, encode
from fleet_core.domain.plan import Plan, Task
from fleet_core.usecases import keys
from fleet_core.usecases.approvals import approval
from fleet_features.bench import chain_floor
from fleet_features.bench.figures import Figure, report
from fleet_features.bench.servers import (
    Servers,
    asked,
    free_address,
    graph,
    real_servers,
    running,
    served,
    settings,
)
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

_SINGLE, _MANY, _AT_ONCE, _WARM = 60, 320, 32, 10
_HERE = "fleet_features.bench.chain_floor"
_COMPILED = 1_200  # by then Neo4j's Java runs what it has compiled, instead of compiling it
_PATIENCE_S = 60.0


def run(rounds: int) -> int:
    """Measure; the exit code is 1 where a bar does not hold."""
    return asyncio.run(_run(rounds))


async def _run(rounds: int) -> int:
    figures = []
    for streamed in (False, True):
        figures += _figures(await _measured(rounds, streamed=streamed), streamed=streamed)
    return report("chain", rounds, figures)


async def _measured(rounds: int, *, streamed: bool) -> dict[str, list[_Round]]:
    """The chains by what they are called, round by round in turn, on servers of their own."""
    with tempfile.TemporaryDirectory(prefix="fleet-chain-") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            servers = await real_servers(stack, folder)
            sets = settings(servers, streamed=streamed) | await graph(stack, folder)
            chains = {"ours": await stack.enter_async_context(_ours(servers, sets, folder))}
            await chains["ours"].warm(_WARM)
            await chains["ours"].together(_COMPILED)
            sizes = await _sizes(sets, folder)
            given = ["--sizes", json.dumps(sizes), "--body", json.dumps(asked(streamed=streamed))]
            given += ["--neo4j", sets["graph.uri"], "--secret", sets["graph.password"]]
            floor = _floor(servers, folder, given, sizes)
            chains["floor"] = await stack.enter_async_context(floor)
            await chains["floor"].together(_COMPILED)
            if not streamed:
                alone = _floor(servers, folder, [*given, "--no-writes"], sizes)
                chains["hops alone"] = await stack.enter_async_context(alone)
            for chain in chains.values():
                await chain.warm(_WARM)
            measured: dict[str, list[_Round]] = {called: [] for called in chains}
            for _ in range(rounds):
                for called, chain in chains.items():
                    measured[called].append(await chain.measured())
    return measured


@dataclass(frozen=True, slots=True)
class _Round:
    """Seconds of single tasks, and tasks a second with many in flight."""

    seconds: tuple[float, ...]
    rate: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]


def _figures(measured: dict[str, list[_Round]], *, streamed: bool) -> list[Figure]:
    how = ", streamed" if streamed else ""
    pairs = list(zip(measured["floor"], measured["ours"], strict=True))
    medians = tuple(ours.median / floor.median for floor, ours in pairs)
    tails = tuple(ours.p99 / floor.p99 for floor, ours in pairs)
    rates = tuple(ours.rate / floor.rate for floor, ours in pairs)
    out = [
        Figure(f"latency, median{how}", medians, "ratio", "lower", 1.5),
        Figure(f"latency, p99{how}", tails, "ratio", "lower", 2.0),
        Figure(f"throughput, 32 in flight{how}", rates, "ratio", "higher", 0.5),
    ]
    for called, rounds in measured.items():
        name = f"{called}{how}"
        out += [
            Figure(f"{name}: median", tuple(r.median * 1000 for r in rounds), "ms", "lower"),
            Figure(f"{name}: p99", tuple(r.p99 * 1000 for r in rounds), "ms", "lower"),
            Figure(f"{name}: 32 in flight", tuple(r.rate for r in rounds), "1/s", "higher"),
        ]
    return out


class Chain:
    """Hands tasks in at one end and waits for them at the other.

    Args:
        hand_in: publishes a task and returns its id, as `ended` will name it.
        settled: returns once nothing is left to be done of a task that has ended.
        logs: of the processes between.
    """

    def __init__(
        self,
        hand_in: Callable[[], Awaitable[str]],
        settled: Callable[[str], Awaitable[None]],
        logs: Sequence[Path],
    ) -> None:
        self._hand_in = hand_in
        self._settled = settled
        self._logs = logs
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._early: set[str] = set()

    def ended(self, identity: str) -> None:
        """A task has come to its end."""
        waiting = self._waiting.pop(identity, None)
        if waiting is None:
            self._early.add(identity)
        elif not waiting.done():
            waiting.set_result(None)

    async def alone(self) -> float:
        """Seconds of one task, which is settled afterwards."""
        identity, seconds = await self._one()
        await self._settled(identity)
        return seconds

    async def _one(self) -> tuple[str, float]:
        began = time.perf_counter()
        identity = await self._hand_in()
        if identity in self._early:
            self._early.discard(identity)
        else:
            waiting = self._waiting[identity] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await waiting
            except TimeoutError:
                said = "\n".join(log.read_text()[-2000:] for log in self._logs)
                raise RuntimeError(f"a task did not end; its services said:\n{said}") from None
        return identity, time.perf_counter() - began

    async def warm(self, number: int) -> None:
        """So many tasks that do not count."""
        for _ in range(number):
            await self.alone()

    async def measured(self) -> _Round:
        """One round."""
        seconds = [await self.alone() for _ in range(_SINGLE)]
        began = time.perf_counter()
        await self.together(_MANY)
        return _Round(tuple(seconds), _MANY / (time.perf_counter() - began))

    async def together(self, number: int) -> None:
        """So many tasks, many in flight."""
        seats = asyncio.Semaphore(_AT_ONCE)

        async def seated() -> None:
            async with seats:
                await self._one()

        await asyncio.gather(*(seated() for _ in range(number)))


@asynccontextmanager
async def _ours(servers: Servers, sets: Mapping[str, str], folder: Path) -> AsyncIterator[Chain]:
    client = await nats.connect(servers.nats)
    stream = client.jetstream()

    async def hand_in() -> str:
        event = approval(_plan(), 1, system_clock())
        identity = str(event.data["plan_id"])
        header = {"Nats-Msg-Id": event.event_id}
        await stream.publish(event.subject, encode(event), headers=header)
        return identity

    kept = redis.Redis.from_url(servers.valkey.replace("valkey:", "redis:", 1))

    async def settled(identity: str) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while await kept.exists(f"fleet:doc:{keys.plan_open(identity)}"):  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.001)

    services = ("context", "executor", "orchestrator")
    chain = Chain(hand_in, settled, [folder / f"{name}.log" for name in services])

    async def arrived(message: Any) -> None:
        data = json.loads(message.data)["data"]
        assert data["phase"] == "decided", data
        chain.ended(data["plan_id"])

    await client.subscribe(COMPLETED, cb=arrived)
    with ExitStack() as processes:
        for name in services:
            processes.enter_context(served(name, sets, folder))
        yield chain
    await client.close()
    await kept.aclose()


def _plan() -> Plan:
    task = Task("login", "Add a login button", "DEV", "The start page has no way to sign in.")
    return Plan(f"chain-{uuid.uuid4().hex}", "A page to sign in", (task,))


async def _nothing_left(_: str) -> None:
    """The end of a task of the floor is the last that is done of it."""


async def _sizes(sets: Mapping[str, str], folder: Path) -> dict[str, int]:
    """Bytes of the documents and events of ours, for the floor to write as many."""
    listed = [f"{key}={value}" for key, value in sets.items()]
    profile = bound("fleet", layered("fleet", {}, listed), Registry.discovered())
    context = FactoryContext(system_clock, secrets_from(os.environ), folder / "home")
    ports_wanted = (PortName.STATE, PortName.BUS)
    async with opened_ports(profile, context, only=ports_wanted) as ports:
        state = ports[PortName.STATE]

        async def size(prefix: str) -> int:
            return round(statistics.median(len(d.value) for d in await state.scan(prefix)))

        events = [
            len(encode(s.event)) async for s in ports[PortName.BUS].replay(["orchestration.>"])
        ]
        saved = [json.loads(d.value) for d in await state.scan("deliberation/")]
        packs = [len(json.dumps(one["state"]["pack"])) for one in saved]
        decided = await size("deliberation/")
        journal = await size("journal/")
        return {
            "plan": await size("plan/"),
            "decided": decided,
            "pack": round(statistics.median(packs)),
            "running": max(1, decided - journal),
            "started": max(1, decided // 2),
            "jobs": await size("jobs/"),
            "journal": journal,
            "event": round(statistics.median(events)),
        }


@asynccontextmanager
async def _floor(
    servers: Servers, folder: Path, options: Sequence[str], sizes: dict[str, int]
) -> AsyncIterator[Chain]:
    """The floor's processes, up and idle until they are measured."""
    client = await nats.connect(servers.nats)
    stream = client.jetstream()
    space = uuid.uuid4().hex[:8]

    async def hand_in() -> str:
        identity = uuid.uuid4().hex
        data = json.dumps({"id": identity, "pad": "x" * sizes["plan"]}).encode()
        subject = f"{chain_floor.root(space)}.plans"
        await stream.publish(subject, data, headers={"Nats-Msg-Id": identity})
        return identity

    roles = ("context", "executor", "orchestrator")
    logs = [folder / f"{role}-{space}.log" for role in roles]
    chain = Chain(hand_in, _nothing_left, logs)

    async def arrived(message: Any) -> None:
        chain.ended(json.loads(message.data)["id"])

    await client.subscribe(f"{chain_floor.root(space)}.done", cb=arrived)
    given = [
        "--space",
        space,
        "--nats",
        servers.nats,
        "--valkey",
        servers.valkey.replace("valkey:", "redis:", 1),
    ]
    given += ["--ray", servers.ray, "--model", servers.model, "--executor", free_address()]
    given += ["--context", free_address()]
    given += options
    with ExitStack() as processes:
        for log in logs:
            command = [sys.executable, "-m", _HERE, log.name.partition("-")[0], *given]
            processes.enter_context(running(command, log))
        yield chain
    await client.close()
