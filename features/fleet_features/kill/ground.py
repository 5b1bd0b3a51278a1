"""Servers and services for a session of kills."""

from __future__ import annotations

import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_adapters.scripted.answering import HashedAnswers
from fleet_adapters.scripted.server import ScriptedServer, serve
from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.secrets import secrets_from
from fleet_bootstraps.stack.ports import HOST
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.usecases.stores import Stores
from fleet_features.bench.servers import free_address
from fleet_features.deploying.process import ServiceProcess, served
from fleet_features.interpreters import orchestrator_python
from fleet_features.kill.parts import Head, Nats, Neo4j, Part, Service, Valkey, Worker
from fleet_features.kill.work import TERMS
from fleet_features.profile_file import environ_without_settings, write_profile
from fleet_features.profiles import ProfileSource
from fleet_plugins.api import FactoryContext, PortName

PARTS = ("orchestrator", "executor", "context", "worker", "head", "nats", "valkey", "neo4j")
OF_RAY = ("worker", "head")
_TOKEN = "FLEET_KILL_RAY_TOKEN"
_PASSWORD = "FLEET_KILL_NEO4J_PASSWORD"
_DELAY_MS = 100
_CLAIM_TTL_MS = 1_000


@dataclass(frozen=True, slots=True)
class Ground:
    """A fleet that serves.

    Attributes:
        server: the model, in this process.
        stores: bus, state and blobs, as this process sees them.
        graph: what is recorded, as this process sees it.
        parts: what can be killed, by name.
    """

    server: ScriptedServer
    stores: Stores
    graph: ContextGraph
    parts: Mapping[str, Part]


@asynccontextmanager
async def ground(folder: Path, runner: str) -> AsyncIterator[Ground]:
    """The profile `fleet` on servers of its own, until the context is left.

    Args:
        folder: for whatever is kept and logged.
        runner: `ray`, or `local`: then the executor calls the model itself.
    """
    async with AsyncExitStack() as held:
        server = await held.enter_async_context(serve(HashedAnswers(_DELAY_MS), keep_seen=False))
        nats, valkey, neo4j = Nats(folder), Valkey(folder), Neo4j(folder)
        token = secrets.token_hex(32)
        head = Head(folder, token) if runner == "ray" else None
        for part in (nats, valkey, neo4j, head):
            if part is not None:
                held.push_async_callback(part.stop)
                await part.start()
        environ = environ_without_settings() | {
            _TOKEN: token,
            _PASSWORD: neo4j.serving.password,
        }
        terms = _of_servers(nats, valkey, neo4j, head)
        profile = _profile(runner, server, terms)
        file = write_profile(profile, folder / "profile.toml")

        async def service(name: str, python: str) -> ServiceProcess:
            return await served(
                name,
                file,
                python=python,
                home=folder / f"{name}-home",
                environ=environ,
                log=folder / f"{name}.log",
            )

        executor = Service("executor", lambda: service("executor", sys.executable), head)
        orchestrator = Service(
            "orchestrator", lambda: service("orchestrator", orchestrator_python()), head
        )
        context_service = Service("context", lambda: service("context", sys.executable), head)
        for one in (executor, context_service, orchestrator):
            held.push_async_callback(one.stop)
            await one.start()
        context = FactoryContext(system_clock, secrets_from(environ), folder, process="kill")
        only = (PortName.BUS, PortName.STATE, PortName.BLOBS, PortName.GRAPH)
        ports = await held.enter_async_context(opened_ports(profile, context, only=only))
        bus, state, blobs, graph = (ports[port] for port in only)
        stores = Stores(bus, state, blobs, system_clock)
        parts: list[Part] = [orchestrator, executor, context_service, nats, valkey, neo4j]
        if head is not None:
            parts += [Worker(head), head]
        yield Ground(server, stores, graph, {part.name: part for part in parts})


def _of_servers(nats: Nats, valkey: Valkey, neo4j: Neo4j, head: Head | None) -> dict[str, Any]:
    """Where they are, as settings."""
    terms: dict[str, Any] = {
        "bus.servers": [nats.url],
        "tokens.servers": [nats.url],
        "state.url": valkey.url,
        "blobs.url": valkey.url,
        "graph.uri": neo4j.serving.uri,
        "graph.password": _PASSWORD,
    }
    if head is not None:
        terms |= {"runner.address": head.serving.address, "runner.token": _TOKEN}
    return terms


def _profile(runner: str, server: ScriptedServer, servers: Mapping[str, Any]) -> Profile:
    address, context_address = free_address(), free_address()
    terms = {
        **TERMS,
        **servers,
        "executor.address": [address],
        "services.executor.listen": address,
        "services.executor.claim_ttl_ms": _CLAIM_TTL_MS,
        "hydrator.address": [context_address],
        "services.context.listen": context_address,
        "services.orchestrator.listen": f"{HOST}:0",
    }
    source = ProfileSource("fleet", (f"runner.use={runner}",))
    return source.with_terms(terms, base_url=server.base_url)
