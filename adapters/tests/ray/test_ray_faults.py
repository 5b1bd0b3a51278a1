"""What ends under the runner, by its process id."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.ray.plugin import RaySettings
from fleet_adapters.ray.runner import RayRunner
from fleet_adapters.ray.sessions import end_session, session_of
from fleet_bootstraps.stack.ray import ray_head
from fleet_core.domain.job import AgentResult, Outcome
from fleet_core.errors import Unavailable
from fleet_core.testing.jobs import a_job
from fleet_core.testing.saying import ObedientModel

pytestmark = [pytest.mark.anyio, pytest.mark.connected]

Opened = Callable[[RaySettings], AbstractAsyncContextManager[RayRunner]]


async def until(true: Callable[[], object], limit_s: float = 30) -> None:
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.02)


async def run_again(runner: RayRunner, number: int) -> AgentResult:
    """As Execute does it."""
    while True:
        try:
            return await runner.run(a_job(number))
        except Unavailable:
            await asyncio.sleep(0.2)


@pytest.fixture
def model(phone: Any) -> ObedientModel:
    phone.model = ObedientModel()
    phone.pids.clear()
    return phone.model  # type: ignore[no-any-return]  # it was just made


async def test_the_jobs_of_a_killed_worker_are_run_again_by_another(
    opened: Opened, clustered: RaySettings, model: ObedientModel, phone: Any
) -> None:
    heard: list[str] = []
    async with opened(clustered) as runner, asyncio.TaskGroup() as tasks:
        model.go.clear()
        runs = [tasks.create_task(runner.run(a_job(n), heard.append)) for n in (1, 2, 3)]
        await until(lambda: model.begun == 3)
        (pid,) = set(phone.pids)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: model.begun == 6)
        assert pid not in phone.pids[3:]
        model.go.set()
    for run in runs:
        assert run.result().outcome is Outcome.OK
        assert run.result().usage.attempts == 2
    assert "".join(heard) == "a b c" * 3
    assert model.stopped == 3


async def test_a_job_that_ends_every_worker_ends_failed(
    opened: Opened, clustered: RaySettings, model: ObedientModel, phone: Any
) -> None:
    async with opened(replace(clustered, retries=1)) as runner:
        model.go.clear()
        run = asyncio.create_task(runner.run(a_job()))
        for begun in (1, 2):
            await until(lambda begun=begun: model.begun == begun)  # type: ignore[misc]  # bound now
            os.kill(phone.pids[-1], signal.SIGKILL)
        result = await run
        assert result.failure is not None
        assert (result.outcome, result.failure.code) == (Outcome.FAILED, "unavailable")
        assert "2 times" in result.failure.reason
        model.go.set()
        assert (await runner.run(a_job(2))).outcome is Outcome.OK


async def test_jobs_are_handed_back_when_the_driver_is_killed_and_another_is_started(
    opened: Opened, clustered: RaySettings, model: ObedientModel
) -> None:
    async with opened(clustered) as runner:
        model.go.clear()
        run = asyncio.create_task(runner.run(a_job()))
        await until(lambda: model.begun == 1)
        pid = runner.driver_pid
        assert pid is not None
        folder = folder_of(pid)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="driver"):
            await run
        assert (await runner.stats()).slots == 0
        await until(lambda: model.stopped == 1)  # Ray ends the workers of a driver that has ended
        model.go.set()
        async with asyncio.timeout(30):
            assert (await run_again(runner, 2)).outcome is Outcome.OK
        assert runner.driver_pid not in (None, pid)
        assert not is_there(folder)


async def test_what_hears_an_answer_and_fails_fails_that_job_only(
    opened: Opened, clustered: RaySettings, model: ObedientModel
) -> None:
    def deaf(_piece: str) -> None:
        raise ZeroDivisionError

    async with opened(clustered) as runner:
        with pytest.raises(ZeroDivisionError):
            await runner.run(a_job(), deaf)
        assert (await runner.run(a_job(2))).outcome is Outcome.OK
        assert model.begun == 2


@pytest.mark.timeout(300)
async def test_the_service_lives_on_when_the_ray_head_hangs_or_is_killed_and_works_with_the_next(
    opened: Opened, model: ObedientModel, tmp_path: Path
) -> None:
    token = "fedcba9876543210" * 4
    settings = RaySettings(actors=1, calls=4, token="HEAD_TOKEN", head_timeout_ms=3_000)
    async with AsyncExitStack() as heads:
        head = await heads.enter_async_context(ray_head(tmp_path, token))
        async with opened(replace(settings, address=head.address)) as runner:
            model.go.clear()
            run = asyncio.create_task(runner.run(a_job()))
            await until(lambda: model.begun == 1)
            os.kill(head.gcs_pid, signal.SIGSTOP)
            try:
                with pytest.raises(Unavailable, match="is silent for"):
                    await asyncio.wait_for(run, 30)
            finally:
                os.kill(head.gcs_pid, signal.SIGCONT)
            await until(lambda: model.stopped == 1)
            model.go.set()
            async with asyncio.timeout(60):
                assert (await run_again(runner, 2)).outcome is Outcome.OK
            model.go.clear()
            run = asyncio.create_task(runner.run(a_job()))
            await until(lambda: model.begun == 3)
            os.kill(head.gcs_pid, signal.SIGKILL)
            with pytest.raises(Unavailable, match="Ray"):
                await asyncio.wait_for(run, 30)
            await until(lambda: model.stopped == 2)
            model.go.set()
            with pytest.raises(Unavailable, match="Ray"):
                await runner.run(a_job(2))
            await heads.aclose()
            port = int(head.address.rpartition(":")[2])
            await heads.enter_async_context(ray_head(tmp_path, token, port=port))
            async with asyncio.timeout(60):
                assert (await run_again(runner, 3)).outcome is Outcome.OK
            assert (await runner.stats()).slots > 0


TWO_NODES = Path(__file__).parent / "two_nodes.py"


@asynccontextmanager
async def two_nodes(token: str) -> AsyncIterator[tuple[str, Callable[[], Awaitable[None]]]]:
    """The address of a cluster of two nodes, and what kills the second."""
    with tempfile.TemporaryDirectory(prefix="fleet-ray-", dir="/tmp") as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(TWO_NODES)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={
                **os.environ,
                "RAY_TMPDIR": folder,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": token,
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            },
        )
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        async def said(word: str) -> str:
            while line := (await asyncio.wait_for(stdout.readline(), 90)).decode():
                if line.startswith(word):
                    return line.split()[-1]
            raise AssertionError(f"it ended before it {word}")

        async def kill() -> None:
            stdin.write(b"\n")
            await said("killed")

        try:
            yield await said("serves"), kill
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            end_session(process.pid)


@pytest.mark.timeout(300)
async def test_the_jobs_of_a_lost_node_are_run_again_on_another(
    opened: Opened, model: ObedientModel, phone: Any
) -> None:
    async with two_nodes("fedcba9876543210" * 4) as (address, kill):
        settings = RaySettings(address, "HEAD_TOKEN", actors=2, calls=4)
        async with opened(settings) as runner, asyncio.TaskGroup() as tasks:
            assert (await runner.stats()).nodes == 2
            model.go.clear()
            runs = [tasks.create_task(runner.run(a_job(n))) for n in (1, 2, 3, 4)]
            await until(lambda: model.begun == 4)
            assert len(set(phone.pids)) == 2
            await kill()
            await until(lambda: model.begun == 6, 60)
            model.go.set()
        assert sorted(run.result().usage.attempts for run in runs) == [1, 1, 2, 2]


HOLDER = """
import asyncio, sys, time
from pathlib import Path
from fleet_adapters.ray import plugin
from fleet_adapters.ray.plugin import RaySettings
from fleet_plugins.api import FactoryContext

async def main():
    ctx = FactoryContext(lambda: 0, lambda name: "", Path(sys.argv[1]))
    async with plugin.runner.fleet_adapter().factory(RaySettings(actors=1), ctx) as runner:
        print(runner.driver_pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def folder_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/cwd").readlink())


def is_there(folder: str) -> bool:
    return Path(folder).exists()


async def test_nothing_of_a_ray_of_its_own_outlives_a_killed_executor(tmp_path: Path) -> None:
    executor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert executor.stdout is not None
    driver = int(await asyncio.wait_for(executor.stdout.readline(), 60))
    folder = folder_of(driver)
    started = session_of(driver)
    assert any("gcs_server" in said for _, said in started)
    assert folder.startswith("/tmp/fleet-ray-")
    executor.kill()
    await executor.wait()
    try:
        await until(lambda: not session_of(driver))
        assert not is_there(folder)
    finally:
        for pid, _ in session_of(driver):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
