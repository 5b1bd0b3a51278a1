"""A bound profile as a file, whole, so that another process binds the same."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet_bootstraps.layers import ENVIRONMENT_PREFIX, OTHER_NAMES
from fleet_bootstraps.profile import Profile, plain
from fleet_plugins.api import PortName
from fleet_plugins.rebind import named_bindings

_PLURAL = {PortName.MODEL: "models", PortName.CHECK: "checks"}


def write_profile(profile: Profile, path: Path) -> Path:
    """Write every setting of a profile, defaults included; returns the path."""
    tables: dict[str, Mapping[str, Any]] = {}
    for port, bound in profile.bindings.items():
        for name, one in named_bindings(bound).items():
            table = str(port) if name == "default" else f"{_PLURAL[port]}.{name}"
            tables[table] = {"use": one.adapter.name, **plain(one.settings)}
    own = profile.settings
    for table in ("deliberation", "lease", "context"):
        tables[table] = plain(getattr(own, table))
    for head in ("councils", "prices", "services"):
        for name, settings in getattr(own, head).items():
            tables[f"{head}.{name}"] = plain(settings)
    lines = []
    for table, entries in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{_key(k)} = {_toml(v)}" for k, v in entries.items() if v is not None]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def environ_without_settings() -> dict[str, str]:
    """This process's environment without what would be laid over a profile file."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in OTHER_NAMES and not (name.startswith(ENVIRONMENT_PREFIX) and "__" in name)
    }


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = (f"{_key(k)} = {_toml(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)  # of texts, numbers and truths TOML's own form


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
