"""`fleet serve` as a process: what it writes on stderr, and where it is watched."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.connected]
Process = Callable[..., subprocess.Popen[str]]
VALUE = "/s3cr3t/value-of-a-token"


def options(url: str, *sets: str) -> list[str]:
    given = (
        f'bus.servers=["{url}"]',
        "tokens.use=memory",
        "state.use=sqlite",
        "blobs.use=sqlite",
        "runner.use=local",
        "services.executor.listen=127.0.0.1:0",
        *sets,
    )
    return [word for one in given for word in ("--set", one)]


def announced(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line == "}\n":
            return json.loads(said)
    raise AssertionError(said)


def lines(err: str) -> list[Any]:
    return [json.loads(line) for line in err.splitlines()]


async def test_a_service_speaks_json_and_is_watched_at_its_address(
    nats_url: str, process: Process
) -> None:
    sets = options(nats_url, "services.executor.metrics=127.0.0.1:0")
    started = process("serve", "executor", "--json", *sets)
    with anyio.fail_after(60):
        told = await anyio.to_thread.run_sync(announced, started)
    at = told["metrics"]
    for page in ("metrics", "healthz", "readyz"):
        with await anyio.to_thread.run_sync(urllib.request.urlopen, f"http://{at}/{page}") as got:
            assert got.status == 200
    started.send_signal(signal.SIGTERM)
    _, err = await anyio.to_thread.run_sync(started.communicate)
    assert started.returncode == 0
    said = lines(err)
    assert {line["service"] for line in said} == {"executor"}
    assert {line["pid"] for line in said} == {told["pid"]}
    messages = [line["message"] for line in said]
    assert f"executor serves {told['address']}" in messages
    assert f"metrics and health at {at}" in messages


async def test_what_ends_a_service_is_a_line_too_and_says_no_secret(
    nats_url: str, process: Process, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EXECUTOR_PHRASE", VALUE)
    wrong = (
        "services.executor.metrics=127.0.0.1:0",
        "services.executor.token=EXECUTOR_PHRASE",
        f"services.executor.tls_cert={VALUE}",
        f"services.executor.tls_key={VALUE}",
    )
    started = process("serve", "executor", *options(nats_url, *wrong))
    _, err = await anyio.to_thread.run_sync(started.communicate)
    assert started.returncode == 2
    assert VALUE not in err
    last = lines(err)[-1]
    assert last["level"] == "error"
    assert last["message"].startswith("error: ***: tls_cert: the certificate cannot be used")
    assert "Traceback" in last["stack"]


async def test_text_can_be_asked_for(nats_url: str, process: Process) -> None:
    started = process("serve", "executor", "--json", "--log", "text", *options(nats_url))
    with anyio.fail_after(60):
        told = await anyio.to_thread.run_sync(announced, started)
    started.send_signal(signal.SIGTERM)
    _, err = await anyio.to_thread.run_sync(started.communicate)
    assert err == f"fleet: executor serves {told['address']}\n"


async def test_another_format_is_refused(process: Process) -> None:
    started = process("serve", "executor", "--log", "xml")
    _, err = await anyio.to_thread.run_sync(started.communicate)
    assert started.returncode == 2
    assert "there is no log format 'xml'" in err
