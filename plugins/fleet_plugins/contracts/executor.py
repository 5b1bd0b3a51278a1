"""What every Executor must do.

Subclass `ExecutorContract` in your adapter's tests and give it two fixtures: `stores`, the bus and
the stores that the executor works over, and `executor`, opened over those stores with the suite's
fixture `runner` behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fleet_core.domain.codec import from_data
from fleet_core.domain.events import RESULTS, result_subject
from fleet_core.domain.job import AgentResult, Outcome
from fleet_core.errors import Unavailable
from fleet_core.ports.executor import Executor
from fleet_core.testing.jobs import HeldRunner, a_job
from fleet_core.usecases import keys
from fleet_core.usecases.payload import opened
from fleet_core.usecases.stores import Stores

_LIMIT_S = 10


@pytest.mark.anyio
class ExecutorContract:
    """Every accepted job ends in exactly one result, journaled before it is published."""

    @pytest.fixture
    def runner(self) -> HeldRunner:
        """Behind the executor."""
        return HeldRunner()

    @pytest.fixture
    def stores(self) -> Stores:
        """What the executor works over."""
        raise NotImplementedError("give your subclass a fixture `stores`")

    @pytest.fixture
    def executor(self) -> Executor:
        """The executor under test."""
        raise NotImplementedError("give your subclass a fixture `executor`")

    async def test_each_job_ends_in_one_published_result(
        self, executor: Executor, stores: Stores, runner: HeldRunner
    ) -> None:
        """All of a step's, under the task's subject, and journaled."""
        jobs = [a_job(n) for n in (1, 2, 3)]
        await executor.submit(jobs)
        results = await _results(stores, 3)
        assert {r.job_id: r.text for r in results} == {j.job_id: j.agent_id for j in jobs}
        journaled = await stores.state.get([keys.journal(j.job_id) for j in jobs])
        assert None not in journaled
        assert set(runner.begun.values()) == {1}
        subjects = {s.event.subject async for s in stores.bus.replay([f"{RESULTS}.>"])}
        assert subjects == {result_subject(jobs[0].task)}

    async def test_submitting_returns_before_the_results_are_there(
        self, executor: Executor, stores: Stores, runner: HeldRunner
    ) -> None:
        """And a job submitted again while it runs goes on, once."""
        runner.go.clear()
        job = a_job()
        await executor.submit([job, job])
        await _until(lambda: runner.running == 1)
        await executor.submit([job])
        assert not await _published(stores)
        runner.go.set()
        assert len(await _results(stores, 1)) == 1
        assert runner.begun == {job.job_id: 1}

    async def test_a_journaled_job_is_not_run_again(
        self, executor: Executor, stores: Stores, runner: HeldRunner
    ) -> None:
        """Its result is what it was, and the log holds it once."""
        job = a_job()
        await executor.submit([job])
        before = await _results(stores, 1)
        await _none_active(executor)
        await executor.submit([job])
        await _none_active(executor)
        assert await _published(stores) == before
        assert runner.begun == {job.job_id: 1}

    async def test_the_status_of_jobs_is_told_in_order_of_acceptance(
        self, executor: Executor, stores: Stores, runner: HeldRunner
    ) -> None:
        """Over all steps of that deliberation, and of no other."""
        runner.go.clear()
        first, second, other = a_job(1), a_job(2), a_job(3, deliberation="e" * 32)
        await executor.submit([first, other])
        await executor.submit([second])
        await _until(lambda: runner.running == 3)
        told = await executor.status(first.deliberation_id)
        assert [s.job_id for s in told] == [first.job_id, second.job_id]
        assert {s.phase for s in told} == {"running"}
        active = await executor.active()
        assert {s.job_id for s in active} == {j.job_id for j in (first, second, other)}
        runner.go.set()
        await _results(stores, 3)
        await _none_active(executor)
        told = await executor.status(first.deliberation_id)
        assert {(s.phase, s.outcome) for s in told} == {("done", Outcome.OK)}
        assert list(await executor.status("nobody")) == []

    async def test_a_named_job_is_cancelled(
        self, executor: Executor, stores: Stores, runner: HeldRunner
    ) -> None:
        """It stops where it runs and ends `cancelled`; the others go on."""
        runner.go.clear()
        first, second = a_job(1), a_job(2)
        await executor.submit([first, second])
        await _until(lambda: runner.running == 2)
        assert await executor.cancel(first.deliberation_id, [first.job_id]) == 1
        (result,) = await _results(stores, 1)
        assert (result.job_id, result.outcome) == (first.job_id, Outcome.CANCELLED)
        assert result.failure is not None
        assert runner.stopped == [first.job_id]
        runner.go.set()
        results = await _results(stores, 2)
        assert {r.job_id for r in results if r.outcome is Outcome.OK} == {second.job_id}

    async def test_a_whole_deliberation_is_cancelled(
        self, executor: Executor, stores: Stores, runner: HeldRunner
    ) -> None:
        """And no other."""
        runner.go.clear()
        jobs = [a_job(1), a_job(2), a_job(3, deliberation="e" * 32)]
        await executor.submit(jobs)
        await _until(lambda: runner.running == 3)
        assert await executor.cancel(jobs[0].deliberation_id) == 2
        results = await _results(stores, 2)
        assert {r.outcome for r in results} == {Outcome.CANCELLED}
        assert await executor.cancel("nobody") == 0
        runner.go.set()
        await _results(stores, 3)

    async def test_a_job_cancelled_as_soon_as_it_is_accepted_ends(
        self, executor: Executor, stores: Stores, runner: HeldRunner
    ) -> None:
        """It may not have begun by then: it still ends in one result, and is let go."""
        runner.go.clear()
        job = a_job()
        await executor.submit([job])
        assert await executor.cancel(job.deliberation_id) == 1
        (result,) = await _results(stores, 1)
        assert result.outcome is Outcome.CANCELLED
        await _none_active(executor)
        (claim,) = await stores.state.get([keys.claim(job.job_id)])
        assert claim is None

    async def test_a_runner_that_breaks_fails_that_job_only(
        self, executor: Executor, stores: Stores, runner: HeldRunner
    ) -> None:
        """The reason names what broke."""
        runner.errors.append(ZeroDivisionError("by zero"))
        await executor.submit([a_job(1), a_job(2)])
        results = await _results(stores, 2)
        (broken,) = [r for r in results if r.outcome is Outcome.FAILED]
        assert broken.failure is not None
        assert "ZeroDivisionError" in broken.failure.reason

    async def test_a_runner_that_is_away_for_a_moment_is_asked_again(
        self, executor: Executor, stores: Stores, runner: HeldRunner
    ) -> None:
        """Within the job's deadline."""
        runner.errors.append(Unavailable("away"))
        job = a_job()
        await executor.submit([job])
        (result,) = await _results(stores, 1)
        assert result.outcome is Outcome.OK
        assert runner.begun == {job.job_id: 2}

    async def test_stats_are_the_runners(self, executor: Executor, runner: HeldRunner) -> None:
        """Measured now."""
        runner.go.clear()
        await executor.submit([a_job(1), a_job(2)])
        await _until(lambda: runner.running == 2)
        assert (await executor.stats()).running == 2
        runner.go.set()
        await _none_active(executor)
        assert (await executor.stats()).running == 0


async def _published(stores: Stores) -> list[AgentResult]:
    found = []
    async for stored in stores.bus.replay([f"{RESULTS}.>"]):
        data = await opened(stored.event.data, stores.blobs)
        found.append(from_data(AgentResult, data))
    return found


async def _results(stores: Stores, number: int) -> list[AgentResult]:
    """The results once there are so many."""
    async with asyncio.timeout(_LIMIT_S):
        while len(found := await _published(stores)) < number:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    assert len(found) == number
    return found


async def _none_active(executor: Executor) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while await executor.active():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while not true():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
