from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet_adapters.scripted.answering import ScriptedAnswers
from fleet_adapters.scripted.model import ScriptedModel
from fleet_adapters.scripted.plugin import ScriptedSettings
from fleet_adapters.scripted.plugin import model as plugin
from fleet_adapters.scripted.script import parse_script
from fleet_core.errors import InputError, ProfileError
from fleet_core.ports.model import Model
from fleet_plugins.api import FactoryContext
from fleet_plugins.contracts.model import CONTRACT_SCRIPT, ModelContract, ModelFailureContract


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(ScriptedAnswers(parse_script(CONTRACT_SCRIPT)), "the contract's script")


class TestScriptedModel(ModelContract):
    pass


class TestScriptedModelFailures(ModelFailureContract):
    pass


class TestScriptedModelByFactory(ModelContract):
    @pytest.fixture
    async def model(self, tmp_path: Path) -> AsyncIterator[Model]:
        path = tmp_path / "script.json"
        path.write_text(json.dumps(CONTRACT_SCRIPT))
        adapter = plugin.fleet_adapter()
        async with adapter.factory(ScriptedSettings(script=str(path)), _ctx(tmp_path)) as model:
            yield model


@pytest.mark.anyio
async def test_no_script_is_said_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"script.*--set model.script=FILE"):
        async with plugin.fleet_adapter().factory(ScriptedSettings(), _ctx(tmp_path)):
            pass


@pytest.mark.anyio
async def test_a_missing_script_is_named(tmp_path: Path) -> None:
    settings = ScriptedSettings(script=str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match=r"none\.yaml.*No such file"):
        async with plugin.fleet_adapter().factory(settings, _ctx(tmp_path)):
            pass


def _ctx(home: Path) -> FactoryContext:
    return FactoryContext(clock=lambda: 0, secret=lambda name: name, home=home)
