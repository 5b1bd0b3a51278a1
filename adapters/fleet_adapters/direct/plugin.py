"""The registrations of the `direct` executor and hydrator."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fleet_core.ports.executor import Executor
from fleet_core.ports.hydrator import Hydrator
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName

_STORES = (PortName.BUS, PortName.STATE, PortName.BLOBS)


@dataclass(frozen=True, slots=True)
class DirectExecutorSettings:
    """Settings of the direct executor.

    Attributes:
        claim_ttl_ms: a job claimed by a process that died can be run again after so long.
    """

    claim_ttl_ms: int = 3_000


@dataclass(frozen=True, slots=True)
class DirectHydratorSettings:
    """There is nothing to set."""


def _executor(
    settings: DirectExecutorSettings, ctx: FactoryContext
) -> AbstractAsyncContextManager[Executor]:
    from fleet_adapters.direct.open import open_executor  # noqa: PLC0415 -- loaded when bound

    return open_executor(settings, ctx)


def _hydrator(
    _: DirectHydratorSettings, ctx: FactoryContext
) -> AbstractAsyncContextManager[Hydrator]:
    from fleet_adapters.direct.open import open_hydrator  # noqa: PLC0415 -- loaded when bound

    return open_hydrator(ctx)


executor = AdapterPlugin(
    Adapter(
        PortName.EXECUTOR,
        "direct",
        DirectExecutorSettings,
        _executor,
        frozenset({Capability.SHARED_PROCESS, Capability.STREAMING}),
        (*_STORES, PortName.RUNNER, PortName.TOKENS),
        summary="Execute in this process",
    )
)

hydrator = AdapterPlugin(
    Adapter(
        PortName.HYDRATOR,
        "direct",
        DirectHydratorSettings,
        _hydrator,
        frozenset({Capability.SHARED_PROCESS}),
        (*_STORES, PortName.GRAPH, PortName.MODEL),
        summary="Hydrate in this process",
    )
)
