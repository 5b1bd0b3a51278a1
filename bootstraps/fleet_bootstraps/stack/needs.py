"""What a profile needs beside itself: servers that nobody named, and services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fleet_bootstraps.layers import builtin_names
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.services.roles import Role, ports_of
from fleet_core.errors import InputError
from fleet_plugins.api import PortName
from fleet_plugins.rebind import named_bindings
from fleet_plugins.registry import Binding

_SERVED = {
    "nats": ("nats", "servers"),
    "valkey": ("valkey", "url"),
    "neo4j": ("neo4j", "uri"),
    "ray": ("ray", "address"),
    "openai": ("model", "base_url"),
}
"""By adapter: the server that it needs, and the setting that says where that is."""
_BESIDE = (
    (Role.EXECUTOR, "executor", PortName.RUNNER),
    (Role.CONTEXT, "hydrator", PortName.GRAPH),
)
"""Services beside the orchestrator, where it does not open that port; and the table that says
where they are."""
_ORDER = ("nats", "valkey", "neo4j", "model", "ray")


@dataclass(frozen=True, slots=True)
class Needs:
    """What is to be started.

    Attributes:
        servers: by name, in order of their start: the settings that are told the address.
        services: in order of their start.
        named: by part that is not started, why: the setting that names another.
    """

    servers: Mapping[str, tuple[str, ...]]
    services: tuple[Role, ...]
    named: Mapping[str, str] = field(default_factory=dict)


def needs_of(profile: Profile) -> Needs:
    """The servers that the adapters of the profile's services need and whose address nobody set.

    What a built-in profile says of an address is a default, not somebody's wish. What the
    orchestrator does in its own process, or by services that the profile names, needs no service.
    """
    named: dict[str, str] = {}
    services = []
    own = ports_of(Role.ORCHESTRATOR, profile.bindings)
    for role, table, port in _BESIDE:
        if port in own:
            continue
        if is_set(profile, table, "address"):
            named[role] = f"{table}.address"
        else:
            services.append(role)
    services += [Role.ORCHESTRATOR, Role.MONITOR]
    servers: dict[str, list[str]] = {}
    for table, binding in _opened(profile, services):
        server, key = _SERVED.get(binding.adapter.name, ("", ""))
        if not hasattr(binding.settings, key):
            continue
        if is_set(profile, table, key):
            named[server] = f"{table}.{key}"
        else:
            servers.setdefault(server, []).append(f"{table}.{key}")
    ordered = {name: tuple(servers[name]) for name in _ORDER if name in servers}
    return Needs(ordered, tuple(services), {n: s for n, s in named.items() if n not in ordered})


def is_set(profile: Profile, table: str, key: str) -> bool:
    """Whether somebody gave that setting: a file, the environment, or an option."""
    given = profile.tables.get(table, {}).get(key)
    return given is not None and given.source not in {f"profile {n}" for n in builtin_names()}


def require_started(needs: Needs, ports: Mapping[str, int]) -> None:
    """Refuse a port for what is not started.

    Raises:
        InputError: says why it is not.
    """
    for name, port in ports.items():
        if name in needs.servers or name in needs.services:
            continue
        why = f"{needs.named[name]} is set" if name in needs.named else "this profile needs none"
        raise InputError(f"{name} is not started: {why}", source=f"--port {name}={port}")


def _opened(profile: Profile, services: list[Role]) -> Iterator[tuple[str, Binding]]:
    """The tables and bindings of all that the services, and the workers of their runner, open."""
    ports: set[PortName] = set()
    for role in services:
        ports |= ports_of(role, profile.bindings)
    for port in sorted(ports):
        for binding in named_bindings(profile.bindings[port]).values():
            ports |= {PortName(built) for built in binding.adapter.builds}
    for port in sorted(ports):
        for name, binding in named_bindings(profile.bindings[port]).items():
            yield (port if name == "default" else f"{port}s.{name}"), binding
