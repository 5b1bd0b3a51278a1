"""Finds adapters by their entry points' names, importing nothing of theirs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from fleet_core.errors import PluginError
from fleet_plugins.api import ENTRY_POINT_GROUP, PortName

OBSERVER = "observer"
"""The prefix of entries that adapt no port and only implement `fleet_observe`."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that can be loaded.

    Attributes:
        port: one of `PortName`, or `OBSERVER`.
        name: unique within the port.
        load: imports the plugin's module and returns the object the entry names.
        distribution, version: what installed it.
    """

    port: str
    name: str
    load: Callable[[], object]
    distribution: str = ""
    version: str = ""

    @property
    def full_name(self) -> str:
        """`<port>.<name>`, as the entry point is called."""
        return f"{self.port}.{self.name}"


@dataclass(frozen=True, slots=True)
class Malformed:
    """An entry of the group whose name is not `<port>.<name>`; `reason` ends with the way out."""

    name: str
    reason: str
    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """Everything the group holds, sorted by name."""

    found: tuple[Found, ...] = ()
    malformed: tuple[Malformed, ...] = ()


def discover(entries: Iterable[EntryPoint] | None = None) -> Discovery:
    """Read the entry points of the group `fleet`; those of this environment by default.

    Raises:
        PluginError: two distributions register one name; names both.
    """
    chosen = entry_points(group=ENTRY_POINT_GROUP) if entries is None else entries
    found: dict[str, Found] = {}
    malformed = []
    for entry in sorted(chosen, key=lambda entry: entry.name):
        distribution, version = _origin(entry)
        reason = misnamed(entry.name)
        if reason:
            malformed.append(Malformed(entry.name, reason, distribution, version))
            continue
        port, _, name = entry.name.partition(".")
        new = Found(port, name, entry.load, distribution, version)
        refuse_twice(found.get(entry.name), new)
        found[entry.name] = new
    return Discovery(tuple(found.values()), tuple(malformed))


def refuse_twice(first: Found | None, second: Found) -> None:
    """Raise PluginError where a name is already taken.

    Which of the two would answer depends on the order of installation, so neither does.
    """
    if first is None:
        return
    owners = " and ".join(found.distribution or "this process" for found in (first, second))
    raise PluginError(
        f"adapter {second.full_name} is registered twice, by {owners}", "uninstall one of them"
    )


def misnamed(entry_name: str) -> str:
    """Why a text is no `<port>.<name>`; empty where it is one."""
    port, dot, name = entry_name.partition(".")
    if not dot:
        return "should be named <port>.<name>"
    if port != OBSERVER and port not in set(PortName):
        return f"{port!r} is no port; the ports are {', '.join(PortName)}"
    if not _NAME.fullmatch(name):
        return f"{name!r} should be lower-case letters, digits, - and _, beginning with a letter"
    return ""


def _origin(entry: EntryPoint) -> tuple[str, str]:
    if entry.dist is None:
        return "", ""
    return entry.dist.name, entry.dist.version
