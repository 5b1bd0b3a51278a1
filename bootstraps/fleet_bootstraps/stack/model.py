"""A llama.cpp server of one's own, which speaks the OpenAI chat API on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet_adapters.llamacpp.default_model import ensure_default_model
from fleet_adapters.llamacpp.gguf import require_gguf
from fleet_adapters.llamacpp.plugin import LlamacppSettings
from fleet_adapters.llamacpp.process import llama_process

LOG = "model.log"


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A server that answers; `base_url` up to and with `/v1`."""

    base_url: str
    pid: int


@asynccontextmanager
async def model_server(
    folder: Path, models: Path, *, gguf: str = "", port: int = 0
) -> AsyncIterator[ModelServer]:
    """Run a server for as long as the context is held; like vLLM's own it asks for no key.

    It computes in one thread: its threads spin while they wait for each other, and with services
    and servers beside them two are slower than one.

    Args:
        folder: where `model.log` is written; made if it is missing.
        models: where the default model is kept, and fetched to.
        gguf: a model file in place of the default model.
        port: 0 takes a free one.

    Raises:
        ProfileError: the file is no model.
        PluginError: the extra `llamacpp` is not installed.
        Unavailable: the default model is not here and cannot be fetched.
        ModelUnavailable: it was not ready in time.
    """
    path = require_gguf(_named(gguf)) if gguf else await ensure_default_model(models)
    settings = LlamacppSettings(port=port, threads=1)
    running = llama_process(settings, path, path.stem, key="", log_file=_log_in(folder))
    async with running as server:
        yield ModelServer(server.base_url, server.process.pid)


def _log_in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / LOG


def _named(text: str) -> Path:
    return Path(text).expanduser().absolute()
