"""What a context pack costs, on SQLite and on Neo4j, beside a bare query for the same rows.

Synthetic projects of 10 thousand, 100 thousand and 1 million nodes (`FLEET_BENCH_NODES` names
others); packs of 4,400 tokens by the ids of plan and task. They are asked for as fleets do: for
tasks of the plans that each story's history ends with. `GetContext` is measured in the service,
from request to answer, and over gRPC beside it; the floor is one query by the bare driver for the
plan and all that lies around the task, on the same data, alternately. "From anywhere" are tasks
drawn from all of the project, whose decisions the service has not told lately, and so has to
fetch. No two requests of a bench are the same, so none is answered from the cache of packs that
services on Neo4j keep in Valkey; it is asked all the same. Tokens are counted by the stated
estimate: a tokenizer's time is the model server's.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from neo4j import AsyncGraphDatabase

from fleet_adapters.grpc.context_server import ContextServicer, Hydration, serve_context
from fleet_adapters.grpc.pack_cache import PackCache
from fleet_adapters.grpc.proto.fleet.context.v1 import context_pb2 as pb
from fleet_adapters.grpc.proto.fleet.context.v1.context_pb2_grpc import ContextServiceStub
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_bootstraps.fleet import opened_ports, seldom_collected, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import bound
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.stack.neo4j import neo4j_server
from fleet_bootstraps.stack.neo4j_libraries import ensure_neo4j
from fleet_bootstraps.stack.valkey import valkey_server
from fleet_core.domain.context import PackRequest
from fleet_core.domain.history import Record
from fleet_core.domain.pack_items import query_of
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.testing.saying import ObedientModel
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.hydrate import Hydrate
from fleet_core.usecases.sessions import Sessions
from fleet_core.usecases.stores import Stores
from fleet_features.bench import hydrate_floor as floor
from fleet_features.bench import hydrate_project as project
from fleet_features.bench.figures import Figure, report
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.kit.json_bytes import dump
from fleet_plugins.kit.redaction import REDACTOR
from fleet_plugins.registry import Registry

NODES = (10_000, 100_000, 1_000_000)
BUDGET = 4_400
_ASKED = 100  # of a round, by each way
_BATCH = 400
_TIMES, _FLAT = 2.0, 1.5
_PORTS = (PortName.BUS, PortName.STATE, PortName.BLOBS, PortName.GRAPH)
_BARE, _OURS, _WIRE = "bare query", "GetContext", "over gRPC"
_BARE_FAR, _OURS_FAR = "bare query from anywhere", "GetContext from anywhere"
_LAST = 6  # plans of each story that a round's tasks are drawn from
Ask = Callable[[Any], Awaitable[Any]]
Prepare = Callable[[project.Place], Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """The ways to ask for what a task needs to know.

    Attributes:
        values: what the bare query is given for a task.
        bare: takes those; the other two take a request.
    """

    values: Prepare
    bare: Ask
    service: Ask
    wire: Ask


def run(rounds: int) -> int:
    """Measure; the exit code is 1 where a bar does not hold."""
    return asyncio.run(_run(rounds))


async def _run(rounds: int) -> int:
    named = os.environ.get("FLEET_BENCH_NODES", "")
    sizes = [int(one) for one in named.split(",")] if named else list(NODES)
    figures: list[Figure] = []
    for store, opened in (("sqlite", _sqlite), ("neo4j", _neo4j)):
        slowest: list[list[float]] = []
        for nodes in sizes:
            with tempfile.TemporaryDirectory(prefix="fleet-hydrate-") as name:
                async with opened(Path(name), nodes) as asked:
                    found, service = await _measured(
                        f"{store}, {nodes:,} nodes", asked, nodes, rounds
                    )
            figures += found
            slowest.append(service)
        growth = tuple(last / first for first, last in zip(slowest[0], slowest[-1], strict=True))
        what = f"{store}: p95 of {sizes[-1]:,} nodes by that of {sizes[0]:,}"
        figures.append(Figure(what, growth, "ratio", "lower", _FLAT))
    return report("hydrate", rounds, figures)


async def _measured(
    what: str, asked: Asked, nodes: int, rounds: int
) -> tuple[list[Figure], list[float]]:
    """The figures of one project, and the 95th percentile in the service of each round."""
    number = 0

    def request(place: project.Place) -> pb.GetContextRequest:
        return _by_id(place, number)

    ways: dict[str, tuple[Prepare, Ask]] = {
        _BARE: (asked.values, asked.bare),
        _OURS: (request, asked.service),
        _WIRE: (request, asked.wire),
        _BARE_FAR: (asked.values, asked.bare),
        _OURS_FAR: (request, asked.service),
    }
    times: dict[str, list[list[float]]] = {way: [] for way in ways}
    for number in range(rounds + 1):  # the first one warms up
        for some, last in (((_BARE, _OURS, _WIRE), _LAST), ((_BARE_FAR, _OURS_FAR), 0)):
            places = project.places(nodes, _ASKED * len(some), f"{nodes} {number}", last=last)
            taken: dict[str, list[float]] = {way: [] for way in some}
            for index, place in enumerate(places):
                way = some[index % len(some)]
                prepare, ask = ways[way]
                prepared = prepare(place)
                begin = time.perf_counter()
                await ask(prepared)
                taken[way].append((time.perf_counter() - begin) * 1e3)
            for way, values in taken.items():
                if number:
                    times[way].append(values)
    figures = [
        Figure(
            f"{what}: {way}, p{percent}",
            tuple(_percentile(values, percent) for values in times[way]),
            "ms",
            "lower",
        )
        for way in ways
        for percent in (50, 95, 99)
    ]
    slowest = {way: [_percentile(values, 95) for values in times[way]] for way in ways}
    for one, other, bar in (
        (_OURS, _BARE, _TIMES),
        (_WIRE, _BARE, None),
        (_OURS_FAR, _BARE_FAR, None),
    ):
        ratio = tuple(x / y for x, y in zip(slowest[one], slowest[other], strict=True))
        figures.append(Figure(f"{what}: p95, {one} by {other}", ratio, "ratio", "lower", bar))
    return figures, slowest[_OURS]


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


@asynccontextmanager
async def _sqlite(folder: Path, nodes: int) -> AsyncIterator[Asked]:
    sets = ["graph.use=sqlite", "graph.path=graph.sqlite"]
    async with _ours(folder, sets, {}, cached=False) as (graph, service, wire):
        await _filled(graph, "sqlite", nodes)
        bare = floor.open_sqlite(str(folder / "graph.sqlite"))

        def values(place: project.Place) -> dict[str, Any]:
            return {
                key: value.encode() if isinstance(value, str) and key != "ancestors" else value
                for key, value in _values(place, json.dumps).items()
            }

        async def ask(given: dict[str, Any]) -> int:
            return floor.ask_sqlite(bare, given)

        asked = Asked(values, ask, service, wire)
        await _same_rows(graph, asked, nodes)
        yield asked
        bare.close()


@asynccontextmanager
async def _neo4j(folder: Path, nodes: int) -> AsyncIterator[Asked]:
    libraries = await ensure_neo4j(_servers())
    memory = {"server.memory.pagecache.size": "512m"}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            neo4j_server(folder / "neo4j", libraries, settings=memory, heap_mb=1024)
        )
        environment = {"FLEET_BENCH_NEO4J": server.password}
        sets = [
            "graph.use=neo4j",
            f"graph.uri={server.uri}",
            "graph.password=FLEET_BENCH_NEO4J",
            "graph.timeout_ms=120000",  # of a batch, while the server is still warming up
            "state.use=valkey",
            f"state.url={await stack.enter_async_context(valkey_server(folder / 'valkey'))}",
        ]
        ours = _ours(folder, sets, environment, cached=True)
        graph, service, wire = await stack.enter_async_context(ours)
        await _filled(graph, "neo4j", nodes)
        driver = await stack.enter_async_context(
            AsyncGraphDatabase.driver(server.uri, auth=("neo4j", server.password))
        )

        def values(place: project.Place) -> dict[str, Any]:
            return _values(place, list)

        asked = Asked(
            values,
            lambda given: floor.ask_neo4j(driver, given),
            service,
            wire,
        )
        await _same_rows(graph, asked, nodes)
        yield asked


def _servers() -> Path:
    """Where servers' libraries are kept for all runs."""
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "swe-ai-fleet/servers"
    )


