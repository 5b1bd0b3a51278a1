"""The executor service over a channel, RPC by RPC, and the client when the service goes away."""

from __future__ import annotations

import asyncio
import platform
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import grpc
import pytest

import fleet_core
from fleet_adapters.grpc._errors import Full
from fleet_adapters.grpc._jobs import job_message
from fleet_adapters.grpc.proto.fleet.domain.v1 import job_pb2
from fleet_adapters.grpc.proto.fleet.executor.v1 import executor_pb2 as pb
from fleet_adapters.grpc.proto.fleet.executor.v1.executor_pb2_grpc import ExecutorServiceStub
from fleet_adapters.grpc.settings import GrpcServerSettings
from fleet_core.domain.job import AgentJob, CheckRequest, ModelCall
from fleet_core.domain.model_call import Message, Speaker
from fleet_core.errors import DecodeError, StoreError, Unavailable
from fleet_core.ports.executor import Executor
from fleet_core.testing.jobs import HeldRunner, a_job
from fleet_core.usecases.execute import Execute

pytestmark = pytest.mark.anyio
LIMIT_S = 10


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return ExecutorServiceStub(channel)


def submission(*jobs: AgentJob) -> pb.ExecuteDeliberationRequest:
    return pb.ExecuteDeliberationRequest(
        jobs=[pb.SubmittedJob(job=job_message(job)) for job in jobs]
    )


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), str(raised.value.details())


async def until_running(runner: HeldRunner, number: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while runner.running != number:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)


async def until_idle(executor: Executor) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await executor.active():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)


async def test_a_step_is_submitted_looked_at_and_ends(
    stub: Any, runner: HeldRunner, execute: Execute
) -> None:
    runner.go.clear()
    first, second = a_job(1), a_job(2)
    answer = await stub.ExecuteDeliberation(submission(first, second, first))
    assert answer.accepted == 2
    await until_running(runner, 2)
    asked = pb.GetDeliberationStatusRequest(deliberation_id=first.deliberation_id)
    told = (await stub.GetDeliberationStatus(asked)).jobs
    assert [(s.job_id, s.agent_id, s.phase) for s in told] == [
        (job.job_id, job.agent_id, pb.JOB_PHASE_RUNNING) for job in (first, second)
    ]
    active = (await stub.GetActiveJobs(pb.GetActiveJobsRequest())).jobs
    assert {s.job_id for s in active} == {first.job_id, second.job_id}
    stats = await stub.GetClusterStats(pb.GetClusterStatsRequest())
    assert (stats.runner, stats.slots, stats.running, stats.nodes) == ("held", 1_000, 2, 1)
    runner.go.set()
    await until_idle(execute)
    told = (await stub.GetDeliberationStatus(asked)).jobs
    assert {(s.phase, s.outcome) for s in told} == {(pb.JOB_PHASE_DONE, job_pb2.OUTCOME_OK)}
    unknown = pb.GetDeliberationStatusRequest(deliberation_id="nobody")
    assert not (await stub.GetDeliberationStatus(unknown)).jobs


async def test_the_service_says_what_it_is(stub: Any, runner: HeldRunner) -> None:
    runner.go.clear()
    await stub.ExecuteDeliberation(submission(a_job()))
    status = await stub.GetStatus(pb.GetStatusRequest())
    assert status.version == fleet_core.__version__
    assert status.python == platform.python_version()
    assert status.started_ms > 1_700_000_000_000
    assert (status.active_jobs, status.max_jobs) == (1, 2_000)
    runner.go.set()


async def test_jobs_are_cancelled_one_or_all(
    stub: Any, runner: HeldRunner, execute: Execute
) -> None:
    runner.go.clear()
    jobs = [a_job(n) for n in (1, 2, 3)]
    identity = jobs[0].deliberation_id
    await stub.ExecuteDeliberation(submission(*jobs))
    await until_running(runner, 3)
    one = pb.CancelJobRequest(deliberation_id=identity, job_id=jobs[0].job_id)
    assert (await stub.CancelJob(one)).cancelled
    await until_running(runner, 2)
    assert not (await stub.CancelJob(one)).cancelled
    named = pb.CancelDeliberationRequest(deliberation_id=identity, job_ids=[jobs[1].job_id])
    assert (await stub.CancelDeliberation(named)).cancelled == 1
    every = pb.CancelDeliberationRequest(deliberation_id=identity)
    assert (await stub.CancelDeliberation(every)).cancelled == 1
    await until_idle(execute)
    assert Counter(runner.stopped) == {job.job_id: 1 for job in jobs}
    told = await stub.GetDeliberationStatus(
        pb.GetDeliberationStatusRequest(deliberation_id=identity)
    )
    assert {s.outcome for s in told.jobs} == {job_pb2.OUTCOME_CANCELLED}
    unknown = pb.CancelJobRequest(deliberation_id=identity, job_id="x")
    assert (await refusal(stub.CancelJob(unknown)))[0] is grpc.StatusCode.NOT_FOUND
    nobody = pb.CancelDeliberationRequest(deliberation_id="nobody")
    assert (await stub.CancelDeliberation(nobody)).cancelled == 0


