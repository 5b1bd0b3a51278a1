"""Every adapter this environment has, loaded when it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from fleet_core.errors import PluginError, ProfileError
from fleet_plugins.api import Adapter, PortName
from fleet_plugins.discovery import (
    OBSERVER,
    Discovery,
    Found,
    discover,
    misnamed,
    refuse_twice,
)
from fleet_plugins.record import adapter_of, hooks_of
from fleet_plugins.settings import close_matches, decode_settings

AVAILABLE = "available"
QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Binding:
    """An adapter with its settings, ready to be opened; `distribution` is what installed it."""

    adapter: Adapter
    settings: Any
    distribution: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of `fleet plugins list`; `summary`, `extra`, `capabilities` only once loaded."""

    port: str
    name: str
    distribution: str
    version: str
    status: str
    reason: str = ""
    summary: str = ""
    extra: str = ""
    capabilities: tuple[str, ...] = ()


class Registry:
    """Adapters by port and name.

    Nothing is imported until `load`. A plugin that does not load, or breaks the agreement, is
    quarantined: listed with its reason, and an error only to whoever needs it.
    """

    def __init__(self, discovery: Discovery | None = None) -> None:
        discovery = discovery or Discovery()
        self._found = {found.full_name: found for found in discovery.found}
        self._malformed = discovery.malformed
        self._loaded: dict[str, Adapter] = {}
        self._managers: dict[str, pluggy.PluginManager] = {}
        self._quarantine: dict[str, str] = {}
        self._complaints: dict[str, str] = {}
        self._log = logging.getLogger("fleet.plugins")

    @classmethod
    def discovered(cls) -> Registry:
        """The registry of the running environment's entry points.

        Raises:
            PluginError: two distributions register one name.
        """
        return cls(discover())

    def register(self, entry_name: str, plugin: object, *, distribution: str = "") -> None:
        """Add a plugin of this process, as if an entry point named it.

        Raises:
            PluginError: the name is malformed or taken.
        """
        reason = misnamed(entry_name)
        if reason:
            raise PluginError(f"entry {entry_name!r}: {reason}")
        port, _, name = entry_name.partition(".")
        found = Found(port, name, lambda: plugin, distribution)
        refuse_twice(self._found.get(entry_name), found)
        self._found[entry_name] = found

    def names(self, port: str) -> tuple[str, ...]:
        """The adapters of a port, quarantined ones too, in alphabetical order."""
        return tuple(sorted(found.name for found in self._found.values() if found.port == port))

    def load(self, port: str, name: str) -> Adapter:
        """The adapter of that name, verified; its module is imported the first time.

        Raises:
            ProfileError: there is no such port or adapter; offers close matches.
            PluginError: it is quarantined, with the reason.
        """
        if port not in set(PortName):
            raise ProfileError(f"no port {port!r}", close_matches(port, PortName), field=port)
        found = self._found.get(f"{port}.{name}")
        if found is None:
            hint = close_matches(name, self.names(port))
            raise ProfileError(f"no adapter {name!r} for it", hint, field=f"{port}.use")
        if not self._admit(found):
            raise self._quarantined(found)
        return self._loaded[found.full_name]

    def bind(
        self,
        port: str,
        name: str,
        data: Mapping[str, Any] | None = None,
        *,
        source: str = "",
        at: str = "",
    ) -> Binding:
        """Load an adapter and decode its settings; see `load` and `decode_settings`."""
        adapter = self.load(port, name)
        settings = decode_settings(adapter.settings, data or {}, source=source, at=at or port)
        return self.binding(adapter, settings)

    def binding(self, adapter: Adapter, settings: Any) -> Binding:
        """A loaded adapter with settings that are decoded already."""
        return Binding(
            adapter, settings, self._found[f"{adapter.port}.{adapter.name}"].distribution
        )

    def listing(self, *, load: bool = False) -> tuple[Listed, ...]:
        """Every entry by port and name, malformed ones last.

        Args:
            load: import each plugin first, to know what is broken and what it says of itself.
        """
        entries = sorted(self._found.values(), key=lambda found: found.full_name)
        if load:
            for found in entries:
                self._admit(found)
        lines = [self._line(found) for found in entries]
        lines += [
            Listed("", bad.name, bad.distribution, bad.version, QUARANTINED, bad.reason)
            for bad in self._malformed
        ]
        return tuple(lines)

    def load_observers(self) -> None:
        """Load the `observer.*` entries; one that does not load is quarantined and logged."""
        for found in tuple(self._found.values()):
            if found.port == OBSERVER and not self._admit(found):
                self._log.warning("%s", self._quarantined(found))

    def observe(self, event: str, detail: Mapping[str, str]) -> None:
        """Tell every loaded plugin's `fleet_observe`; what one raises is logged and listed."""
        for name, manager in tuple(self._managers.items()):
            try:
                manager.hook.fleet_observe(event=event, detail=dict(detail))
            except Exception as error:  # noqa: BLE001 -- an observer may not change the outcome
                self._complaints[name] = f"its observer failed on {event}: {_spoken(error)}"
                self._log.warning("%s: %s", name, self._complaints[name])

    def _admit(self, found: Found) -> bool:
        """Load a plugin once; whether it may be used."""
        name = found.full_name
        if name in self._managers or name in self._quarantine:
            return name in self._managers
        try:
            manager = hooks_of(found, found.load())
            if found.port != OBSERVER:
                self._loaded[name] = adapter_of(found, manager)
            self._managers[name] = manager
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- a stranger's import may raise anything
            self._quarantine[name] = _spoken(error)
        return name in self._managers

    def _quarantined(self, found: Found) -> PluginError:
        reason = self._quarantine[found.full_name]
        owner = f" of {found.distribution} {found.version}".rstrip() if found.distribution else ""
        return PluginError(
            f"adapter {found.full_name}{owner} cannot be used: {reason}",
            "mend or uninstall it, or name another adapter in the profile",
        )

    def _line(self, found: Found) -> Listed:
        name = found.full_name
        broken = self._quarantine.get(name, "")
        adapter = self._loaded.get(name)
        return Listed(
            port=found.port,
            name=found.name,
            distribution=found.distribution,
            version=found.version,
            status=QUARANTINED if broken else AVAILABLE,
            reason=broken or self._complaints.get(name, ""),
            summary=adapter.summary if adapter else "",
            extra=adapter.extra if adapter else "",
            capabilities=_sorted(adapter.capabilities) if adapter else (),
        )


def _sorted(values: frozenset[Any]) -> tuple[str, ...]:
    return tuple(sorted(str(value) for value in values))


def _spoken(error: BaseException) -> str:
    """An error in one line; our own already speak plainly, a stranger's is named by its class."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"it needs the module {error.name}, which is not installed"
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