@asynccontextmanager
async def _ours(
    folder: Path, sets: list[str], environment: dict[str, str], *, cached: bool
) -> AsyncIterator[tuple[ContextGraph, Ask, Ask]]:
    """The graph, and GetContext in the service and over gRPC."""
    profile = bound("embedded", layered("embedded", {}, sets), Registry.discovered())
    context = FactoryContext(system_clock, secrets_from(environment), folder)
    async with AsyncExitStack() as stack:
        stack.enter_context(seldom_collected())  # as the service does
        ports = await stack.enter_async_context(opened_ports(profile, context, only=_PORTS))
        bus, state, blobs, graph = (ports[port] for port in _PORTS)
        stores = Stores(bus, state, blobs, system_clock, dump)
        hydrate = Hydrate(graph, ObedientModel(), stores, REDACTOR)
        sessions = Sessions(hydrate, state, system_clock)
        cache = PackCache(state, graph, lambda: "bench") if cached else None
        hydration = Hydration(hydrate, graph, Councils(state, {}), sessions, blobs, cache)
        servicer: Any = ContextServicer(hydration)
        settings = GrpcServerSettings("127.0.0.1:0")
        served = await stack.enter_async_context(serve_context(hydration, settings, str))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(served.address))
        stub: Any = ContextServiceStub(channel)
        yield (
            graph,
            lambda request: servicer.GetContext(request, None),
            stub.GetContext,
        )


