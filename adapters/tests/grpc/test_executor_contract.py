"""The executor contract, over a channel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleet_core.domain.job import AgentJob, AgentResult
from fleet_core.ports.executor import ClusterStats, Executor
from fleet_core.ports.model import OnText
from fleet_core.ports.runner import Runner
from fleet_core.testing.jobs import HeldRunner
from fleet_core.usecases.stores import Stores
from fleet_plugins.contracts.executor import ExecutorContract


class TestGrpcExecutor(ExecutorContract):
    @pytest.fixture
    def stores(self, stores: Stores) -> Stores:
        return stores

    @pytest.fixture
    async def executor(self, fleet: Any, runner: HeldRunner) -> AsyncIterator[Executor]:
        async with (
            fleet.execute(runner) as execute,
            fleet.served(execute) as served,
            fleet.client(served.address) as executor,
        ):
            yield executor


class Half(Runner):
    """One of two runners that a test holds together; its figures are its own."""

    def __init__(self, whole: HeldRunner) -> None:
        self._whole = whole
        self._running = 0

    async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
        self._running += 1
        try:
            return await self._whole.run(job, on_text)
        finally:
            self._running -= 1

    async def stats(self) -> ClusterStats:
        return ClusterStats("half", 500, self._running, 0)


class TestTwoGrpcExecutors(ExecutorContract):
    """Two executor services that share their stores, and a client that knows both."""

    @pytest.fixture
    def stores(self, stores: Stores) -> Stores:
        return stores

    @pytest.fixture
    async def executor(self, fleet: Any, runner: HeldRunner) -> AsyncIterator[Executor]:
        async with (
            fleet.execute(Half(runner), "one") as first,
            fleet.execute(Half(runner), "two") as second,
            fleet.served(first) as one,
            fleet.served(second) as two,
            fleet.client(one.address, two.address) as executor,
        ):
            yield executor
