"""Which ports a service opens, and what a profile must share between services."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from fleet_bootstraps.profile import Profile
from fleet_core.errors import ProfileError
from fleet_plugins.api import Capability, PortName
from fleet_plugins.lifetimes import Bindings
from fleet_plugins.rebind import named_bindings


class Role(StrEnum):
    """The services; also `FactoryContext.process` of what they open."""

    ORCHESTRATOR = "orchestrator"
    EXECUTOR = "executor"
    CONTEXT = "context"
    MONITOR = "monitor"


_STORES = (PortName.BUS, PortName.STATE, PortName.BLOBS)
_WANTED = {
    Role.ORCHESTRATOR: (
        *_STORES,
        PortName.TOKENS,
        PortName.EXECUTOR,
        PortName.HYDRATOR,
        PortName.PROTOCOL,
        PortName.RANKER,
    ),
    Role.EXECUTOR: (*_STORES, PortName.TOKENS, PortName.RUNNER),
    Role.CONTEXT: (*_STORES, PortName.GRAPH, PortName.MODEL),
    Role.MONITOR: (*_STORES, PortName.TOKENS, PortName.PROTOCOL, PortName.RANKER),
}
_SHARED = (*_STORES, PortName.GRAPH)
_BEYOND_A_PROCESS = frozenset({Capability.SHARED_HOST, Capability.SHARED_NETWORK})


def ports_of(role: Role, bindings: Bindings) -> frozenset[PortName]:
    """The ports a service opens: those it works with, and those that their adapters require."""
    return with_required(_WANTED[role], bindings)


def with_required(ports: Iterable[PortName], bindings: Bindings) -> frozenset[PortName]:
    """Those of the ports that are bound, and those that their adapters require."""
    found: set[PortName] = set()
    left = [port for port in ports if port in bindings]
    while left:
        port = left.pop()
        if port in found:
            continue
        found.add(port)
        for binding in named_bindings(bindings[port]).values():
            left += [PortName(need) for need in binding.adapter.requires]
    return frozenset(found)


def require_shared(profile: Profile) -> None:
    """Refuse a profile whose services would each keep what the others must see.

    Raises:
        ProfileError: names the adapters, and where the first of them was chosen.
    """
    alone = [
        (port, binding)
        for port in _SHARED
        for binding in named_bindings(profile.bindings[port]).values()
        if not binding.adapter.capabilities & _BEYOND_A_PROCESS
    ]
    if not alone:
        return
    names = ", ".join(f"{port}.{binding.adapter.name}" for port, binding in alone)
    use = profile.tables.get(alone[0][0], {}).get("use")
    raise ProfileError(
        f"{names} cannot be shared by several processes, which services are",
        "bind adapters that are shared by host or by network (`fleet plugins list`), "
        "or run the plan in one process: fleet run",
        source=use.source if use is not None else profile.name,
        field=f"{alone[0][0]}.use",
    )