async def test_requests_without_what_they_need_are_refused_by_field(
    stub: Any, runner: HeldRunner
) -> None:
    good = submission(a_job(1)).jobs[0]
    bad = pb.SubmittedJob(job=job_message(replace(a_job(2), agent_id="")))
    refused = {
        "jobs": stub.ExecuteDeliberation(pb.ExecuteDeliberationRequest()),
        "jobs[1].job.agent_id": stub.ExecuteDeliberation(
            pb.ExecuteDeliberationRequest(jobs=[good, bad])
        ),
        "deliberation_id": stub.GetDeliberationStatus(pb.GetDeliberationStatusRequest()),
        "job_id": stub.CancelJob(pb.CancelJobRequest(deliberation_id="d")),
    }
    for field, call in refused.items():
        code, said = await refusal(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said.startswith(f"{field}: ")
    empty = stub.CancelDeliberation(pb.CancelDeliberationRequest())
    assert (await refusal(empty))[1].startswith("deliberation_id: ")
    assert not (await stub.GetActiveJobs(pb.GetActiveJobsRequest())).jobs
    assert not runner.begun  # no job of a refused request


async def test_a_prompt_of_six_megabytes_reaches_the_runner(fleet: Any) -> None:
    seen: list[AgentJob] = []

    class Seeing(HeldRunner):
        async def run(self, job: AgentJob, on_text: Any = None) -> Any:
            seen.append(job)
            return await super().run(job, on_text)

    small = a_job(1)
    assert isinstance(small.work, ModelCall)
    prompt = Message(Speaker.USER, "é" * 3 * 1024 * 1024)
    request = replace(small.work.request, messages=(prompt,))
    large = replace(small, work=replace(small.work, request=request))
    odd = replace(a_job(2), work=CheckRequest("python", "a lone \ud800"))
    async with (
        fleet.execute(Seeing()) as execute,
        fleet.served(execute) as served,
        fleet.client(served.address) as client,
    ):
        await client.submit([large, odd])
        await until_idle(client)
    assert sorted(seen, key=lambda job: job.agent_id) == [large, odd]


async def test_a_message_beyond_the_limit_is_refused_and_says_what_to_raise(
    fleet: Any, execute: Execute
) -> None:
    tiny = GrpcServerSettings(listen="127.0.0.1:0", max_message_bytes=100)
    async with fleet.served(execute, tiny) as served, fleet.client(served.address) as client:
        with pytest.raises(StoreError, match="max_message_bytes"):
            await client.submit([a_job()])


async def test_a_full_executor_asks_to_come_again(
    fleet: Any, runner: HeldRunner, execute: Execute
) -> None:
    runner.go.clear()
    async with fleet.served(execute, max_jobs=3) as served, fleet.client(served.address) as client:
        held = [a_job(1), a_job(2)]
        await client.submit(held)
        with pytest.raises(Full, match="holds 2 jobs and takes 3, not 2 more") as refused:
            await client.submit([*held, a_job(3), a_job(4)])
        assert refused.value.retryable
        assert refused.value.retry_after_ms > 0
        await client.submit(held)  # nothing new in it
        await client.submit([a_job(3)])
        with pytest.raises(Full):
            await client.submit([a_job(4)])
        runner.go.set()
        await until_idle(client)
        await client.submit([a_job(n) for n in range(10, 20)])  # it holds nothing
        await until_idle(client)
    assert sum(runner.begun.values()) == 13


async def test_requests_at_once_do_not_overfill(fleet: Any, runner: HeldRunner) -> None:
    """Room is taken before the claims of the jobs are made."""
    gate = asyncio.Event()

    class Slow:
        def __init__(self, inner: Executor) -> None:
            self.inner = inner

        async def submit(self, jobs: Any) -> None:
            await gate.wait()
            await self.inner.submit(jobs)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    runner.go.clear()
    async with (
        fleet.execute(runner) as execute,
        fleet.served(Slow(execute), max_jobs=3) as served,
        fleet.client(served.address) as client,
    ):
        submits = [asyncio.create_task(client.submit([a_job(n)])) for n in range(1, 7)]
        async with asyncio.timeout(LIMIT_S):
            while sum(task.done() for task in submits) < 3:  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
        gate.set()
        ended = await asyncio.gather(*submits, return_exceptions=True)
        assert sum(isinstance(end, Full) for end in ended) == 3
        assert len(await client.active()) == 3
        runner.go.set()


async def test_an_executor_that_is_away_is_told_at_once_and_found_again(
    fleet: Any, execute: Execute, runner: HeldRunner
) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        served = await first.enter_async_context(fleet.served(execute))
        client = await stack.enter_async_context(fleet.client(served.address, timeout_ms=60_000))
        await client.submit([a_job(1)])
        await first.aclose()
        for ask in (client.stats, client.active, lambda: client.submit([a_job(2)])):
            async with asyncio.timeout(5):  # much less than the call's own limit
                with pytest.raises(Unavailable, match=f"executor at {served.address}"):
                    await ask()
        again = GrpcServerSettings(listen=served.address)
        await stack.enter_async_context(fleet.served(execute, again))
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await client.submit([a_job(2)])
                except Unavailable:
                    await asyncio.sleep(0.05)
                else:
                    break
        await until_idle(client)
    assert runner.begun == {a_job(1).job_id: 1, a_job(2).job_id: 1}


async def test_a_service_that_takes_the_connection_and_says_nothing_is_given_up(
    fleet: Any,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with fleet.client(address, timeout_ms=300) as client, asyncio.timeout(5):
            with pytest.raises(Unavailable, match=address):
                await client.stats()


@pytest.fixture
async def two(fleet: Any, runner: HeldRunner) -> AsyncIterator[tuple[Any, Any, AsyncExitStack]]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(fleet.execute(runner, "one"))
        second = await stack.enter_async_context(fleet.execute(runner, "two"))
        one = await stack.enter_async_context(fleet.served(first, max_jobs=2))
        mortal = await stack.enter_async_context(AsyncExitStack())
        other = await mortal.enter_async_context(fleet.served(second, max_jobs=2))
        yield one, other, mortal


async def test_of_two_executors_one_that_is_full_or_away_is_passed_over(
    fleet: Any, runner: HeldRunner, two: tuple[Any, Any, AsyncExitStack]
) -> None:
    one, other, mortal = two
    runner.go.clear()
    async with fleet.client(one.address, other.address) as client:
        for number in range(1, 5):
            await client.submit([a_job(number)])
        await until_running(runner, 4)
        with pytest.raises(Full):
            await client.submit([a_job(5)])
        assert len(await client.active()) == 4
        assert len(await client.status(a_job().deliberation_id)) == 4
        assert await client.cancel(a_job().deliberation_id) == 4
        await until_idle(client)
        await mortal.aclose()
        for number in range(6, 8):
            await client.submit([a_job(number)])
        await until_running(runner, 2)
        assert (await client.stats()).nodes == 1
        runner.go.set()
        await until_idle(client)


async def test_of_a_job_that_two_executors_know_the_furthest_is_told(
    fleet: Any, runner: HeldRunner, two: tuple[Any, Any, AsyncExitStack]
) -> None:
    one, other, _ = two
    runner.go.clear()
    async with (
        fleet.client(one.address) as first,
        fleet.client(other.address) as second,
        fleet.client(one.address, other.address) as both,
        fleet.client(other.address, one.address) as reverse,
    ):
        job = a_job()
        await first.submit([job])
        await until_running(runner, 1)
        await second.submit([job])  # waits for the other's claim
        for client in (both, reverse):
            (status,) = await client.status(job.deliberation_id)
            assert status.phase == "running"
            assert len(await client.active()) == 1
        runner.go.set()
        await until_idle(both)
    assert runner.begun == {job.job_id: 1}


async def test_executors_are_submitted_to_in_turn(
    fleet: Any, two: tuple[Any, Any, AsyncExitStack]
) -> None:
    one, other, _ = two
    async with (
        fleet.client(one.address, other.address) as client,
        fleet.client(one.address) as first,
        fleet.client(other.address) as second,
    ):
        for number in range(1, 5):
            await client.submit([a_job(number)])
        async with asyncio.timeout(LIMIT_S):
            while await client.active():  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
        known = [await each.status(a_job().deliberation_id) for each in (first, second)]
        assert [len(statuses) for statuses in known] == [2, 2]


async def test_what_one_executor_refuses_is_not_asked_of_another(
    fleet: Any, two: tuple[Any, Any, AsyncExitStack]
) -> None:
    one, other, _ = two
    async with fleet.client(one.address, other.address) as client:
        with pytest.raises(DecodeError) as refused:
            await client.submit([replace(a_job(), agent_id="")])
        assert refused.value.field == "jobs[0].job.agent_id"
    async with asyncio.timeout(LIMIT_S):
        while not fleet.calls:  # noqa: ASYNC110 -- told after the caller has its answer
            await asyncio.sleep(0.01)
    assert [(c.method, c.code) for c in fleet.calls] == [
        ("ExecuteDeliberation", "INVALID_ARGUMENT")
    ]
