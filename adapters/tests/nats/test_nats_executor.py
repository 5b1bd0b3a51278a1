"""The executor over NATS: the contract, then several executors, crashes, hostile jobs, tools."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

from fleet_adapters.memory.blobs import InMemoryBlobStore
from fleet_adapters.memory.bus import InMemoryEventBus
from fleet_adapters.memory.state import InMemoryStateStore
from fleet_adapters.memory.tokens import InMemoryTokenStream
from fleet_adapters.nats import _jobs as wire
from fleet_adapters.nats.executor_server import serve_executor
from fleet_adapters.nats.settings import NatsExecutorSettings
from fleet_bootstraps.stack.nats import nats_server, running_nats
from fleet_core.domain.codec import from_data, to_data
from fleet_core.domain.events import RESULTS, Event, encode
from fleet_core.domain.job import AgentJob, AgentResult, ModelCall, Outcome
from fleet_core.errors import Unavailable
from fleet_core.ports.event_bus import Subscription
from fleet_core.ports.executor import Executor
from fleet_core.ports.token_stream import Words
from fleet_core.testing.jobs import HeldRunner, a_job
from fleet_core.testing.playing import REFERENCE_CALL
from fleet_core.usecases.execute import Execute, ExecuteSettings
from fleet_core.usecases.payload import opened
from fleet_core.usecases.stores import Stores
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.contracts.executor import ExecutorContract

pytestmark = pytest.mark.anyio

_LIMIT_S = 20


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def stores() -> Stores:
    return Stores(InMemoryEventBus(now), InMemoryStateStore(now), InMemoryBlobStore(), now)


@dataclass
class Crew:
    """Executors and submitters of one server, over one set of stores."""

    url: str
    home: Path
    stores: Stores
    stack: AsyncExitStack
    opener: Any
    secrets: dict[str, str] = field(default_factory=lambda: {"P": "right"})
    serving: list[AsyncExitStack] = field(default_factory=list)
    executes: list[Execute] = field(default_factory=list)

    async def serve(self, runner: HeldRunner, **settings: Any) -> str:
        """Serve with an executor of its own; its claims run out quickly."""
        owner = f"owner-{len(self.serving)}"
        stack = AsyncExitStack()
        self.serving.append(stack)
        self.stack.push_async_exit(stack)
        tokens = InMemoryTokenStream()
        execute = Execute(runner, self.stores, tokens, ExecuteSettings(owner, 600))
        self.executes.append(await stack.enter_async_context(execute.running()))
        ctx = FactoryContext(
            now, self.secrets.__getitem__, self.home, log=logging.getLogger("fleet.nats")
        )
        given = NatsExecutorSettings(servers=(self.url,), **settings)
        serving = serve_executor(execute, self.stores.blobs, given, ctx)
        return await stack.enter_async_context(serving)

    async def submitter(self, **settings: Any) -> Executor:
        self.opener.url = self.url
        executor: Executor = await self.opener.open(
            "executor", {PortName.BLOBS: self.stores.blobs}, **settings
        )
        return executor

    async def results(self, number: int) -> list[AgentResult]:
        """The results once there are so many."""
        async with asyncio.timeout(_LIMIT_S):
            while True:
                stored = [s async for s in self.stores.bus.replay([f"{RESULTS}.>"])]
                if len(stored) >= number:
                    break
                await asyncio.sleep(0.01)
        datas = [await opened(s.event.data, self.stores.blobs) for s in stored]
        return [from_data(AgentResult, data) for data in datas]


@pytest.fixture
async def crew(stores: Stores, opener: Any, tmp_path: Path) -> AsyncIterator[Crew]:
    async with nats_server(tmp_path / "server") as url, AsyncExitStack() as stack:
        yield Crew(url, tmp_path, stores, stack, opener)
        await opener.close()


async def until(true: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while True:
            said = true()
            if said if isinstance(said, bool) else await said:
                return
            await asyncio.sleep(0.01)


class TestNatsExecutor(ExecutorContract):
    @pytest.fixture
    def stores(self, stores: Stores) -> Stores:
        return stores

    @pytest.fixture
    async def executor(self, crew: Crew, runner: HeldRunner) -> Executor:
        await crew.serve(runner)
        return await crew.submitter()


class TestTwoNatsExecutors(ExecutorContract):
    """The same with a second executor beside the first, over the same stores and runner."""

    @pytest.fixture
    def stores(self, stores: Stores) -> Stores:
        return stores

    @pytest.fixture
    async def executor(self, crew: Crew, runner: HeldRunner) -> Executor:
        await crew.serve(runner)
        await crew.serve(runner)
        return await crew.submitter()

    async def test_stats_are_the_runners(self, executor: Executor, runner: HeldRunner) -> None:
        """Each tells of the runner, which they share here: it is counted twice."""
        runner.go.clear()
        await executor.submit([a_job(1), a_job(2)])
        await until(lambda: runner.running == 2)
        stats = await executor.stats()
        assert (stats.running, stats.slots, stats.runner) == (4, 2_000, "held")
        runner.go.set()


async def test_jobs_wait_in_the_queue_for_an_executor(crew: Crew) -> None:
    executor = await crew.submitter(ask_ms=300)
    await executor.submit([a_job(1), a_job(2)])
    await executor.submit([a_job(1)])
    assert (await _state(executor))["messages"] == 2  # what lies there is not accepted twice
    with pytest.raises(Unavailable, match="no executor answers"):
        await executor.active()
    await crew.serve(HeldRunner())
    assert len(await crew.results(2)) == 2


async def test_what_an_executor_held_that_leaves_goes_to_another(crew: Crew) -> None:
    executor = await crew.submitter()
    first, second = HeldRunner(), HeldRunner()
    first.go.clear()
    await crew.serve(first)
    jobs = [a_job(n) for n in range(5)]
    await executor.submit(jobs)
    await until(lambda: first.running == 5)
    await crew.serve(second)
    await crew.serving[0].aclose()
    results = await crew.results(5)
    assert {r.job_id for r in results} == {j.job_id for j in jobs}
    assert {r.outcome for r in results} == {Outcome.OK}
    assert set(second.begun) == {j.job_id for j in jobs}


async def test_what_a_process_took_that_died_goes_to_another(crew: Crew) -> None:
    """It said no goodbye; its connection is closed, its time to acknowledge runs out."""
    executor = await crew.submitter()
    runner = HeldRunner()
    await crew.serve(runner, ack_wait_ms=400)
    await executor.submit([a_job(2)])
    await crew.results(1)
    await until(lambda: _nothing_lies(executor))
    await crew.serving[0].aclose()
    await executor.submit([a_job(1)])
    async with await nats.connect(crew.url) as client:
        js = client.jetstream()
        pull = await js.pull_subscribe_bind(wire.DURABLE, wire.QUEUE)
        assert len(await pull.fetch(1, timeout=5)) == 1
    await crew.serve(runner, ack_wait_ms=400)
    results = await crew.results(2)
    assert {result.outcome for result in results} == {Outcome.OK}
    assert runner.begun == {a_job(1).job_id: 1, a_job(2).job_id: 1}


async def test_a_long_job_is_not_given_to_another(crew: Crew) -> None:
    executor = await crew.submitter()
    first, second = HeldRunner(), HeldRunner()
    first.go.clear()
    await crew.serve(first, ack_wait_ms=600)
    await executor.submit([a_job(1)])
    await until(lambda: first.running == 1)
    await crew.serve(second, ack_wait_ms=600)
    link = executor._link  # type: ignore[attr-defined]  # a look inside
    until_s = asyncio.get_running_loop().time() + 1.5
    while asyncio.get_running_loop().time() < until_s:
        info = await link.api(f"CONSUMER.INFO.{wire.QUEUE}.{wire.DURABLE}")
        assert (info["num_redelivered"], info["num_ack_pending"]) == (0, 1)
        await asyncio.sleep(0.05)
    first.go.set()
    await crew.results(1)
    assert not second.begun


async def _state(executor: Any) -> dict[str, Any]:
    return dict((await executor._link.api(f"STREAM.INFO.{wire.QUEUE}"))["state"])


async def test_a_job_that_nobody_took_is_cancelled_all_the_same(crew: Crew) -> None:
    """The executor is full; the job ends `cancelled` once it is taken, without being run."""
    runner = HeldRunner()
    runner.go.clear()
    await crew.serve(runner, max_jobs=1)
    executor = await crew.submitter()
    first, waiting = a_job(1), a_job(2)
    await executor.submit([first])
    await until(lambda: runner.running == 1)
    await executor.submit([waiting])
    assert [s.job_id for s in await executor.active()] == [first.job_id, waiting.job_id]
    assert await executor.cancel(waiting.deliberation_id, [waiting.job_id]) == 1
    runner.go.set()
    outcomes = {r.job_id: r.outcome for r in await crew.results(2)}
    assert outcomes == {first.job_id: Outcome.OK, waiting.job_id: Outcome.CANCELLED}
    assert set(runner.begun) == {first.job_id}


async def test_a_journaled_job_has_its_result_published_again(crew: Crew) -> None:
    """Also where the log that held it is lost."""
    runner = HeldRunner()
    await crew.serve(runner)
    executor = await crew.submitter()
    await executor.submit([a_job()])
    await crew.results(1)

    await until(lambda: _nothing_lies(executor))
    again = crew.executes[0]._bus = InMemoryEventBus(now)
    await executor.submit([a_job()])

    async def published() -> bool:
        return len([s async for s in again.replay([f"{RESULTS}.>"])]) == 1

    await until(published)
    assert runner.begun == {a_job().job_id: 1}


async def test_a_large_job_travels_by_reference(crew: Crew) -> None:
    call = REFERENCE_CALL
    assert isinstance(call, ModelCall)
    first = call.request.messages[0]
    long = replace(first, text="x" * 1_500_000)
    job = a_job(work=replace(call, request=replace(call.request, messages=(long,))))
    await crew.serve(HeldRunner())
    await (await crew.submitter()).submit([job])
    assert (await crew.results(1))[0].outcome is Outcome.OK


def _raw(job: AgentJob, **changes: Any) -> bytes:
    data = {**to_data(job), **changes}
    return encode(Event(f"raw {changes}", wire.job_subject(job), data))


async def test_hostile_jobs_go_to_the_dead_letters_and_harm_nobody(crew: Crew) -> None:
    executor = await crew.submitter()
    job = a_job(1)
    raw = {
        "is not JSON": b"\xff",
        "task_id": _raw(job, task_id="a/b"),
        "is not that of its plan": _raw(job, task="x.*"),
        "names another job": _raw(job, deliberation_id="e" * 32),
        "is not the id of its content": _raw(
            replace(job, job_id="0" * 32), key={"round": 1, "step": "p", "agent": 9}
        ),
        "unknown key": _raw(job, surprise=1),
        "there is no blob": encode(
            Event("blob", wire.job_subject(job), {"ref": "sha256:" + "0" * 64})
        ),
    }
    subject = wire.job_subject(job)
    client = await nats.connect(crew.url)
    async with client:
        for reason, payload in raw.items():
            own = wire.job_subject(replace(job, job_id="0" * 32))
            await client.jetstream().publish(own if "content" in reason else subject, payload)
    await crew.serve(HeldRunner())
    good = a_job(2)
    await executor.submit([good])
    assert [r.job_id for r in await crew.results(1)] == [good.job_id]
    bus = await crew.opener.open("bus")
    found: list[Event] = []

    async def all_there() -> bool:
        found[:] = [s.event async for s in bus.replay(["dead.>"])]
        return len(found) == len(raw)

    await until(all_there)
    reasons = [letter.data["reason"] for letter in found]
    for why in raw:
        assert any(why in reason for reason in reasons), (why, reasons)
    await until(lambda: _nothing_lies(executor))


async def _nothing_lies(executor: Any) -> bool:
    return not await executor._queue()


async def test_a_restart_of_the_server_only_delays(
    stores: Stores, opener: Any, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        runner = HeldRunner()
        runner.go.clear()
        async with running_nats(tmp_path / "s") as server:
            crew = Crew(server.url, tmp_path, stores, stack, opener)
            await crew.serve(runner, ack_wait_ms=1_000)
            executor = await crew.submitter()
            jobs = [a_job(n) for n in range(4)]
            await executor.submit(jobs[:2])
            await until(lambda: runner.running == 2)
        submitting = asyncio.create_task(executor.submit(jobs[2:]))
        async with running_nats(tmp_path / "s", port=server.port):
            await submitting
            runner.go.set()
            assert len(await crew.results(4)) == 4
            assert set(runner.begun.values()) == {1}
            await until(lambda: _nothing_lies(executor))
            await stack.aclose()
            await opener.close()


async def test_tools_of_the_micro_services_convention_find_it(crew: Crew) -> None:
    names = {await crew.serve(HeldRunner()), await crew.serve(HeldRunner())}
    client = await nats.connect(crew.url)
    async with client:

        async def every(subject: str, payload: bytes = b"") -> list[dict[str, Any]]:
            inbox = client.new_inbox()
            heard = await client.subscribe(inbox)
            await client.publish(subject, payload, inbox)
            return [json.loads((await heard.next_msg(2)).data) for _ in range(2)]

        pings = await every("$SRV.PING.fleet-executor")
        assert {ServicePing.from_dict(ping).id for ping in pings} == names
        one = next(iter(names))
        info = await client.request(f"$SRV.INFO.fleet-executor.{one}", timeout=2)
        endpoints = ServiceInfo.from_dict(json.loads(info.data)).endpoints
        subjects = {endpoint.name: endpoint.subject for endpoint in endpoints}
        assert subjects == {
            name: f"fleet.executor.v1.{name}" for name in ("cancel", "status", "active", "stats")
        }
        answers = await every("fleet.executor.v1.stats")
        assert {a["executor"] for a in answers} == names
        assert all(a["stats"]["slots"] == 1_000 for a in answers)
        for counted in map(ServiceStats.from_dict, await every("$SRV.STATS")):
            counts = {endpoint.name: endpoint.num_requests for endpoint in counted.endpoints}
            assert counts == {"cancel": 0, "status": 0, "active": 0, "stats": 1}
        refused = await client.request("fleet.executor.v1.status", b'{"nonsense": 1}', timeout=2)
        assert refused.headers is not None
        assert "unknown key" in refused.headers["Nats-Service-Error"]


async def test_an_executor_that_does_not_answer_is_answered_for(
    crew: Crew, caplog: pytest.LogCaptureFixture
) -> None:
    await crew.serve(HeldRunner())
    executor = await crew.submitter(ask_ms=300)
    client = await nats.connect(crew.url)
    async with client:
        await client.publish(wire.HERE, b"silent one")
        await client.flush()
    members = executor._members  # type: ignore[attr-defined]  # a look inside
    await until(lambda: len(members.names) == 2)
    assert (await executor.stats()).slots == 1_000
    assert "answered for by the others only: ['silent one']" in caplog.text


_LEAST = """authorization { users: [ {user: fleet, password: "right", permissions: {
  publish: {allow: ["planning.>", "orchestration.>", "context.>", "agent.>", "vllm.streaming.>",
    "dead.>", "$JS.API.>", "$JS.ACK.>", "fleet.>", "_INBOX.>"]}
  subscribe: {allow: ["_INBOX.>", "fleet.>", "vllm.streaming.>", "$SRV.>"]}
}} ] }"""


async def test_the_rights_that_the_readme_names_are_enough(
    stores: Stores, opener: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opener.secrets = {"P": "right"}
    login = {"user": "fleet", "password_secret": "P"}
    async with nats_server(tmp_path / "s", config=_LEAST) as url, AsyncExitStack() as stack:
        crew = Crew(url, tmp_path, stores, stack, opener)
        await crew.serve(HeldRunner(), **login)
        executor = await crew.submitter(**login)
        await executor.submit([a_job()])
        await crew.results(1)
        assert await executor.cancel("nobody") == 0
        bus = await opener.open("bus", **login)
        tokens = await opener.open("tokens", **login)
        async with tokens.listen() as heard, asyncio.timeout(_LIMIT_S):
            tokens.say(Words("d", "T", "a", "j", 0, "hello"))
            assert (await anext(heard)).text == "hello"
        await bus.publish([Event("1", "context.updated", {})])
        async with bus.subscribe(Subscription("d", ("context.>",))) as deliveries:
            async with asyncio.timeout(_LIMIT_S):
                await (await anext(deliveries)).term()
        assert len([s async for s in bus.replay([">"])]) == 1
        await bus.forget("d")
        await stack.aclose()
        await opener.close()
    assert "violation" not in caplog.text.lower()
