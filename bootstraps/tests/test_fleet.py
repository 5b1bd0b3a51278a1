from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fleet_bootstraps.container import FleetContainer
from fleet_bootstraps.fleet import (
    built,
    open_fleet,
    opened_ports,
    seldom_collected,
    strategies,
    system_clock,
)
from fleet_bootstraps.layers import builtin_names, layered
from fleet_bootstraps.profile import Profile, bound
from fleet_bootstraps.secrets import secrets_from
from fleet_core.domain.deliberation import ProtocolSpec
from fleet_core.domain.plan_run import Terms
from fleet_core.usecases.councils import Councils
from fleet_core.usecases.deliberate import Deliberate, DeliberateSettings
from fleet_core.usecases.plans import Plans
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.ports import verify_port
from fleet_plugins.registry import Registry

pytestmark = pytest.mark.anyio

OWN: Mapping[str, type[Any]] = {
    "stores": Stores,
    "councils": Councils,
    "deliberate": Deliberate,
    "plans": Plans,
    "protocol": ProtocolSpec,
    "terms": Terms,
    "driving": DeliberateSettings,
}
MAPPINGS = ("model", "check", "strategies", "configured", "bindings")


def profile(name: str, tmp_path: Path) -> tuple[Profile, FactoryContext]:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"answers": [{"text": "an answer"}]}))
    sets = ["model.use=scripted", f"model.script={script}"]
    found = bound(name, layered(name, {}, sets), Registry.discovered())
    return found, FactoryContext(system_clock, secrets_from({}), tmp_path / "home")


IN_ONE_PROCESS = [name for name in builtin_names() if not name.startswith("fleet")]


@pytest.mark.parametrize("name", IN_ONE_PROCESS)
async def test_every_provider_of_a_built_in_profile_gives_its_type(
    name: str, tmp_path: Path
) -> None:
    found, context = profile(name, tmp_path)
    async with opened_ports(found, context) as ports:
        container = built(found, context.clock, ports, FleetContainer)
        checked = set()
        for provider in FleetContainer.providers:
            value = container.providers[provider]()
            checked.add(provider)
            if provider in OWN:
                assert type(value) is OWN[provider], provider
            elif provider in MAPPINGS:
                assert value, provider
                if provider in ("model", "check"):
                    for one in value.values():
                        verify_port(PortName(provider), one)
            elif provider == "clock":
                assert value() > 0
            else:
                verify_port(PortName(provider), value)
        assert checked == set(FleetContainer.providers)
        assert container.plans() is container.plans()


async def test_a_fleet_opens_and_closes_twice_over_the_same_home(tmp_path: Path) -> None:
    found, context = profile("embedded", tmp_path)
    for _ in range(2):
        async with open_fleet(found, context) as fleet:
            assert set(await fleet.councils.all()) >= {"DEV", "QA"}


async def test_only_the_wanted_ports_are_opened(tmp_path: Path) -> None:
    found, context = profile("embedded", tmp_path)
    seen: list[str] = []
    async with opened_ports(
        found, context, lambda _, detail: seen.append(detail["adapter"]), only=(PortName.STATE,)
    ) as ports:
        assert set(ports) == {PortName.STATE}
    assert set(seen) == {"state.sqlite"}


async def test_the_cores_protocols_are_known(tmp_path: Path) -> None:
    found, _ = profile("scripted", tmp_path)

    assert set(strategies(found, {})) == {"peer-review", "vote"}


def test_cycles_are_looked_for_less_often_while_a_fleet_is_open() -> None:
    before = gc.get_threshold()
    with pytest.raises(ZeroDivisionError), seldom_collected():  # noqa: PT012 -- what holds inside
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count()
        raise ZeroDivisionError
    assert gc.get_threshold() == before
    assert not gc.get_freeze_count()
