"""The settings of `openai`, checked and put to work."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager

from fleet_adapters.chat_http.endpoints import split_urls
from fleet_adapters.chat_http.model import ChatHttpModel, ChatOptions, open_chat_model
from fleet_adapters.chat_http.tokenizing import TOKENIZERS
from fleet_adapters.openai.plugin import OpenaiSettings
from fleet_core.errors import ProfileError
from fleet_plugins.api import FactoryContext
from fleet_plugins.kit.retry import RetryPolicy

_SOURCE = "model.openai"


def open_model(
    settings: OpenaiSettings, ctx: FactoryContext
) -> AbstractAsyncContextManager[ChatHttpModel]:
    """The model for as long as the context is held.

    Raises:
        ProfileError: a setting is wrong, or the secret that `api_key` names is not set.
    """
    return open_chat_model(options(settings, ctx))


def options(settings: OpenaiSettings, ctx: FactoryContext) -> ChatOptions:
    """The settings as the client takes them; see `open_model` for what is refused."""
    for field in ("timeout_ms", "connect_timeout_ms", "max_attempts", "pool"):
        if getattr(settings, field) < 1:
            raise ProfileError("should be at least 1", source=_SOURCE, field=field)
    _one_of("structured", settings.structured, ("json_schema", "off"))
    _one_of("limit_field", settings.limit_field, ("max_tokens", "max_completion_tokens"))
    _one_of("tokenizer", settings.tokenizer, TOKENIZERS)
    return ChatOptions(
        base_urls=split_urls(settings.base_url, source=_SOURCE),
        model=settings.model,
        key=ctx.secret(settings.api_key).strip() if settings.api_key else "",
        stream=settings.stream,
        timeout_ms=settings.timeout_ms,
        connect_timeout_ms=settings.connect_timeout_ms,
        retry=RetryPolicy(max_attempts=settings.max_attempts),
        structured=settings.structured == "json_schema",
        pool=settings.pool,
        limit_field=settings.limit_field,
        tokenizer=settings.tokenizer,
    )


def _one_of(field: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise ProfileError(
            f"{value!r} is none of: {', '.join(allowed)}", source=_SOURCE, field=field
        )
