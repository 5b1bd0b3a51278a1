"""What jobs find in the workers of a cluster."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_adapters.ray import process
from fleet_adapters.ray.plugin import RaySettings
from fleet_adapters.ray.runner import RayRunner, open_runner
from fleet_adapters.ray.sessions import session_of
from fleet_adapters.ray.wire import Message, framed
from fleet_bootstraps.stack.ray import RayHead
from fleet_core.domain.job import CheckRequest, Outcome, Standing
from fleet_core.domain.model_call import Message as Said
from fleet_core.domain.model_call import Speaker
from fleet_core.testing.jobs import a_job
from fleet_core.testing.playing import REFERENCE_CALL
from fleet_core.testing.saying import ObedientModel
from fleet_plugins.api import FactoryContext, PortName
from fleet_plugins.lifetimes import open_ports
from fleet_plugins.rebind import described
from fleet_plugins.registry import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.connected]

Opened = Callable[[RaySettings], AbstractAsyncContextManager[RayRunner]]
TOKEN = "0123456789abcdef" * 4
SECRET = "not-for-the-wire-1d5c"


async def until(true: Callable[[], object], limit_s: float = 30) -> None:
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.02)


@pytest.fixture
def model(phone: Any) -> ObedientModel:
    phone.model = ObedientModel()
    phone.secrets.clear()
    return phone.model  # type: ignore[no-any-return]  # it was just made


class SlowServer:
    """Speaks the OpenAI chat API: one word, and then nothing more."""

    def __init__(self) -> None:
        self.base_url = ""
        self.called = 0
        self.hung_up = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/chat/completions" not in head:
            writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        self.called += 1
        delta = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "word"}}]}
        chunk = f"data: {json.dumps(delta)}\n\n"
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(chunk):x}\r\n{chunk}\r\n".encode()
        )
        while await reader.read(4096):
            pass
        self.hung_up += 1
        writer.close()


@pytest.fixture
async def slow() -> AsyncIterator[SlowServer]:
    slow = SlowServer()
    async with await asyncio.start_server(slow.answer, "127.0.0.1", 0) as server:
        slow.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield slow


async def test_cancelling_hangs_up_on_the_models_server_and_words_come_before_the_end(
    clustered: RaySettings, slow: SlowServer, tmp_path: Path
) -> None:
    bound = Registry.discovered().bind("model", "openai", {"base_url": slow.base_url, "model": "m"})
    ctx = FactoryContext(
        lambda: 0, lambda _: TOKEN, tmp_path, bindings={PortName.MODEL: described(bound)}
    )
    heard: list[str] = []
    async with open_runner(clustered, ctx) as runner:
        run = asyncio.create_task(runner.run(a_job(), heard.append))
        await until(lambda: heard)
        assert (heard, slow.called, slow.hung_up) == (["word"], 1, 0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await until(lambda: slow.hung_up == 1)
        assert (await runner.stats()).running == 0


async def test_a_sandboxed_check_runs_in_a_worker(clustered: RaySettings, tmp_path: Path) -> None:
    registry = Registry.discovered()
    bindings: Mapping[str, Any] = {
        PortName.CHECK: described({"sandbox": registry.bind("check", "sandbox")})
    }
    ctx = FactoryContext(lambda: 0, lambda _: TOKEN, tmp_path, bindings=bindings)
    spec = {"entry": "double", "examples": [{"args": [2], "returns": 4}]}
    work = CheckRequest("python", "```python\ndef double(x):\n    return 2 * x\n```", spec)
    bound = {PortName.CHECK: registry.bind("check", "sandbox")}
    async with open_ports(bound, ctx) as ports:
        if reason := await ports[PortName.CHECK]["python"].available():
            pytest.skip(reason)
    async with open_runner(clustered, ctx) as runner:
        result = await runner.run(a_job(work=work))
    assert result.evidence is not None
    assert result.evidence.standing is Standing.PASSED, result.evidence


async def test_jobs_of_any_size_pass_and_cancelling_overtakes_none(
    opened: Opened, clustered: RaySettings, model: ObedientModel
) -> None:
    text = "\ud800é" * 400_000  # beyond what Ray sends within a call
    request = replace(REFERENCE_CALL.request, messages=(Said(Speaker.USER, text),))
    job = a_job(work=replace(REFERENCE_CALL, request=request))
    async with opened(clustered) as runner:
        assert (await runner.run(job)).outcome is Outcome.OK
        model.go.clear()
        runs = [asyncio.create_task(runner.run(job)) for _ in range(3)]
        await asyncio.sleep(0)
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
        assert all(run.cancelled() for run in runs)
        assert (await runner.stats()).running == 0
        assert model.begun - 1 == model.stopped


async def test_secrets_are_resolved_by_the_worker_and_never_sent(
    opened: Opened,
    clustered: RaySettings,
    model: ObedientModel,
    phone: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[bytes] = []

    def spy(messages: list[Message]) -> bytes:
        sent.append(framed(messages))
        return sent[-1]

    monkeypatch.setattr(process, "framed", spy)
    async with opened(clustered) as runner:
        assert (await runner.run(a_job())).outcome is Outcome.OK
        pid = runner.driver_pid
        assert pid is not None
        arguments = "".join(said for _, said in session_of(pid))
    assert model.begun == 1
    assert phone.secrets == {SECRET}
    everything = b"".join(sent)
    assert b"PHONE_SECRET" in everything
    for value in (SECRET, TOKEN):
        assert value.encode() not in everything
        assert value not in arguments


def listening() -> dict[str, set[str]]:
    """Addresses that are listened at, by the inode of the socket."""
    found: dict[str, set[str]] = {}
    for name in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = row.split()
            if state == "0A":
                words = bytes.fromhex(local.partition(":")[0])
                size = len(words) // 4
                packed = struct.pack(f">{size}I", *struct.unpack(f"<{size}I", words))
                family = socket.AF_INET if size == 1 else socket.AF_INET6
                found.setdefault(rest[5], set()).add(socket.inet_ntop(family, packed))
    return found


def sockets_of(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


@pytest.mark.parametrize("own", [True, False])
async def test_nothing_listens_but_on_loopback(
    opened: Opened, clustered: RaySettings, head: RayHead, *, own: bool
) -> None:
    async with opened(RaySettings(actors=1) if own else clustered) as runner:
        driver = runner.driver_pid
        assert driver is not None
        pids = [pid for started in (driver, head.pid) for pid, _ in session_of(started)]
        everywhere = listening()
        addresses = {
            address
            for pid in pids
            for inode in sockets_of(pid) & set(everywhere)
            for address in everywhere[inode]
        }
    assert len(pids) > 5
    assert addresses
    for address in addresses:
        found = ipaddress.ip_address(address)
        mapped = getattr(found, "ipv4_mapped", None)
        assert (mapped or found).is_loopback, addresses