def _by_id(place: project.Place, number: int) -> pb.GetContextRequest:
    """Requests of different rounds differ by their budget."""
    return pb.GetContextRequest(
        plan_id=place.plan_id, task_id=place.task_id, budget=BUDGET - number
    )


def _values(place: project.Place, listed: Callable[[list[str]], Any]) -> dict[str, Any]:
    """What a query for a task is given; as much is asked for as a pack asks for."""
    query = query_of(_asked(place), REDACTOR.name)
    return {
        "story": query.story,
        "plan": query.plan_id,
        "task": query.task_id,
        "ancestors": listed(list(query.ancestors)),
        "role": query.role,
        "before": query.before_ms,
        "most": query.limit,
        "titles": query.titles,
    }


def _asked(place: project.Place) -> PackRequest:
    record = project.plan_record(place.number)
    role = record.plan.task(place.task_id).role
    return PackRequest(record.plan_id, record.plan, place.task_id, role, record.approved_ms, BUDGET)


async def _same_rows(graph: ContextGraph, asked: Asked, nodes: int) -> None:
    """Refuse to compare a floor that fetches other rows than ours are made from."""
    for place in project.places(nodes, 5, "same"):
        around = await graph.neighbourhood(query_of(_asked(place), REDACTOR.name))
        parts = (around.ancestors, around.affecting, around.siblings, around.timeline, around.plans)
        ours, bare = sum(map(len, parts)), await asked.bare(asked.values(place))
        if ours != bare:
            raise AssertionError(f"the bare query fetched {bare} rows, ours {ours}, for {place}")


async def _filled(graph: ContextGraph, store: str, nodes: int) -> None:
    """Write the project, several stories at once."""
    begin = time.monotonic()
    stories = iter(range(project.STORIES))

    async def write() -> None:
        for story in stories:
            batch: list[Record] = []
            for record in project.records(nodes, story, REDACTOR.name):
                batch.append(record)
                if len(batch) == _BATCH:
                    await graph.restore(batch)
                    batch = []
            await graph.restore(batch)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(write())
    took = time.monotonic() - begin
    sys.stderr.write(f"{store}: {nodes:,} nodes written in {took:.0f} s\n")
