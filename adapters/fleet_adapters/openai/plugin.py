"""How the adapter `openai` registers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fleet_core.ports.model import Model
from fleet_plugins.api import Adapter, AdapterPlugin, Capability, FactoryContext, PortName


@dataclass(frozen=True, slots=True)
class OpenaiSettings:
    """A model behind HTTP.

    Attributes:
        base_url: up to and with `/v1`; several, separated by commas, share the calls.
        model: the model's name there; empty where the server serves only one.
        api_key: the NAME of the secret that holds the key; empty for none.
        stream: whether answers that somebody follows are streamed.
        timeout_ms: of one attempt.
        connect_timeout_ms: of making a connection.
        max_attempts: of one call, the first included.
        structured: `json_schema`: the server is given the schema; `off`: only the prompt asks.
            The answer is held to its schema either way.
        pool: connections at most.
        limit_field: the server's name for the longest answer: `max_tokens`, or
            `max_completion_tokens` where it insists.
        tokenizer: `vllm` or `llamacpp` where the server has that `/tokenize`; `none`: estimate.
    """

    base_url: str = "http://127.0.0.1:8000/v1"
    model: str = ""
    api_key: str = ""
    stream: bool = True
    timeout_ms: int = 120_000
    connect_timeout_ms: int = 5_000
    max_attempts: int = 4
    structured: str = "json_schema"
    pool: int = 256
    limit_field: str = "max_tokens"
    tokenizer: str = "none"


def _open(settings: OpenaiSettings, ctx: FactoryContext) -> AbstractAsyncContextManager[Model]:
    from fleet_adapters.openai.model import (  # noqa: PLC0415 -- the driver loads once bound
        open_model,
    )

    return open_model(settings, ctx)


model = AdapterPlugin(
    Adapter(
        PortName.MODEL,
        "openai",
        OpenaiSettings,
        _open,
        capabilities=frozenset({Capability.STREAMING, Capability.STRUCTURED}),
        summary="any server that speaks the OpenAI chat-completions protocol",
    )
)
