"""Runs agent jobs in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fleet_adapters.local.plugin import LocalSettings
from fleet_core.domain.job import AgentJob, AgentResult, CheckRequest
from fleet_core.errors import ProfileError
from fleet_core.ports.check import Check
from fleet_core.ports.clock import Clock
from fleet_core.ports.executor import ClusterStats
from fleet_core.ports.model import Model, OnText
from fleet_core.ports.runner import Runner
from fleet_core.usecases.perform import failed, perform


class LocalRunner(Runner):
    """Bounded concurrency, first come first served; model calls and checks have slots apart."""

    def __init__(
        self,
        models: Mapping[str, Model],
        checks: Mapping[str, Check],
        clock: Clock,
        settings: LocalSettings,
    ) -> None:
        for name in ("slots", "check_slots"):
            if getattr(settings, name) < 1:
                raise ProfileError("should be at least 1", field=f"runner.{name}")
        self._models = models
        self._checks = checks
        self._clock = clock
        self._settings = settings
        self._calls = asyncio.Semaphore(settings.slots)
        self._evidence = asyncio.Semaphore(settings.check_slots)
        self._running = 0
        self._waiting = 0

    async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
        """See the port. A job whose deadline passes while it waits fails without a call."""
        slots = self._evidence if isinstance(job.work, CheckRequest) else self._calls
        if not await self._seated(slots, job):
            return failed(job, "deadline", "its deadline passed while it waited for a free slot")
        self._running += 1
        try:
            return await perform(job, self._models, self._checks, self._clock, on_text)
        finally:
            self._running -= 1
            slots.release()

    async def stats(self) -> ClusterStats:
        """See the port."""
        slots = self._settings.slots + self._settings.check_slots
        return ClusterStats("local", slots, self._running, self._waiting)

    async def _seated(self, slots: asyncio.Semaphore, job: AgentJob) -> bool:
        if not slots.locked():
            return await slots.acquire()
        left = max(0, job.slice.deadline_ms - self._clock()) / 1000
        self._waiting += 1
        try:
            async with asyncio.timeout(left):
                await slots.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True
