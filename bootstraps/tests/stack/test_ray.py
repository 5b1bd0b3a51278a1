"""Ray heads of one's own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fleet_adapters.ray.sessions import session_of
from fleet_bootstraps.stack.ray import ray_head
from fleet_core.errors import StoreError, Unavailable

pytestmark = [pytest.mark.anyio, pytest.mark.connected]

TOKENS = ("0123456789abcdef" * 4, "fedcba9876543210" * 4)

ASK = """
import os, sys
import ray
from ray._raylet import GcsClient
print(GcsClient(address=sys.argv[1]).internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=5))
"""


async def ask(address: str, token: str) -> str:
    """What the head at an address says to whoever has that token."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", ASK, address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token},
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return said.decode()


def sessions_folders(pid: int) -> set[str]:
    """The folders under /tmp that a head's processes were told."""
    words = [word for _, said in session_of(pid) for word in said.split()]
    return {"/".join(w.split("=")[-1].split("/")[:3]) for w in words if "/tmp/fleet-ray-" in w}


def are_there(folders: set[str]) -> bool:
    return any(Path(folder).exists() for folder in folders)


@pytest.mark.timeout(300)
async def test_two_heads_side_by_side_each_with_its_token_and_nothing_left_of_them(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(ray_head(tmp_path / "a", TOKENS[0]))
        async with ray_head(tmp_path / "b", TOKENS[1], cpus=1) as second:
            assert first.address != second.address
            assert "ray_version" in await ask(second.address, TOKENS[1])
            assert "AuthenticationError" in await ask(second.address, TOKENS[0])
            folders = sessions_folders(second.pid)
            assert len(folders) == 1
        assert not session_of(second.pid)
        assert not are_there(folders)
        assert "ray_version" in await ask(first.address, TOKENS[0])
        os.kill(first.pid, signal.SIGKILL)  # of those that it started none ends with it
    assert not session_of(first.pid)


async def test_a_port_that_is_taken_is_refused_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(StoreError, match=f"port {port} is taken"):
            async with ray_head(tmp_path, TOKENS[0], port=port, timeout_s=0.2):
                raise AssertionError


async def test_one_that_ray_does_not_start_is_refused_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"ended with exit code \d+: .*nonnegative"):
        async with ray_head(tmp_path, TOKENS[0], cpus=-1):
            raise AssertionError


async def test_one_that_does_not_start_in_time_is_unavailable_and_ended(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"has not started after 0\.2 s"):
        async with ray_head(tmp_path, TOKENS[0], timeout_s=0.2):
            raise AssertionError
