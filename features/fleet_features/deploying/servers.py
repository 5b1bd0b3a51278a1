"""The servers that services stand on: real ones, from packages, started for the features alone."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_bootstraps.profile import Profile
from fleet_bootstraps.stack.nats import nats_server
from fleet_bootstraps.stack.neo4j import Neo4jServer, neo4j_server
from fleet_bootstraps.stack.neo4j_libraries import cached_servers, ensure_neo4j
from fleet_bootstraps.stack.ray import ray_head
from fleet_bootstraps.stack.valkey import valkey_server
from fleet_core.errors import ProfileError
from fleet_plugins.api import PortName
from fleet_plugins.registry import Binding

RAY_TOKEN = "FLEET_FEATURES_RAY_TOKEN"
NEO4J_PASSWORD = "FLEET_FEATURES_NEO4J_PASSWORD"
_KNOWN: Mapping[PortName, tuple[str, ...]] = {
    PortName.BUS: ("nats",),
    PortName.TOKENS: ("nats", "memory"),
    PortName.STATE: ("valkey",),
    PortName.BLOBS: ("valkey",),
    PortName.RUNNER: ("ray", "local"),
    PortName.EXECUTOR: ("grpc", "nats"),
    PortName.HYDRATOR: ("grpc", "direct"),
}
"""What the features know how to start a server for, and to empty between scenarios."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Servers that run.

    Attributes:
        settings: where they are, by `table.key`, for a profile.
        environ: the secrets that the settings name.
        nats, valkey: their URLs.
        neo4j: where the graph is kept on it; any other graph is a file in the scenario's home.
    """

    settings: Mapping[str, Any]
    nats: str
    valkey: str
    neo4j: Neo4jServer | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


def adapter_of(profile: Profile, port: PortName) -> str:
    """The name of the adapter behind a port."""
    bound = profile.bindings[port]
    assert isinstance(bound, Binding)
    return bound.adapter.name


def require_known(profile: Profile) -> None:
    """Refuse a profile of services over servers that the features cannot start.

    Raises:
        ProfileError: names the adapter.
    """
    for port, known in _KNOWN.items():
        name = adapter_of(profile, port)
        if name not in known:
            raise ProfileError(
                f"the features have no server of their own for {port}.{name}",
                f"with a service as executor they know {port}: {', '.join(known)}",
                source=profile.name,
                field=f"{port}.use",
            )


@asynccontextmanager
async def running_servers(profile: Profile, folder: Path) -> AsyncIterator[Servers]:
    """Start what a profile of services needs; whatever addresses it names are not touched."""
    require_known(profile)
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(nats_server(folder / "nats"))
        valkey = await stack.enter_async_context(valkey_server(folder / "valkey"))
        settings: dict[str, Any] = {
            "bus.servers": [nats],
            "state.url": valkey,
            "blobs.url": valkey,
        }
        for port in (PortName.TOKENS, PortName.EXECUTOR):
            if adapter_of(profile, port) == "nats":
                settings[f"{port}.servers"] = [nats]
        environ: dict[str, str] = {}
        graph = None
        if adapter_of(profile, PortName.GRAPH) == "neo4j":
            libraries = await ensure_neo4j(cached_servers())
            graph = await stack.enter_async_context(
                neo4j_server(folder / "neo4j", libraries, short_lived=True)
            )
            environ[NEO4J_PASSWORD] = graph.password
            settings |= {"graph.uri": graph.uri, "graph.password": NEO4J_PASSWORD}
        if adapter_of(profile, PortName.RUNNER) == "ray":
            token = secrets.token_hex(32)
            environ[RAY_TOKEN] = token
            head = await stack.enter_async_context(ray_head(folder / "ray", token))
            settings |= {"runner.address": head.address, "runner.token": RAY_TOKEN}
        yield Servers(settings, nats, valkey, graph, environ)
