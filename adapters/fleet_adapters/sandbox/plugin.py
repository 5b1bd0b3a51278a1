"""`check.sandbox`: the kinds `python` and `command`, run under bubblewrap."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from fleet_adapters.sandbox.settings import SandboxSettings
from fleet_core.ports.check import Check
from fleet_plugins.api import Adapter, AdapterPlugin, FactoryContext, PortName


def _open(settings: SandboxSettings, ctx: FactoryContext) -> AbstractAsyncContextManager[Check]:
    from fleet_adapters.sandbox.check import open_sandbox  # noqa: PLC0415 -- loads on use

    return open_sandbox(settings, ctx.log)


check = AdapterPlugin(
    Adapter(
        port=PortName.CHECK,
        name="sandbox",
        settings=SandboxSettings,
        factory=_open,
        summary="runs a proposal's Python or a command on it under bubblewrap",
    )
)
