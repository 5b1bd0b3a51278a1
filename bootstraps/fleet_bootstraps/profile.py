"""From layered tables to bound adapters and frozen settings; everything is checked here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

from fleet_bootstraps.layers import NAMED_TABLES, Given, Tables
from fleet_bootstraps.settings import (
    DEFAULT_PORTS,
    ContextSettings,
    CouncilSettings,
    DeliberationSettings,
    FleetSettings,
    LeaseSettings,
    PriceSettings,
    ServiceSettings,
)
from fleet_core.domain.council import role_name
from fleet_core.errors import ProfileError
from fleet_plugins.api import Capability, PortName
from fleet_plugins.lifetimes import NAMED, Bindings
from fleet_plugins.registry import Binding, Registry
from fleet_plugins.settings import close_matches, decode_settings, from_text

T = TypeVar("T")

STRATEGIES = (PortName.PROTOCOL, PortName.RANKER)
"""Ports that need no binding: the core has its own; a table adds a plugin's."""
SINGLE = tuple(p for p in PortName if p not in (*NAMED, *STRATEGIES))
_OWN: dict[str, type[Any]] = {
    "deliberation": DeliberationSettings,
    "lease": LeaseSettings,
    "context": ContextSettings,
}
_NAMED_PORTS = {"models": PortName.MODEL, "checks": PortName.CHECK}
_KEEPING = (PortName.BUS, PortName.STATE, PortName.BLOBS, PortName.GRAPH)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile, bound and checked; nothing is opened yet.

    Attributes:
        name: as it was asked for.
        bindings: adapters with their settings, by port; those of model and check by name.
        settings: everything else.
        tables: what was laid over what, for `fleet profiles show`.
    """

    name: str
    bindings: Bindings
    settings: FleetSettings
    tables: Tables

    def models(self) -> Mapping[str, Binding]:
        """Model bindings by name; `default` is `[model]`."""
        bound = self.bindings[PortName.MODEL]
        return {"default": bound} if isinstance(bound, Binding) else bound

    @property
    def durable(self) -> bool:
        """Whether what it keeps outlives the process."""
        return all(self.can(port, Capability.DURABLE) for port in _KEEPING)

    def can(self, port: PortName, capability: Capability) -> bool:
        """Whether the adapter behind a port, which has only one, has a capability."""
        return capability in _one(self.bindings, port).adapter.capabilities


def bound(name: str, tables: Tables, registry: Registry) -> Profile:
    """Check every table and key, and load the adapters that are named.

    Raises:
        ProfileError: an unknown table, adapter or key, a wrong type or value, or adapters that do
            not fit together; names the source, the field and the way out.
        PluginError: a named adapter's plugin does not load.
    """
    known = [*SINGLE, *STRATEGIES, *NAMED, *_OWN, *NAMED_TABLES]
    for table, entries in tables.items():
        head = table.split(".")[0]
        if head not in known:
            source = next(iter(entries.values())).source if entries else name
            hint = close_matches(head, [str(k) for k in known])
            raise ProfileError("unknown table", hint, source=source, field=table)
    bindings: dict[PortName, Binding | Mapping[str, Binding]] = {
        port: _bind(port, port, tables, registry, name)
        for port in (*SINGLE, *STRATEGIES)
        if port in SINGLE or port in tables
    }
    for plural, port in _NAMED_PORTS.items():
        named = {"default": _bind(port, port, tables, registry, name)}
        for table in tables:
            head, _, binding_name = table.partition(".")
            if head == plural:
                named[binding_name] = _bind(port, table, tables, registry, name)
        bindings[port] = named
    own = {table: _own(cls, table, tables) for table, cls in _OWN.items()}
    settings = FleetSettings(
        own["deliberation"],
        own["lease"],
        own["context"],
        {role_name(r): s for r, s in _named(CouncilSettings, "councils", tables).items()},
        _named(PriceSettings, "prices", tables),
        _named_services(tables),
    )
    _refuse_unbound_models(settings, bindings[PortName.MODEL], tables)
    _refuse_half_durable(name, bindings)
    return Profile(name, bindings, settings, tables)


def _bind(port: PortName, table: str, tables: Tables, registry: Registry, profile: str) -> Binding:
    entries = dict(tables.get(table, {}))
    use = entries.pop("use", None)
    if use is None:
        raise ProfileError(
            "names no adapter",
            f"one of: {', '.join(registry.names(port))}",
            source=profile,
            field=f"{table}.use",
        )
    try:
        adapter = registry.load(port, str(use.value))
    except ProfileError as error:
        raise ProfileError(
            error.message, error.hint, source=use.source, field=f"{table}.use"
        ) from None
    data = _data(adapter.settings, table, entries)
    return registry.bind(port, adapter.name, data, source=profile, at=table)


def _own(cls: type[T], table: str, tables: Tables) -> T:
    return _decoded(cls, table, tables.get(table, {}))


def _named(cls: type[T], head: str, tables: Tables) -> dict[str, T]:
    return {
        table.partition(".")[2]: _decoded(cls, table, entries)
        for table, entries in tables.items()
        if table.startswith(f"{head}.")
    }


def _named_services(tables: Tables) -> dict[str, ServiceSettings]:
    found = _named(ServiceSettings, "services", tables)
    for name in found:
        if name not in DEFAULT_PORTS:
            given = next(iter(tables[f"services.{name}"].values()), None)
            raise ProfileError(
                "there is no such service",
                close_matches(name, list(DEFAULT_PORTS)),
                source=given.source if given is not None else "",
                field=f"services.{name}",
            )
    return found


def _decoded(cls: type[T], table: str, entries: Mapping[str, Given]) -> T:
    return decode_settings(cls, _data(cls, table, entries), at=table)


def _data(cls: type[Any], table: str, entries: Mapping[str, Given]) -> dict[str, Any]:
    """What entries give; each is checked alone first, so that an error names its source."""
    data: dict[str, Any] = {}
    for key, given in entries.items():
        value = given.value
        if given.is_text:
            value = from_text(cls, key, str(value), source=given.source, at=table)
        piece: Any = value
        for part in reversed(key.split(".")):
            piece = {part: piece}
        _check_alone(cls, piece, given.source, table)
        _merge(data, piece)
    return data


def _check_alone(cls: type[Any], piece: dict[str, Any], source: str, table: str) -> None:
    try:
        decode_settings(cls, piece, source=source, at=table)
    except ProfileError as error:
        if error.message != "missing":
            raise


def _merge(into: dict[str, Any], piece: dict[str, Any]) -> None:
    for key, value in piece.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _refuse_unbound_models(settings: FleetSettings, models: Any, tables: Tables) -> None:
    wanted = {f"councils.{role}.model": c.model for role, c in settings.councils.items()}
    for role, council in settings.councils.items():
        for index, agent in enumerate(council.agents):
            if agent.model is not None:
                wanted[f"councils.{role}.agents[{index}].model"] = agent.model
    if settings.deliberation.judge.enabled:
        wanted["deliberation.judge.model"] = settings.deliberation.judge.model
    wanted |= {f"prices.{name}": name for name in settings.prices}
    for field, name in wanted.items():
        if name not in models:
            table = ".".join(field.split(".")[:2]) if field[0] in "cp" else "deliberation"
            sources = [g.source for g in tables.get(table, {}).values()]
            raise ProfileError(
                f"there is no model binding {name!r}",
                close_matches(name, list(models)),
                source=sources[-1] if sources else "",
                field=field,
            )


def _refuse_half_durable(name: str, bindings: Bindings) -> None:
    """Stores that remember beside stores that forget would contradict each other after a start."""
    keeps = {
        port: Capability.DURABLE in _one(bindings, port).adapter.capabilities for port in _KEEPING
    }
    if len(set(keeps.values())) > 1:
        forgetful = ", ".join(
            f"{port}.{_one(bindings, port).adapter.name}"
            for port, kept in keeps.items()
            if not kept
        )
        raise ProfileError(
            f"{forgetful} forgets at the end of the process what the others keep",
            "bind durable adapters to all of bus, state, blobs and graph, or to none",
            source=name,
        )


def _one(bindings: Bindings, port: PortName) -> Binding:
    bound_ = bindings[port]
    assert isinstance(bound_, Binding)
    return bound_


def plain(value: Any) -> Any:
    """Settings as JSON data, defaults included, for `fleet profiles show`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value
