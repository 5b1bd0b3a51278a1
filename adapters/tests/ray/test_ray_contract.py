"""The runner's contract, on a Ray of its own and on a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from fleet_adapters.ray.plugin import RaySettings
from fleet_core.ports.runner import Runner
from fleet_core.testing.saying import ObedientModel
from fleet_plugins.contracts.runner import RunnerContract

pytestmark = [pytest.mark.anyio, pytest.mark.connected]


class OnRay(RunnerContract):
    @pytest.fixture
    def model(self, phone: Any) -> ObedientModel:
        phone.model = ObedientModel()
        return phone.model  # type: ignore[no-any-return]  # it was just made


class TestOnACluster(OnRay):
    @pytest.fixture(scope="class")
    async def one(
        self,
        opened: Callable[[RaySettings], AbstractAsyncContextManager[Runner]],
        head: Any,
    ) -> AsyncIterator[Runner]:
        async with opened(RaySettings(head.address, "CLUSTER_TOKEN", actors=2, calls=8)) as runner:
            yield runner

    @pytest.fixture
    def runner(self, one: Runner, model: ObedientModel) -> Runner:
        return one


class TestOnARayOfItsOwn(OnRay):
    @pytest.fixture(scope="class")
    async def one(
        self, opened: Callable[[RaySettings], AbstractAsyncContextManager[Runner]]
    ) -> AsyncIterator[Runner]:
        async with opened(RaySettings(actors=2, calls=8)) as runner:
            yield runner

    @pytest.fixture
    def runner(self, one: Runner, model: ObedientModel) -> Runner:
        return one
