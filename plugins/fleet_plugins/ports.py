"""Which protocol stands behind each port's name, and whether an object keeps to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from fleet_core.errors import PluginError
from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.check import Check
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_core.ports.model import Model
from fleet_core.ports.protocol import DeliberationProtocol
from fleet_core.ports.ranker import Ranker
from fleet_core.ports.runner import Runner
from fleet_core.ports.state_store import StateStore
from fleet_core.ports.token_stream import TokenStream
from fleet_plugins.api import PortName

PROTOCOLS: Mapping[PortName, type[Any]] = {
    PortName.BUS: EventBus,
    PortName.TOKENS: TokenStream,
    PortName.EXECUTOR: Executor,
    PortName.HYDRATOR: Hydrator,
    PortName.RUNNER: Runner,
    PortName.MODEL: Model,
    PortName.GRAPH: ContextGraph,
    PortName.STATE: StateStore,
    PortName.BLOBS: BlobStore,
    PortName.CHECK: Check,
    PortName.PROTOCOL: DeliberationProtocol,
    PortName.RANKER: Ranker,
}


def promised(protocol: type[Any]) -> dict[str, Callable[..., Any]]:
    """The methods a port's protocol promises, inherited ones too, by name.

    In the order they are written, its own first.
    """
    return {
        name: member
        for part in protocol.__mro__
        for name, member in vars(part).items()
        if getattr(member, "__isabstractmethod__", False)
    }


def verify_port(port: PortName, value: object) -> None:
    """Refuse an object that lacks a promised method, or one that cannot be called as promised.

    Raises:
        PluginError: names what is missing; without the adapter, which the caller knows.
    """
    protocol = PROTOCOLS[port]
    for name, method in promised(protocol).items():
        given = getattr(value, name, None)
        if not callable(given):
            raise PluginError(
                f"{type(value).__name__} has no method {name}, which {protocol.__name__} promises"
            )
        if not _takes(given, method):
            raise PluginError(
                f"{type(value).__name__}.{name} cannot be called as "
                f"{protocol.__name__}.{name}{inspect.signature(method)}"
            )


def _takes(given: Callable[..., Any], method: Callable[..., Any]) -> bool:
    """Whether all promised arguments fit, the positional ones by position."""
    _self, *parameters = inspect.signature(method).parameters.values()
    keyword_only = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    positional = [None] * (len(parameters) - len(keyword_only))
    try:
        inspect.signature(given).bind(*positional, **dict.fromkeys(keyword_only))
    except ValueError:
        return True  # a method in C without a signature shows itself only when called
    except TypeError:
        return False
    return True
