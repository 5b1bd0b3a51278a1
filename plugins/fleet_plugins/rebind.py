"""Bindings as plain data, and back: for an adapter that opens others in processes of its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from fleet_core.domain.codec import to_data
from fleet_core.errors import PluginError
from fleet_plugins.api import Bound, PortName
from fleet_plugins.registry import Binding, Registry


def named_bindings(bound: Binding | Mapping[str, Binding]) -> Mapping[str, Binding]:
    """By name; a binding alone is called `default`."""
    return {"default": bound} if isinstance(bound, Binding) else bound


def described(bound: Binding | Mapping[str, Binding]) -> Mapping[str, Bound]:
    """A port's bindings as data, by name, with the versions that are installed here."""
    return {
        name: Bound(
            one.adapter.name,
            to_data(one.settings),
            one.distribution,
            installed_version(one.distribution),
        )
        for name, one in named_bindings(bound).items()
    }


def rebound(
    bindings: Mapping[PortName, Mapping[str, Bound]], registry: Registry
) -> dict[PortName, Mapping[str, Binding]]:
    """What `open_ports` takes, of what `FactoryContext.bindings` gave in another process.

    Raises:
        PluginError: an adapter is not installed here, does not load, or comes in another version
            of its distribution than there; names both.
        ProfileError: its settings are not what the adapter here takes.
    """
    return {
        port: {name: _rebound(port, bound, registry) for name, bound in named.items()}
        for port, named in bindings.items()
    }


def installed_version(distribution: str) -> str:
    """The version of a distribution in this environment; empty where it is not installed."""
    try:
        return version(distribution) if distribution else ""
    except PackageNotFoundError:
        return ""


def _rebound(port: PortName, bound: Bound, registry: Registry) -> Binding:
    called = f"{port}.{bound.adapter}"
    if bound.adapter not in registry.names(port):
        source = f" (it is of {bound.distribution} {bound.version})" if bound.distribution else ""
        raise PluginError(
            f"adapter {called} is not installed in the process that should open it{source}",
            "install there what is installed here",
        )
    binding = registry.bind(port, bound.adapter, bound.settings)
    found = installed_version(binding.distribution)
    if (binding.distribution, found) != (bound.distribution, bound.version):
        raise PluginError(
            f"adapter {called} is of {_named(bound.distribution, bound.version)} here and of "
            f"{_named(binding.distribution, found)} in the process that should open it",
            "install the same version in both",
        )
    return binding


def _named(distribution: str, its_version: str) -> str:
    return f"{distribution} {its_version}".strip() or "nothing installed"
