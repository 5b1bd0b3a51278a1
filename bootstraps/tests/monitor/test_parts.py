"""What the overview says of parts that are there, and of those that are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.scripted.script import parse_script
from fleet_adapters.scripted.server import serve_script
from fleet_bootstraps.fleet import core_strategies, opened_ports, system_clock
from fleet_bootstraps.layers import layered
from fleet_bootstraps.monitor.feed import Feed
from fleet_bootstraps.monitor.log import BusLog
from fleet_bootstraps.monitor.overview import Asked, Overview
from fleet_bootstraps.monitor.parts import fleet_parts
from fleet_bootstraps.monitor.picture import Picture
from fleet_bootstraps.profile import bound
from fleet_bootstraps.secrets import secrets_from
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.registry import Registry

pytestmark = pytest.mark.anyio
STORES = (PortName.BUS, PortName.STATE, PortName.BLOBS)
NOBODY = "127.0.0.1:1"
SHARED = (
    *("bus.use=sqlite", "tokens.use=memory", "state.use=sqlite", "blobs.use=sqlite"),
    *(f"executor.address={NOBODY}", f"hydrator.address={NOBODY}"),
    f"services.orchestrator.listen={NOBODY}",
)


async def told(tmp_path: Path, *sets: str) -> dict[tuple[str, str], Any]:
    """The parts of a fleet of services that are not there, over stores that are."""
    profile = bound("fleet", layered("fleet", {}, [*SHARED, *sets]), Registry.discovered())
    context = FactoryContext(system_clock, secrets_from({}), tmp_path)
    async with opened_ports(profile, context, only=(*STORES, PortName.EXECUTOR)) as ports:
        log = BusLog(ports[PortName.BUS], ports[PortName.BLOBS])
        feed = Feed(log, Picture(core_strategies()))
        async with fleet_parts(profile, context, ports, feed) as parts:
            found = await Overview(parts, system_clock).parts()
    return {(part.kind, part.name): part for part in found}


async def test_what_is_away_says_why(tmp_path: Path) -> None:
    parts = await told(tmp_path, f"model.base_url=http://{NOBODY}/v1")

    for service in ("orchestrator", "executor", "context"):
        assert parts["service", service].state == "not ready"
        assert NOBODY in parts["service", service].reason
    assert parts["runner", "runner"].state == "not ready"
    assert parts["model", "default"].state == "not ready"
    assert NOBODY in parts["model", "default"].reason
    assert parts["store", "bus"].state == parts["store", "state"].state == "ready"
    assert parts["log", "log"].reason.startswith("it is being read")


async def test_a_model_that_serves_is_ready_and_one_without_its_key_is_not_known(
    tmp_path: Path,
) -> None:
    async with serve_script(parse_script({"answers": [{"text": "x"}]})) as server:
        url = f"model.base_url={server.base_url}"
        serving = await told(tmp_path, url)
        keyless = await told(tmp_path, url, "model.api_key=THE_KEY")

    assert serving["model", "default"].state == "ready"
    assert keyless["model", "default"].state == "unknown"
    assert "THE_KEY" in keyless["model", "default"].reason


async def test_a_burst_of_lookers_asks_once(tmp_path: Path) -> None:
    asked = 0
    now = 0

    async def ask() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"n": asked}

    overview = Overview([Asked("store", "bus", ask)], lambda: now)
    for _ in range(5):
        assert (await overview.data())[0]["figures"] == {"n": 1}
    now = 5_000
    assert (await overview.data())[0]["figures"] == {"n": 2}
