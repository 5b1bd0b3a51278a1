"""How the adapter `llamacpp` registers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fleet_core.ports.model import Model
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName


@dataclass(frozen=True, slots=True)
class LlamacppSettings:
    """A model file, served by llama.cpp in a process of its own.

    Attributes:
        gguf: path of the model file; empty for the default model, fetched once.
        models_dir: where fetched models are kept; empty for FLEET_HOME/models.
        threads: CPU threads. They spin while they wait, so more than one pays only on an
            otherwise idle machine.
        slots: calls answered at once; more wait their turn.
        n_ctx: tokens of prompt and answer together that one call may have.
        port: on loopback; 0 takes a free one.
        timeout_ms: of one attempt, waiting for a slot included.
        max_attempts: of one call, the first included.
        start_timeout_ms: of loading the model.
        structured: `json_schema`: answers are held to the schema while they are written; `off`:
            agents are asked for free text, which a very small model does better.
    """

    gguf: str = ""
    models_dir: str = ""
    threads: int = 1
    slots: int = 4
    n_ctx: int = 4096
    port: int = 0
    timeout_ms: int = 600_000
    max_attempts: int = 2
    start_timeout_ms: int = 120_000
    structured: str = "json_schema"


def _open(settings: LlamacppSettings, ctx: FactoryContext) -> AbstractAsyncContextManager[Model]:
    from fleet_adapters.llamacpp.model import (  # noqa: PLC0415 -- the driver loads once bound
        open_model,
    )

    return open_model(settings, ctx)


model = AdapterPlugin(
    Adapter(
        PortName.MODEL,
        "llamacpp",
        LlamacppSettings,
        _open,
        capabilities=frozenset({Capability.STREAMING, Capability.STRUCTURED, Capability.TOKENIZER}),
        extra="llamacpp",
        summary="a GGUF model on this machine, through llama.cpp",
    )
)
