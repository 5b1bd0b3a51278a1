"""The `neo4j` adapter: the context graph on a Neo4j server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet_core.ports.context_graph import ContextGraph
from fleet_plugins.api import (
    Adapter,
    AdapterPlugin,
    Capability,
    FactoryContext,
    PortName,
)


@dataclass(frozen=True, slots=True)
class Neo4jSettings:
    """Where the server is and how it is spoken to.

    Attributes:
        uri: `bolt://host:port`, or `neo4j://` for a cluster; `bolt+s` and `neo4j+s` for TLS.
        database: empty for the user's home database, which is `neo4j` unless said otherwise.
        username: whose password follows.
        password: the NAME of the secret that holds it; empty for a server that asks for none.
        ca: a PEM file of authorities to trust beside the system's; relative to FLEET_HOME.
        cert: a PEM file with the certificate to show, where the server asks for one.
        key: a PEM file with that certificate's key; empty where `cert` holds it.
        timeout_ms: how long a call may take, with its retries and the making of a connection.
        connections: at most; a call holds one while it lasts.
    """

    uri: str = "bolt://127.0.0.1:7687"
    database: str = ""
    username: str = "neo4j"
    password: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    timeout_ms: int = 15_000
    connections: int = 16


@asynccontextmanager
async def _graph(settings: Neo4jSettings, ctx: FactoryContext) -> AsyncIterator[ContextGraph]:
    from fleet_adapters.neo4j._opening import opened  # noqa: PLC0415 -- loaded when bound
    from fleet_adapters.neo4j.graph import Neo4jContextGraph  # noqa: PLC0415 -- loaded when bound

    async with opened(settings, ctx) as link:
        yield Neo4jContextGraph(link)


graph = AdapterPlugin(
    Adapter(
        port=PortName.GRAPH,
        name="neo4j",
        settings=Neo4jSettings,
        factory=_graph,
        capabilities=frozenset(
            {
                Capability.DURABLE,
                Capability.SHARED_PROCESS,
                Capability.SHARED_HOST,
                Capability.SHARED_NETWORK,
            }
        ),
        extra="neo4j",
        summary="the context graph on a Neo4j server",
    )
)
