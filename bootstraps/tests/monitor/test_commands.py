"""`fleet monitor`, `fleet export` and `fleet run --monitor`, as processes of their own."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
Process = Callable[..., subprocess.Popen[str]]
Fleet = Callable[..., Any]
AT = "services.monitor.listen=127.0.0.1:0"
SLOW = ({"text": "an answer", "delay_ms": 1_500},)


async def line(stream: Any) -> str:
    with anyio.fail_after(60):
        return str(await anyio.to_thread.run_sync(stream.readline, abandon_on_cancel=True))


async def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What `fleet monitor --json` says once it serves."""
    text = ""
    while not text.endswith("}\n"):
        text += await line(process.stdout)
    return dict(json.loads(text))


async def ended(process: subprocess.Popen[str]) -> int:
    with anyio.fail_after(60):
        return int(await anyio.to_thread.run_sync(process.wait, abandon_on_cancel=True))


async def get(url: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200
        return await response.json()


async def decided(url: str) -> bool:
    plans = (await get(f"{url}/api/plans"))["plans"]
    return any(plan["state"] == "decided" for plan in plans)


async def test_a_finished_run_and_its_export_are_shown(
    fleet: Fleet, process: Process, script: Any, plan: Any, tmp_path: Path
) -> None:
    bound, file = script(), str(tmp_path / "run.jsonl")
    path = plan()
    ran = await anyio.to_thread.run_sync(lambda: fleet("run", path, *bound, "-q"))
    assert ran.code == 0, ran.err
    exported = await anyio.to_thread.run_sync(lambda: fleet("export", "--out", file))
    assert exported.code == 0, exported.err

    shown = []
    for what in ((path, *bound), (file,)):
        running = process("monitor", *what, "--listen", "127.0.0.1:0", "--json", "--no-browser")
        up = await told(running)
        (row,) = (await get(f"http://{up['address']}/api/plans"))["plans"]
        shown.append(row)
        if what[0] == path:
            assert up["url"].endswith(f"/#/plans/{row['plan_id']}")
        running.send_signal(signal.SIGTERM)
        assert await ended(running) == 0

    assert shown[0] == shown[1]
    assert shown[0]["state"] == "decided"


async def test_a_run_can_be_watched_while_it_runs_and_after(
    process: Process, script: Any, plan: Any
) -> None:
    running = process("run", plan(), *script(*SLOW), "--set", AT, "--monitor")
    url = ""
    while not url:
        found = re.search(
            r"the monitor is at (http://\S+?)/$", (await line(running.stderr)).strip()
        )
        url = found[1] if found else ""
    while not (await get(f"{url}/api/jobs"))["jobs"]:  # noqa: ASYNC110 -- nobody tells
        await asyncio.sleep(0.02)
    assert (await get(f"{url}/api/jobs"))["asked"] is True
    while "the monitor stays until Ctrl-C" not in await line(running.stderr):
        pass
    (row,) = (await get(f"{url}/api/plans"))["plans"]
    assert row["state"] == "decided"
    running.send_signal(signal.SIGINT)
    assert await ended(running) == 0


async def test_a_live_home_is_followed_from_another_process(
    process: Process, script: Any, plan: Any, home: Path
) -> None:
    await anyio.Path(home).mkdir()
    watching = process("monitor", "--listen", "127.0.0.1:0", "--json", "--no-browser")
    url = f"http://{(await told(watching))['address']}"
    assert (await get(f"{url}/api/plans"))["total"] == 0
    running = process("run", plan(), *script(), "-q")
    assert await ended(running) == 0
    with anyio.fail_after(30):
        while not await decided(url):  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.05)
    watching.send_signal(signal.SIGINT)
    assert await ended(watching) == 0


WITHOUT_EXTRAS = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("grpc", "nats", "redis", "ray", "neo4j", "prometheus_client"):
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
import fleet_bootstraps.cli.export
import fleet_bootstraps.cli.monitor
import fleet_bootstraps.cli.run
"""


def test_an_embedded_run_is_shown_without_any_extra() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_what_there_is_not_is_said(fleet: Fleet, tmp_path: Path) -> None:
    nothing = fleet("monitor", "--no-browser")
    assert nothing.code == 2
    assert "nothing is kept in" in nothing.err
    log = tmp_path / "x.jsonl"
    log.write_text("{}\n")
    wrong = fleet("monitor", str(log), "--no-browser")
    assert wrong.code == 2
    assert "fleet export" in wrong.err
    log.write_text('{"fleet_log": 1}\n')
    exposed = fleet("monitor", str(log), "--listen", "0.0.0.0:0", "--no-browser")
    assert exposed.code == 2
    assert "without TLS and a token" in exposed.err
