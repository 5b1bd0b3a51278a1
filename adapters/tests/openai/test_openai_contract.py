from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet_adapters.openai.plugin import OpenaiSettings
from fleet_adapters.openai.plugin import model as plugin
from fleet_adapters.scripted.script import parse_script
from fleet_adapters.scripted.server import ScriptedServer, serve_script
from fleet_core.errors import ModelUnavailable
from fleet_core.ports.model import Model
from fleet_plugins.api import FactoryContext
from fleet_plugins.contracts.model import (
    CONTRACT_SCRIPT,
    ModelContract,
    ModelFailureContract,
    asked,
    budget,
)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with serve_script(parse_script(CONTRACT_SCRIPT)) as server:
        yield server


@pytest.fixture
def settings(server: ScriptedServer) -> OpenaiSettings:
    return OpenaiSettings(base_url=server.base_url, model="scripted")


@pytest.fixture
async def model(settings: OpenaiSettings, tmp_path: Path) -> AsyncIterator[Model]:
    ctx = FactoryContext(clock=lambda: 0, secret=lambda name: name, home=tmp_path)
    async with plugin.fleet_adapter().factory(settings, ctx) as model:
        yield model


class TestOpenaiModel(ModelContract):
    pass


class TestOpenaiModelFailures(ModelFailureContract):
    pass


class TestOpenaiModelWithoutStreaming(ModelContract):
    @pytest.fixture
    def settings(self, server: ScriptedServer) -> OpenaiSettings:
        return OpenaiSettings(base_url=server.base_url, stream=False)


class TestOpenaiModelOfTwoServers(ModelContract):
    @pytest.fixture
    async def settings(self, server: ScriptedServer) -> AsyncIterator[OpenaiSettings]:
        async with serve_script(parse_script(CONTRACT_SCRIPT)) as second:
            yield OpenaiSettings(base_url=f"{server.base_url}, {second.base_url}/")


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True])
async def test_the_server_sees_a_cancelled_call(
    model: Model, server: ScriptedServer, *, streamed: bool
) -> None:
    call = asyncio.create_task(
        model.complete(asked(), budget("hang"), (lambda _: None) if streamed else None)
    )
    await server.until(lambda s: s.in_flight == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.until(lambda s: s.in_flight == 0)
    assert server.cancelled == 1


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True])
async def test_closing_the_model_ends_the_calls_under_way(
    settings: OpenaiSettings, server: ScriptedServer, tmp_path: Path, *, streamed: bool
) -> None:
    ctx = FactoryContext(clock=lambda: 0, secret=lambda name: name, home=tmp_path)
    on_text = (lambda _: None) if streamed else None
    async with plugin.fleet_adapter().factory(settings, ctx) as model:
        call = asyncio.create_task(model.complete(asked(), budget("hang"), on_text))
        await server.until(lambda s: s.in_flight == 1)
    async with asyncio.timeout(20):
        with pytest.raises(ModelUnavailable, match="closed"):
            await call
