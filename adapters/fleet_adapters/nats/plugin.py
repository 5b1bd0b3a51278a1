"""The `nats` adapters: JetStream streams shared by the processes of many hosts."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from fleet_adapters.nats.settings import NatsExecutorSettings, NatsSettings, NatsTokensSettings
from fleet_core.ports.event_bus import EventBus
from fleet_core.ports.executor import Executor
from fleet_core.ports.token_stream import TokenStream
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName

_SHARED = frozenset({Capability.SHARED_PROCESS, Capability.SHARED_HOST, Capability.SHARED_NETWORK})


def _bus(settings: NatsSettings, ctx: FactoryContext) -> AbstractAsyncContextManager[EventBus]:
    from fleet_adapters.nats.bus import open_bus  # noqa: PLC0415 -- loaded when bound

    return open_bus(settings, ctx)


def _tokens(
    settings: NatsTokensSettings, ctx: FactoryContext
) -> AbstractAsyncContextManager[TokenStream]:
    from fleet_adapters.nats.tokens import open_tokens  # noqa: PLC0415 -- loaded when bound

    return open_tokens(settings, ctx)


def _executor(
    settings: NatsExecutorSettings, ctx: FactoryContext
) -> AbstractAsyncContextManager[Executor]:
    from fleet_adapters.nats.executor import open_executor  # noqa: PLC0415 -- loaded when bound

    return open_executor(settings, ctx)


bus = AdapterPlugin(
    Adapter(
        PortName.BUS,
        "nats",
        NatsSettings,
        _bus,
        _SHARED | {Capability.DURABLE},
        extra="nats",
        summary="a durable event log on NATS JetStream",
    )
)

tokens = AdapterPlugin(
    Adapter(
        PortName.TOKENS,
        "nats",
        NatsTokensSettings,
        _tokens,
        _SHARED,
        extra="nats",
        summary="agents' words, live over NATS",
    )
)

executor = AdapterPlugin(
    Adapter(
        PortName.EXECUTOR,
        "nats",
        NatsExecutorSettings,
        _executor,
        _SHARED | {Capability.DURABLE, Capability.STREAMING},
        (PortName.BLOBS,),
        extra="nats",
        summary="executor services that take jobs from a queue on NATS JetStream",
    )
)
