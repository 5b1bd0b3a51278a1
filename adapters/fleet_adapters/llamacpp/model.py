"""The model of a GGUF file: llama.cpp beside us, asked over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fleet_adapters.chat_http.model import ChatHttpModel, ChatOptions, open_chat_model
from fleet_adapters.llamacpp.default_model import ensure_default_model
from fleet_adapters.llamacpp.gguf import require_gguf
from fleet_adapters.llamacpp.plugin import LlamacppSettings
from fleet_adapters.llamacpp.process import LlamaProcess, llama_process
from fleet_core.domain.model_call import Completion, ModelRequest
from fleet_core.errors import ModelError, ModelUnavailable, ProfileError
from fleet_core.ports.model import CallBudget, Model, ModelHealth, OnText
from fleet_plugins.api import FactoryContext
from fleet_plugins.kit.retry import RetryPolicy

_CONNECTIONS = 256


class LlamacppModel(Model):
    """A chat model on llama.cpp; says so where llama.cpp itself has ended."""

    def __init__(self, inner: ChatHttpModel, process: LlamaProcess, gguf: Path) -> None:
        self._inner = inner
        self.process = process
        self._gguf = gguf

    async def complete(
        self, request: ModelRequest, budget: CallBudget, on_text: OnText | None = None
    ) -> Completion:
        """See `Model.complete`."""
        try:
            return await self._inner.complete(request, budget, on_text)
        except ModelError as error:
            raise await self._explained(error) from error

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        """See `Model.count`; by the model's own tokenizer."""
        try:
            return await self._inner.count(texts)
        except ModelError as error:
            raise await self._explained(error) from error

    def tokenizer(self) -> str:
        """See `Model.tokenizer`."""
        return self._inner.tokenizer()

    async def health(self) -> ModelHealth:
        """See `Model.health`."""
        if self.process.ended:
            return ModelHealth(ready=False, detail=f"llama.cpp ended {self.process.ended}")
        health = await self._inner.health()
        return ModelHealth(health.ready, f"{health.detail} ({self._gguf})")

    async def _explained(self, error: ModelError) -> ModelError:
        if not error.retryable:
            return error
        if error.__cause__ is not None:  # a broken connection may be the first sign of its end
            await self.process.wait_briefly()
        if not self.process.ended:
            return error
        told = ModelUnavailable(
            f"llama.cpp ended {self.process.ended}",
            "start again; where it ends again, take another model (--set model.gguf=PATH)",
        )
        told.prompt_tokens = error.prompt_tokens
        told.answer_tokens = error.answer_tokens
        told.attempts = error.attempts
        return told


@asynccontextmanager
async def open_model(
    settings: LlamacppSettings, ctx: FactoryContext
) -> AsyncIterator[LlamacppModel]:
    """The model for as long as the context is held; fetches the default one where it must.

    Raises:
        ProfileError: a setting is wrong, or the file is no model.
        PluginError: the extra `llamacpp` is not installed.
        Unavailable: the default model is not here and cannot be fetched.
        ModelUnavailable: llama.cpp was not ready in time.
    """
    _check(settings)
    if settings.gguf:
        gguf = require_gguf(_path(settings.gguf))
    else:
        models = _path(settings.models_dir or str(ctx.home / "models"))
        gguf = await ensure_default_model(models, log=ctx.log)
    alias = gguf.stem
    async with llama_process(settings, gguf, alias) as process:
        options = ChatOptions(
            base_urls=(process.base_url,),
            model=alias,
            key=process.key,
            timeout_ms=settings.timeout_ms,
            retry=RetryPolicy(max_attempts=settings.max_attempts),
            pool=_CONNECTIONS,
            tokenizer="llamacpp",
        )
        async with open_chat_model(options) as inner:
            yield LlamacppModel(inner, process, gguf)


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _check(settings: LlamacppSettings) -> None:
    least = {"threads": 1, "slots": 1, "n_ctx": 256, "max_attempts": 1, "port": 0}
    for field, low in (least | {"timeout_ms": 1, "start_timeout_ms": 1}).items():
        if getattr(settings, field) < low:
            raise ProfileError(f"should be at least {low}", source="model.llamacpp", field=field)
