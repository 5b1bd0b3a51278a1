"""The `memory` adapters: nothing outlives the process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fleet_core.ports.blob_store import BlobStore
from fleet_core.ports.context_graph import ContextGraph
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.state_store import StateStore
from fleet_core.ports.token_stream import TokenStream
from fleet_plugins.api import (
    Adapter,
    AdapterPlugin,
    Capability,
    Factory,
    FactoryContext,
    PortName,
)


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """There is nothing to set."""


@dataclass(frozen=True, slots=True)
class MemoryTokensSettings:
    """Settings of the token stream.

    Attributes:
        max_chars: what one listener may have waiting, in characters; then it loses the oldest.
    """

    max_chars: int = 256 * 1024


@asynccontextmanager
async def _bus(_: MemorySettings, ctx: FactoryContext) -> AsyncIterator[EventBus]:
    from fleet_adapters.memory.bus import InMemoryEventBus  # noqa: PLC0415 -- loaded when bound

    yield InMemoryEventBus(ctx.clock)


@asynccontextmanager
async def _tokens(settings: MemoryTokensSettings, _: FactoryContext) -> AsyncIterator[TokenStream]:
    from fleet_adapters.memory.tokens import (  # noqa: PLC0415 -- loaded when bound
        InMemoryTokenStream,
    )

    yield InMemoryTokenStream(settings.max_chars)


@asynccontextmanager
async def _state(_: MemorySettings, ctx: FactoryContext) -> AsyncIterator[StateStore]:
    from fleet_adapters.memory.state import InMemoryStateStore  # noqa: PLC0415 -- loaded when bound

    yield InMemoryStateStore(ctx.clock)


@asynccontextmanager
async def _blobs(_: MemorySettings, __: FactoryContext) -> AsyncIterator[BlobStore]:
    from fleet_adapters.memory.blobs import InMemoryBlobStore  # noqa: PLC0415 -- loaded when bound

    yield InMemoryBlobStore()


@asynccontextmanager
async def _graph(_: MemorySettings, __: FactoryContext) -> AsyncIterator[ContextGraph]:
    from fleet_adapters.memory.graph import (  # noqa: PLC0415 -- loaded when bound
        InMemoryContextGraph,
    )

    yield InMemoryContextGraph()


def _plugin(
    port: PortName, factory: Factory, summary: str, settings: type[Any] = MemorySettings
) -> AdapterPlugin:
    return AdapterPlugin(
        Adapter(
            port=port,
            name="memory",
            settings=settings,
            factory=factory,
            capabilities=frozenset({Capability.SHARED_PROCESS}),
            summary=summary,
        )
    )


bus = _plugin(PortName.BUS, _bus, "an event log in this process's memory")
tokens = _plugin(
    PortName.TOKENS, _tokens, "agents' words, within this process", MemoryTokensSettings
)
state = _plugin(PortName.STATE, _state, "documents in this process's memory")
blobs = _plugin(PortName.BLOBS, _blobs, "blobs in this process's memory")
graph = _plugin(PortName.GRAPH, _graph, "the context graph in this process's memory")
