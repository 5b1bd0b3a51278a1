"""The packaged Valkey server: started where it was, alone on its folder, gone afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fleet_bootstraps.stack.valkey import valkey_server
from fleet_core.errors import StoreError, Unavailable

pytestmark = [pytest.mark.anyio, pytest.mark.connected]


async def _ask(url: str, *lines: str) -> list[str]:
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    answers = []
    async with asyncio.timeout(10):
        for line in lines:
            writer.write(f"{line}\r\n".encode())
            answers.append((await reader.readline()).decode().strip())
    writer.close()
    await writer.wait_closed()
    return answers


def _pid(folder: Path) -> int:
    return int((folder / "valkey.pid").read_text())


async def test_it_begins_with_what_its_folder_holds(tmp_path: Path) -> None:
    folder = tmp_path / "a folder é"
    async with valkey_server(folder) as url:
        assert await _ask(url, "SET a 1") == ["+OK"]
        first = _pid(folder)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    port = urlsplit(url).port
    assert port
    async with valkey_server(folder, port=port) as again:
        assert again == url
        assert await _ask(url, "INCR a") == [":2"]


async def test_an_answered_write_survives_a_kill(tmp_path: Path) -> None:
    async with valkey_server(tmp_path) as url:
        assert (await _ask(url, *["INCR a"] * 100))[-1] == ":100"
        os.kill(_pid(tmp_path), signal.SIGKILL)
    async with valkey_server(tmp_path) as url:
        assert await _ask(url, "INCR a") == [":101"]


async def test_it_listens_on_this_machine_only_and_syncs_before_it_answers(tmp_path: Path) -> None:
    async with valkey_server(tmp_path) as url:
        for name, value in {"bind": "127.0.0.1", "appendfsync": "always"}.items():
            at = urlsplit(url)
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write(f"CONFIG GET {name}\r\n".encode())
            async with asyncio.timeout(10):
                assert f"\r\n{value}\r\n".encode() in await reader.readuntil(
                    f"{value}\r\n".encode()
                )
            writer.close()
            await writer.wait_closed()


async def test_one_server_to_a_folder(tmp_path: Path) -> None:
    async with valkey_server(tmp_path):
        with pytest.raises(StoreError, match=f"process {_pid(tmp_path)}") as caught:
            async with valkey_server(tmp_path):
                pass
        assert caught.value.hint


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StoreError, match=f"{port} is taken"):
            async with valkey_server(tmp_path, port=port):
                pass


async def test_a_port_on_which_another_one_answers(tmp_path: Path) -> None:
    async with valkey_server(tmp_path / "one") as url:
        with pytest.raises(StoreError, match="is taken"):
            async with valkey_server(tmp_path / "two", port=urlsplit(url).port or 0):
                pass
        assert await _ask(url, "PING") == ["+PONG"]


async def test_what_it_says_when_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nonsense") as caught:
        async with valkey_server(tmp_path, settings={"nonsense": "yes"}):
            pass
    assert str(tmp_path / "valkey.log") in caught.value.hint
    async with valkey_server(tmp_path) as url:  # the folder is free again
        assert await _ask(url, "PING") == ["+PONG"]


async def test_a_password_is_not_on_the_command_line(tmp_path: Path) -> None:
    secret = 'a "quoted" wörd\\'
    async with valkey_server(tmp_path, settings={"requirepass": secret}) as url:
        assert (await _ask(url, "PING"))[0].startswith("-NOAUTH")
        command = Path(f"/proc/{_pid(tmp_path)}/cmdline")
        if command.exists():  # noqa: ASYNC240 -- a look at /proc does not block
            assert b"quoted" not in command.read_bytes()  # noqa: ASYNC240 -- as above


async def test_one_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not serve"):
        async with valkey_server(tmp_path, timeout_s=0.0):
            pass
    async with valkey_server(tmp_path):
        pass
