"""What an adapter author writes against: the hook, the registration record, the factory's context.

An adapter is one entry point of the group `fleet`, named `<port>.<name>`, whose object has a
`fleet_adapter` hook implementation that returns an `Adapter`. Loading that object must not import
the adapter's driver: the factory does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pluggy

from fleet_core.ports.clock import Clock

PROJECT = "fleet"
ENTRY_POINT_GROUP = "fleet"
API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class PortName(StrEnum):
    """The ports an adapter can stand behind; also the tables of a profile."""

    BUS = "bus"
    TOKENS = "tokens"
    EXECUTOR = "executor"
    HYDRATOR = "hydrator"
    RUNNER = "runner"
    MODEL = "model"
    GRAPH = "graph"
    STATE = "state"
    BLOBS = "blobs"
    CHECK = "check"
    PROTOCOL = "protocol"
    RANKER = "ranker"


class Capability(StrEnum):
    """What an adapter can do beyond its port's promise; profiles are checked against these."""

    DURABLE = "durable"  # survives a kill of the process
    SHARED_PROCESS = "shared by process"  # usable by everything in one process
    SHARED_HOST = "shared by host"  # several processes of one host see the same
    SHARED_NETWORK = "shared by network"  # processes of several hosts see the same
    STREAMING = "streaming"
    STRUCTURED = "structured output"
    TOKENIZER = "tokenizer"


@dataclass(frozen=True, slots=True)
class Bound:
    """What a profile binds behind a port, as plain data that can travel to another process.

    `fleet_plugins.rebind.rebound` makes of it there what `open_ports` takes.

    Attributes:
        adapter: its name; the port is known from where this stands.
        settings: JSON data of its settings; what equals a default is left out.
        distribution, version: what installed the adapter here; empty where nothing did.
    """

    adapter: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    distribution: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class FactoryContext:
    """What a factory is given.

    Attributes:
        clock: now, in UTC milliseconds.
        secret: the value of a secret by its name; raises ProfileError where it is not set.
        home: FLEET_HOME; exists.
        process: the process's role: `embedded`, `orchestrator`, `executor`, `context`, `worker`.
        ports: the ports named in `requires`. `model` and `check` are mappings, by binding name
            and by check kind; every other one is the port itself.
        bindings: what the profile binds behind the ports named in `builds`, by binding name; the
            one of a port that has no names is called `default`.
        log: a logger of the adapter's own.
    """

    clock: Clock
    secret: Callable[[str], str]
    home: Path
    process: str = "embedded"
    ports: Mapping[str, Any] = field(default_factory=dict)
    bindings: Mapping[str, Mapping[str, Bound]] = field(default_factory=dict)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("fleet"))


Factory = Callable[[Any, FactoryContext], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Adapter:
    """How an adapter registers.

    Attributes:
        port, name: together its entry point's name.
        settings: a frozen dataclass of picklable data, whose field defaults are the defaults.
        factory: opens the port for as long as its context is held.
        capabilities: what it can do beyond the port's promise.
        requires: ports the factory finds in `FactoryContext.ports`.
        extra: the extra of the distribution that installs its driver; empty for none.
        api_version: the `API_VERSION` it was written for; any other is quarantined.
        summary: one line for `fleet plugins list`.
        builds: ports whose adapters it opens elsewhere, in processes of its own, by the same
            factories; it finds them in `FactoryContext.bindings`, and they are not opened for it.
    """

    port: PortName
    name: str
    settings: type[Any]
    factory: Factory
    capabilities: frozenset[Capability] = frozenset()
    requires: tuple[PortName, ...] = ()
    extra: str = ""
    api_version: int = API_VERSION
    summary: str = ""
    builds: tuple[PortName, ...] = ()


class AdapterPlugin:
    """The object an entry point names, where an author needs nothing but to return an adapter."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    @hookimpl
    def fleet_adapter(self) -> Adapter:
        """The adapter behind this entry point."""
        return self._adapter
