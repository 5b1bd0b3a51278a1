"""Writes a new adapter's distribution: small, installable, and green from the first test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from fleet_core.errors import InputError, PluginError
from fleet_plugins.api import PortName
from fleet_plugins.ports import PROTOCOLS
from fleet_plugins.scaffold.port_source import delegate
from fleet_plugins.settings import close_matches

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Start:
    """What a new adapter of a port starts from.

    Attributes:
        reference: the built-in adapter that it hands its calls to at first.
        module, contract: where the port's contract suite is.
        fixture: the fixture of the suite that gives the opened port.
    """

    reference: str
    module: str
    contract: str
    fixture: str


STARTS: Mapping[PortName, Start] = {
    PortName.BUS: Start("memory", "event_bus", "EventBusContract", "bus"),
    PortName.TOKENS: Start("memory", "token_stream", "TokenStreamContract", "tokens"),
    PortName.STATE: Start("memory", "state_store", "StateStoreContract", "state"),
    PortName.BLOBS: Start("memory", "blob_store", "BlobStoreContract", "blobs"),
    PortName.GRAPH: Start("memory", "context_graph", "ContextGraphContract", "graph"),
}
"""Ports whose contract suite needs the opened port only; others depend on further ports."""


def new_plugin(name: str, port: str, parent: Path) -> tuple[Path, ...]:
    """Write `<parent>/fleet-<port>-<name>/`.

    Returns:
        The files written.

    Raises:
        InputError: the name is malformed, there is no such port, or the folder is there already.
        PluginError: the port has no start yet.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"adapter name {name!r} should be lower-case letters, digits and single hyphens",
            "for example: tape",
            field="NAME",
        )
    if port not in set(PortName):
        raise InputError(f"no port {port!r}", close_matches(port, PortName), field="--port")
    member = PortName(port)
    if member not in STARTS:
        raise PluginError(
            f"there is no scaffold for the port {port} yet",
            f"take one of {', '.join(STARTS)}, or start from plugins/example",
        )
    folder = parent / f"fleet-{port}-{name}"
    if folder.exists():
        raise InputError("is there already", "choose another name or folder", source=str(folder))
    written = []
    for path, text in _files(name, member, folder.name).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        written.append(target)
    return tuple(written)


def _files(name: str, port: PortName, distribution: str) -> dict[str, str]:
    start, protocol = STARTS[port], PROTOCOLS[port]
    source = delegate(protocol)
    package = distribution.replace("-", "_")
    words = {
        "distribution": distribution,
        "package": package,
        "port": str(port),
        "member": port.name,
        "name": name,
        "attribute": str(port),
        "class_": "".join(part.capitalize() for part in name.split("-")) + protocol.__name__,
        "protocol": protocol.__name__,
        "port_module": protocol.__module__,
        "reference": start.reference,
        "imports": source.imports,
        "methods": source.methods,
        "contract_module": f"fleet_plugins.contracts.{start.module}",
        "contract": start.contract,
        "fixture": start.fixture,
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        f"{package}/__init__.py": "init.py",
        f"{package}/plugin.py": "plugin.py",
        f"{package}/adapter.py": "adapter.py",
        f"{package}/py.typed": "",
        "tests/test_contract.py": "test_contract.py",
    }
    return {path: _filled(template, words) for path, template in templates.items()}


def _filled(template: str, words: Mapping[str, str]) -> str:
    if not template:
        return ""
    text = files(__package__).joinpath("templates", f"{template}.tmpl").read_text()
    return Template(text).substitute(words)
