"""The registrations of the `grpc` executor and hydrator."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from fleet_adapters.grpc.settings import GrpcExecutorSettings, GrpcHydratorSettings
from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName


def _executor(
    settings: GrpcExecutorSettings, ctx: FactoryContext
) -> AbstractAsyncContextManager[Executor]:
    from fleet_adapters.grpc.executor import open_executor  # noqa: PLC0415 -- loaded when bound

    return open_executor(settings, ctx)


def _hydrator(
    settings: GrpcHydratorSettings, ctx: FactoryContext
) -> AbstractAsyncContextManager[Hydrator]:
    from fleet_adapters.grpc.hydrator import open_hydrator  # noqa: PLC0415 -- loaded when bound

    return open_hydrator(settings, ctx)


executor = AdapterPlugin(
    Adapter(
        PortName.EXECUTOR,
        "grpc",
        GrpcExecutorSettings,
        _executor,
        frozenset({Capability.SHARED_HOST, Capability.SHARED_NETWORK, Capability.STREAMING}),
        (PortName.BLOBS,),
        extra="grpc",
        summary="an executor service, or several, over gRPC",
    )
)

hydrator = AdapterPlugin(
    Adapter(
        PortName.HYDRATOR,
        "grpc",
        GrpcHydratorSettings,
        _hydrator,
        frozenset({Capability.SHARED_HOST, Capability.SHARED_NETWORK}),
        (PortName.BLOBS,),
        extra="grpc",
        summary="a context service, or several, over gRPC",
    )
)
