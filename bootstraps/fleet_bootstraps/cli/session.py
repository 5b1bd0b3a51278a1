"""From a command's options to a profile, and to the ports that the command needs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_bootstraps.fleet import opened_ports, system_clock
from fleet_bootstraps.layers import home as home_of
from fleet_bootstraps.layers import layered
from fleet_bootstraps.profile import Profile, bound
from fleet_bootstraps.secrets import secrets_from
from fleet_core.errors import InputError
from fleet_core.ports.state_store import StateStore
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

DEFAULT_PROFILE = "embedded"


@dataclass(frozen=True, slots=True)
class Session:
    """A checked profile and where it keeps things; nothing is opened."""

    profile: Profile
    registry: Registry
    context: FactoryContext

    @property
    def home(self) -> Path:
        """FLEET_HOME."""
        return self.context.home

    @asynccontextmanager
    async def ports(self, *only: PortName) -> AsyncIterator[Mapping[PortName, Any]]:
        """Ports of the profile, all or only some."""
        async with opened_ports(
            self.profile, self.context, self.registry.observe, only=only
        ) as ports:
            yield ports

    @asynccontextmanager
    async def state(self) -> AsyncIterator[StateStore]:
        """The state store alone, for commands that look at what is kept."""
        async with self.ports(PortName.STATE) as ports:
            store: StateStore = ports[PortName.STATE]
            yield store


def session(profile: str, sets: Sequence[str] = (), home: Path | None = None) -> Session:
    """Bind a profile with everything laid over it.

    Raises:
        ProfileError: names the file, variable or option, the key and the way out.
        PluginError: a named adapter's plugin does not load.
        InputError: FLEET_HOME is no folder.
    """
    registry = Registry.discovered()
    where = folder(home)
    bound_ = bound(profile, layered(profile, os.environ, sets), registry)
    registry.load_observers()
    context = FactoryContext(system_clock, secrets_from(os.environ), where)
    return Session(bound_, registry, context)


def folder(home: Path | None = None) -> Path:
    """FLEET_HOME, of the option or else of the environment.

    Raises:
        InputError: something else is there.
    """
    where = home.absolute() if home is not None else home_of()
    if where.exists() and not where.is_dir():
        raise InputError(
            "is not a folder", "name a folder by --home or FLEET_HOME", source=str(where)
        )
    return where
