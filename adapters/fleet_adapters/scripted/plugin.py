"""How the adapter `scripted` registers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fleet_core.ports.model import Model
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName


@dataclass(frozen=True, slots=True)
class ScriptedSettings:
    """A model that answers from a file.

    Attributes:
        script: path of the script, YAML or JSON; see `fleet_adapters.scripted.script`.
        model: the name it answers to; empty takes any.
        max_attempts: of one call, the first included.
        backoff_ms: the longest wait before the second attempt.
    """

    script: str = ""
    model: str = ""
    max_attempts: int = 4
    backoff_ms: int = 20


def _open(settings: ScriptedSettings, ctx: FactoryContext) -> AbstractAsyncContextManager[Model]:
    from fleet_adapters.scripted.model import open_model  # noqa: PLC0415 -- loads YAML once bound

    return open_model(settings, ctx)


model = AdapterPlugin(
    Adapter(
        PortName.MODEL,
        "scripted",
        ScriptedSettings,
        _open,
        capabilities=frozenset({Capability.STREAMING, Capability.STRUCTURED}),
        summary="answers from a script, for tests and plugin authors",
    )
)
