"""The `local` runner's registration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet_core.ports.runner import Runner
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of the local runner.

    Attributes:
        slots: model calls at once; more wait their turn.
        check_slots: checks at once; they use this machine's processors, so keep it near their
            number.
    """

    slots: int = 64
    check_slots: int = 2


@asynccontextmanager
async def _runner(settings: LocalSettings, ctx: FactoryContext) -> AsyncIterator[Runner]:
    from fleet_adapters.local.runner import LocalRunner  # noqa: PLC0415 -- loaded when bound

    models, checks = ctx.ports[PortName.MODEL], ctx.ports[PortName.CHECK]
    yield LocalRunner(models, checks, ctx.clock, settings)


runner = AdapterPlugin(
    Adapter(
        PortName.RUNNER,
        "local",
        LocalSettings,
        _runner,
        frozenset({Capability.STREAMING, Capability.SHARED_PROCESS}),
        (PortName.MODEL, PortName.CHECK),
        summary="runs jobs in this process, a bounded number at once",
    )
)
