"""Counts jobs by their ends, and what their model calls used."""

from __future__ import annotations

import time

from fleet_bootstraps.telemetry.meters import Meters
from fleet_core.domain.job import AgentJob, AgentResult, ModelCall
from fleet_core.errors import FleetError
from fleet_core.ports.executor import ClusterStats
from fleet_core.ports.model import OnText
from fleet_core.ports.runner import Runner

_MICRO = 1_000_000


class MeasuredRunner(Runner):
    """A runner, and its metrics."""

    def __init__(self, inner: Runner, meters: Meters) -> None:
        self._inner = inner
        self._meters = meters

    async def run(self, job: AgentJob, on_text: OnText | None = None) -> AgentResult:
        """See the port."""
        began, outcome, code = time.perf_counter(), "cancelled", ""
        try:
            result = await self._inner.run(job, on_text)
            outcome = result.outcome.value
            code = result.failure.code if result.failure is not None else ""
        except FleetError as error:
            outcome, code = "handed back", error.code
            raise
        except Exception as error:
            outcome, code = "broken", type(error).__name__
            raise
        finally:
            took = time.perf_counter() - began
            self._meters.jobs.labels(job.work.KIND, outcome, code).observe(took)
        if isinstance(job.work, ModelCall):
            self._called(job.work.request.binding, result)
        return result

    async def stats(self) -> ClusterStats:
        """See the port."""
        return await self._inner.stats()

    def _called(self, binding: str, result: AgentResult) -> None:
        meters, usage = self._meters, result.usage
        if usage.attempts:  # else it ended before there was a call
            meters.calls.labels(binding, result.outcome.value).observe(result.duration_ms / 1000)
        meters.attempts.labels(binding).inc(usage.attempts)
        meters.tokens.labels(binding, "prompt").inc(usage.prompt_tokens)
        meters.tokens.labels(binding, "answer").inc(usage.answer_tokens)
        meters.cost.labels(binding).inc(usage.micro_usd / _MICRO)
