"""The local runner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.local import plugin
from fleet_adapters.local.plugin import LocalSettings
from fleet_adapters.local.runner import LocalRunner
from fleet_core.domain.job import Outcome
from fleet_core.errors import ProfileError
from fleet_core.ports.check import Check
from fleet_core.ports.model import Model
from fleet_core.ports.runner import Runner
from fleet_core.testing.jobs import a_job
from fleet_core.testing.saying import ObedientModel
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.contracts.runner import RunnerContract


def clock() -> int:
    return time.time_ns() // 1_000_000


def no_secret(name: str) -> str:
    raise KeyError(name)


class TestLocalRunner(RunnerContract):
    @pytest.fixture
    async def runner(
        self, models: Mapping[str, Model], checks: Mapping[str, Check], tmp_path: Path
    ) -> AsyncIterator[Runner]:
        ports: Mapping[str, Any] = {PortName.MODEL: models, PortName.CHECK: checks}
        ctx = FactoryContext(clock, no_secret, tmp_path, ports=ports)
        async with plugin.runner.fleet_adapter().factory(LocalSettings(), ctx) as runner:
            yield runner


@pytest.mark.anyio
async def test_a_job_whose_deadline_passes_while_it_waits_makes_no_call() -> None:
    model = ObedientModel()
    model.go.clear()
    runner = LocalRunner({"default": model}, {}, clock, LocalSettings(slots=1))
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(runner.run(a_job(1)))
        while not model.begun:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0)
        second = await runner.run(a_job(2, deadline_ms=clock() + 20))
        model.go.set()
    assert first.result().outcome is Outcome.OK
    assert second.failure is not None
    assert "waited" in second.failure.reason
    assert model.begun == 1
    stats = await runner.stats()
    assert (stats.running, stats.waiting) == (0, 0)


@pytest.mark.parametrize("settings", [LocalSettings(slots=0), LocalSettings(check_slots=0)])
def test_no_slots_are_refused(settings: LocalSettings) -> None:
    with pytest.raises(ProfileError, match="at least 1"):
        LocalRunner({}, {}, clock, settings)
