"""Processes that are watched, tied and shown."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from fleet_bootstraps.stack.health import READY
from fleet_bootstraps.stack.overview import LiveOverview, Overview
from fleet_bootstraps.stack.parts import Part, gone, last_lines
from fleet_bootstraps.stack.tied import tied

PART = Part("nats", "nats://127.0.0.1:1", 7, Path("nats.log"))
_STARTS_A_TIED_ONE = """
import subprocess, sys
from fleet_bootstraps.stack.tied import tied
child = subprocess.Popen(tied([sys.executable, "-c", "import time; time.sleep(600)"]))
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.anyio
async def test_an_end_is_noticed_whether_it_comes_or_has_been() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
    waiting = asyncio.create_task(gone(process.pid))
    await asyncio.sleep(0)
    assert not waiting.done()
    process.kill()
    async with asyncio.timeout(10):
        await waiting
        await process.wait()
        await gone(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
@pytest.mark.anyio
async def test_a_tied_program_ends_with_a_parent_that_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _STARTS_A_TIED_ONE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    pidfd = os.pidfd_open(child)
    try:
        parent.kill()
        await parent.wait()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(pidfd, ended.set)
        async with asyncio.timeout(10):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)


def test_a_tied_program_is_told_apart_by_nothing() -> None:
    program = "import os, sys; print(os.getpid(), sys.argv[1:])"
    command = tied([sys.executable, "-c", program, "a word", "-x"])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=30)
    assert out == f"{process.pid} ['a word', '-x']\n"
    assert process.returncode == 0


def test_a_tied_program_that_is_not_there_is_an_exit_code() -> None:
    ended = subprocess.run(tied(["/no/such"]), capture_output=True, check=False, timeout=30)
    assert ended.returncode not in {0, -signal.SIGTERM}


def test_the_end_of_a_log_is_read_whatever_is_in_it(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert last_lines(log) == []
    log.write_bytes(b"first\n" * 10_000 + b"\xff\n\n last\n")
    assert last_lines(log, 2) == ["\ufffd", " last"]


def test_lines_are_said_once_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Overview()
    shown.part("nats", None)
    shown.part("nats", PART)
    shown.state("nats", READY)
    shown.state("nats", "not ready: \x1b[31m")
    assert capsys.readouterr().err.splitlines() == [
        "nats: starting",
        "nats: ready at nats://127.0.0.1:1 (process 7)",
        "nats: not ready: \\x1b[31m at nats://127.0.0.1:1 (process 7)",
    ]


def test_a_quiet_one_says_only_what_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Overview(quiet=True)
    shown.part("nats", PART)
    shown.note(["a hint"])
    shown.say("an end")
    assert capsys.readouterr().err == "an end\n"


def test_a_terminal_gets_a_table_with_what_to_do_next() -> None:
    written = io.StringIO()
    shown = LiveOverview(Console(file=written, force_terminal=True, width=120))
    with shown.shown():
        shown.part("nats", PART)
        shown.note(["fleet submit PLAN"])
        shown.state("nats", "ended")
    text = written.getvalue()
    assert "nats://127.0.0.1:1" in text
    assert "fleet submit PLAN" in text
    assert "ended" in text
