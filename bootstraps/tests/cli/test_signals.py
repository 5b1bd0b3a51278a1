"""Runs that are stopped, killed, shared and cancelled, as processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from fleet_adapters.scripted.script import parse_script
from fleet_adapters.scripted.server import ScriptedServer, serve_script

pytestmark = pytest.mark.anyio

Process = Callable[..., subprocess.Popen[str]]
Plan = Callable[..., str]
Fleet = Callable[..., Any]
TASKS = (
    {"id": "a", "title": "Do a", "role": "DEV"},
    {"id": "b", "title": "Do b", "role": "QA", "depends_on": ["a"]},
)


@asynccontextmanager
async def model(
    *, slow_ms: int, task: str = "b"
) -> AsyncIterator[tuple[ScriptedServer, list[str]]]:
    """A server that hangs back at the proposals of one task, and the options that bind it."""
    answers = [
        {"text": "an answer"},
        {"step": "critique", "prefer": ["answer"]},
        {"step": "judge", "prefer": ["answer"]},
        {"step": "propose", "task": task, "text": "a late answer", "delay_ms": slow_ms},
    ]
    async with serve_script(parse_script({"answers": answers})) as server:
        options = ["model.use=openai", f"model.base_url={server.base_url}", "model.model=scripted"]
        yield server, [word for option in options for word in ("--set", option)]


async def ended(started: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = await anyio.to_thread.run_sync(started.communicate, None, 60)
    return started.returncode, out, err


def report(home: Path) -> Any:
    (path,) = (home / "runs").glob("*/report.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_run_is_reported_and_goes_on_without_repeating_calls(
    number: signal.Signals, process: Process, plan: Plan, home: Path
) -> None:
    async with model(slow_ms=60_000) as (server, options):
        first = process("run", plan(*TASKS), *options)
        await server.until(lambda s: s.in_flight == 3 and s.total > 3, timeout_s=30)
        before = dict(server.calls)
        first.send_signal(number)
        code, _, err = await ended(first)

        assert code == 130
        assert f"interrupted; to go on: fleet run {plan(*TASKS)} --profile embedded --set" in err
        assert "Traceback" not in err
        assert report(home)["outcome"] == "interrupted"
        assert [t["state"] for t in report(home)["tasks"]] == ["decided", "running"]

    async with model(slow_ms=0) as (server, options):
        code, _out, err = await ended(process("run", plan(*TASKS), *options))

        assert code == 0, err
        assert "goes on" in err
        assert not {job for job in server.calls if json.loads(job)["task"] == "a"}
        assert before
        assert [t["state"] for t in report(home)["tasks"]] == ["decided", "decided"]


async def test_a_killed_run_goes_on_and_repeats_only_what_was_in_flight(
    process: Process, plan: Plan, home: Path
) -> None:
    async with model(slow_ms=60_000) as (server, options):
        first = process("run", plan(*TASKS), *options)
        await server.until(lambda s: s.in_flight == 3 and s.total > 3, timeout_s=30)
        first.kill()
        await ended(first)

    async with model(slow_ms=0) as (server, options):
        code, _, err = await ended(process("run", plan(*TASKS), *options))

        assert code == 0, err
        assert not {job for job in server.calls if json.loads(job)["task"] == "a"}
        assert max(server.calls.values()) == 1


async def test_two_processes_share_a_run(process: Process, plan: Plan, home: Path) -> None:
    async with model(slow_ms=3_000, task="a") as (server, options):
        first = process("run", plan(*TASKS), *options)
        await server.until(lambda s: s.in_flight == 3, timeout_s=30)
        second = process("run", plan(*TASKS), *options)
        results = [await ended(first), await ended(second)]

        assert [code for code, _, _ in results] == [0, 0], results
        assert "another process works on this run too" in results[1][2]
        assert max(server.calls.values()) == 1
        assert report(home)["outcome"] == "decided"


async def test_a_run_is_cancelled_from_another_process(
    process: Process, plan: Plan, home: Path
) -> None:
    async with model(slow_ms=60_000) as (server, options):
        running = process("run", plan(*TASKS), *options)
        await server.until(lambda s: s.in_flight == 3 and s.total > 3, timeout_s=30)
        code, out, err = await ended(
            process("cancel", plan(*TASKS), "--reason", "enough", "--json", *options)
        )
        assert code == 0, err
        assert json.loads(out)["tasks"] == {"a": "decided", "b": "cancelled"}

        code, out, _ = await ended(running)
        assert code == 1
        assert "b cancelled: enough" in out
        assert [t["state"] for t in report(home)["tasks"]] == ["decided", "cancelled"]


async def test_a_stopped_run_is_cancelled_where_nobody_works_on_it(
    process: Process, plan: Plan, home: Path
) -> None:
    async with model(slow_ms=60_000) as (server, options):
        first = process("run", plan(*TASKS), *options)
        await server.until(lambda s: s.in_flight == 3 and s.total > 3, timeout_s=30)
        first.kill()
        await ended(first)
        calls = server.total
        code, out, err = await ended(process("cancel", plan(*TASKS), "--json", *options))

        assert code == 0, err
        assert json.loads(out)["tasks"]["b"] == "cancelled"
        assert server.total == calls, "cancelling makes no call"


async def test_a_second_interrupt_ends_the_process_at_once(
    process: Process, plan: Plan, home: Path
) -> None:
    async with model(slow_ms=60_000) as (server, options):
        running = process("run", plan(*TASKS), *options)
        await server.until(lambda s: s.in_flight == 3, timeout_s=30)
        at = time.monotonic()
        while running.poll() is None and time.monotonic() - at < 30:
            running.send_signal(signal.SIGINT)
            await anyio.sleep(0.005)
        code, _, err = await ended(running)

        assert code in {130, -signal.SIGINT}, err
        assert "bug in fleet" not in err
